"""The end of a search: the candidate, and what is shown of the way to it."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hbaf.promotion.best_run import best_run
from hbaf.promotion.promote import model_name, register_once
from hbaf.registry.runs import RunReference, run_key
from hbaf.registry.table_views import TRIALS
from hbaf.registry.tracking import DESCRIPTION_TAG, MlflowRunLog, view_address
from hbaf.search.plan import StudyPlan
from hbaf.search.plots import write_plots
from hbaf.search.refit import Refit, choose, fresh_seeds
from hbaf.search.study import SharedStudy, results

CANDIDATE_TAG = "hbaf.candidate"


@dataclass(frozen=True)
class StudyOutcome:
    """What a search came to.

    Attributes:
        start: dev weighted F1 of trial 0, the starting values; None if it failed.
        refits: by mean, the best first.
        compared: where a person compares the trials.
        candidate: the run whose model is registered.
        version: of the registered model, without an alias.
    """

    study: str
    parent_run_id: str
    finished: int
    pruned: int
    failed: int
    start: float | None
    refits: tuple[Refit, ...]
    candidate: RunReference
    model: str
    version: str
    compared: str

    def lines(self) -> list[str]:
        """The outcome for a person."""
        best = max(self.refits, key=lambda refit: refit.single)
        lines = [
            f"study {self.study}: {self.finished} trials finished, {self.pruned} of them pruned, {self.failed} failed",
            f"starting values (trial 0): {'failed' if self.start is None else f'{self.start:.3f}'}",
            f"best single trial ({best.setting}): {best.single:.3f}, the luckiest of all looks at dev",
        ]
        for refit in self.refits:
            lines.append(
                f"refit of trial {refit.setting} over {len(refit.scores)} seeds: {refit.mean:.3f} "
                f"± {refit.deviation:.3f} (alone {refit.single:.3f})"
            )
        chosen = ", ".join(f"{name} {value:.4g}" for name, value in self.refits[0].values.items())
        lines.append(f"chosen by the mean: trial {self.refits[0].setting}, {chosen}")
        lines.append(f"candidate: {self.model} version {self.version}, run {self.candidate.run_id}")
        lines.append(f"trials side by side: {self.compared}")
        return lines


def end_study(plan: StudyPlan, search: SharedStudy, refit: SharedStudy) -> StudyOutcome:
    """Chooses, marks and registers the candidate, and logs numbers and plots to the parent run."""
    refits = choose(plan, search, refit)
    best = refits[0]
    assert best.kept_run is not None
    model, training = plan.space().settings(best.values)
    training = training.model_copy(update={"seed": fresh_seeds(plan)[0]})
    key = run_key(plan.reference, plan.columns, {"features": plan.features, "model": model, "training": training})
    MlflowRunLog(best.kept_run).log_tags(
        {
            CANDIDATE_TAG: plan.study, "hbaf.key": key, "hbaf.variant": model.variant,
            "hbaf.recipe": training.recipe, "hbaf.refit.mean": f"{best.mean:.6f}",
        }
    )  # fmt: skip
    candidate = best_run(plan.reference, best.kept_run)
    name = model_name(plan.reference.name)
    version = register_once(candidate, name, {"hbaf.stage": "candidate", "hbaf.study": plan.study})
    trials = results(search)
    start = next((t.value for t in trials if t.number == 0), None)
    states = [trial.state for trial in trials]
    outcome = StudyOutcome(
        plan.study, plan.parent_run_id, states.count("complete") + states.count("pruned"), states.count("pruned"),
        states.count("fail"), start, tuple(refits), candidate, name, version, 
        view_address(TRIALS, plan.experiment),
    )  # fmt: skip
    _show(plan, search, outcome)
    return outcome


def _show(plan: StudyPlan, search: SharedStudy, outcome: StudyOutcome) -> None:
    log = MlflowRunLog(plan.parent_run_id)
    best = outcome.refits[0]
    numbers: dict[str, Any] = {
        "search/start_weighted_f1": outcome.start,
        "search/best_single_weighted_f1": max(refit.single for refit in outcome.refits),
        "search/refit_mean_weighted_f1": best.mean,
        "search/refit_deviation": best.deviation,
        "search/finished": outcome.finished,
        "search/pruned": outcome.pruned,
        "search/failed": outcome.failed,
    }
    log.log_metrics({name: value for name, value in numbers.items() if value is not None})
    log.log_tags(
        {"hbaf.chosen_run": outcome.candidate.run_id, DESCRIPTION_TAG: "\n\n".join(outcome.lines())}
        | {f"chosen.{name}": f"{value:.6g}" for name, value in best.values.items()}
    )
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "search.html"
        write_plots(search, page)
        log.log_file(page)
