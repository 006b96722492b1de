"""The best settings of a search, trained again over fresh seeds: a queue for the same workers, and the choice."""

import math
import statistics
from dataclasses import dataclass

from hbaf.search.plan import StudyPlan
from hbaf.search.space import SearchError
from hbaf.search.study import SharedStudy, TrialResult, enqueue, results


@dataclass(frozen=True)
class Refit:
    """One of the best settings over fresh seeds; scores are weighted F1 on dev, 0..1.

    Attributes:
        setting: number of the trial that found it.
        single: what that trial scored, chosen among many and so too high.
        scores: by seed.
        kept_run: MLflow run of the first seed, whose model is kept.
    """

    setting: int
    values: dict[str, float]
    single: float
    scores: dict[int, float]
    kept_run: str | None

    @property
    def mean(self) -> float:
        """Mean of `scores`, 0..1."""
        return statistics.fmean(self.scores.values())

    @property
    def deviation(self) -> float:
        """Sample standard deviation of `scores`; 0 for a single seed."""
        return statistics.stdev(self.scores.values()) if len(self.scores) > 1 else 0.0


def queue_refits(plan: StudyPlan, search: SharedStudy, refit: SharedStudy) -> list[TrialResult]:
    """Queues what is missing of the best settings times fresh seeds; any worker may do it, and do it again.

    Returns:
        The best complete trials, at most `top`.
    """
    with refit.turn():
        best = best_trials(search, plan.search.top)
        there = {(t.notes["setting"], t.notes["seed"]) for t in results(refit) if t.state != "fail"}
        for trial in best:
            for seed in fresh_seeds(plan):
                if (trial.number, seed) not in there:
                    keeps = seed == fresh_seeds(plan)[0]
                    enqueue(refit, trial.values, setting=trial.number, seed=seed, keeps_model=keeps)
    return best


def best_trials(study: SharedStudy, top: int) -> list[TrialResult]:
    """The `top` complete trials with the highest dev weighted F1, best first; of equals the earlier one."""
    complete = [t for t in results(study) if t.state == "complete" and t.value is not None and math.isfinite(t.value)]
    return sorted(complete, key=lambda trial: (-float(trial.value or 0), trial.number))[:top]


def fresh_seeds(plan: StudyPlan) -> list[int]:
    """Seeds that no trial used: the one that found a setting flatters it."""
    return [plan.training.seed + 1 + i for i in range(plan.search.seeds)]


def choose(plan: StudyPlan, search: SharedStudy, refit: SharedStudy) -> list[Refit]:
    """The refitted settings by their mean on dev, the best first.

    Raises:
        SearchError: no trial is complete, or every refit failed.
    """
    if not best_trials(search, 1):
        raise SearchError(
            f"{plan.study}: no trial is complete, so there is nothing to train again. The runs below "
            f"{plan.parent_run_id} in MLflow say why."
        )
    done = [trial for trial in results(refit) if trial.state == "complete"]
    found = []
    for trial in best_trials(search, plan.search.top):
        own = {t.notes["seed"]: t for t in done if t.notes["setting"] == trial.number}
        own = {seed: own[seed] for seed in fresh_seeds(plan) if seed in own}
        kept = [t.notes["mlflow_run"] for t in own.values() if t.notes.get("keeps_model")]
        if kept:
            scores = {seed: float(t.value or 0) for seed, t in own.items()}
            found.append(Refit(trial.number, trial.values, float(trial.value or 0), scores, kept[0]))
    if not found:
        raise SearchError(
            f"{plan.study}: no refit ended well. The runs below {plan.parent_run_id} in MLflow say why; the same "
            "command goes on with the study."
        )
    return sorted(found, key=lambda refit: (-refit.mean, refit.setting))
