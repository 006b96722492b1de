"""Which run of a corpus is held against the champion."""

from pathlib import Path
from typing import get_args

from hbaf.corpus.schema import CorpusReference
from hbaf.parameters import ModelParameters, PromotionParameters
from hbaf.registry.runs import RunReference
from hbaf.registry.tracking import EXPERIMENT, MlflowClient, Run, experiment_id, mlflow

VARIANTS: tuple[str, ...] = get_args(ModelParameters.model_fields["variant"].annotation)  # the first wins a tie
SCORE = "best/weighted_f1"


class NoRunError(LookupError):
    """There is no such finished run."""


def best_run(
    reference: CorpusReference,
    run_id: str | None = None,
    *,
    margin: float = PromotionParameters().search_margin,
    experiment: str = EXPERIMENT,
) -> RunReference:
    """A finished run of a corpus: the one named, or else the best of all variants with these splits.

    The best is the candidate of the newest search, or the run with the highest weighted F1 on dev.

    Args:
        margin: a single run of another variant goes before the candidate of a search if it is ahead by more.

    Raises:
        NoRunError: none is there.
    """
    client = MlflowClient()
    if run_id is not None:
        try:
            named = client.get_run(run_id)
        except mlflow.exceptions.MlflowException as error:
            raise NoRunError(f"run {run_id}: not in MLflow. `hbaf train` prints the id of its run.") from error
        return _reference(named)
    finished = f"tags.corpus_digest = '{reference.digest}' and attributes.status = 'FINISHED'"
    of_corpus = f"{finished} and tags.splits_digest = '{reference.splits_digest}'"

    def first(asked: str, order: str) -> list[Run]:
        return list(client.search_runs([experiment_id(experiment)], asked, order_by=[order], max_results=1))

    best = [
        run
        for variant in VARIANTS
        for run in first(f"{of_corpus} and tags.\"hbaf.variant\" = '{variant}'", f'metrics."{SCORE}" DESC')
    ]
    if not best:
        hint = ". Train one: `hbaf train`."
        if first(finished, "attributes.start_time DESC"):
            hint = (
                " with these splits; there are runs with other ones (`corpus.seed`, `corpus.split_by`, "
                "`corpus.split_shares`, `corpus.gate_share`). Set them as they were, or train again: `hbaf train`."
            )
        raise NoRunError(f"{reference.name}: no finished run of this corpus{hint}")
    newest_search = first(
        f"{of_corpus} and tags.\"hbaf.variant\" LIKE '%' and tags.\"hbaf.candidate\" LIKE '%'",
        "attributes.start_time DESC",
    )
    return _chosen(best, newest_search[0] if newest_search else None, margin)


def _chosen(best: list[Run], searched: Run | None, margin: float) -> RunReference:
    """One of the best single runs of each variant and the candidate of a search, with what was passed over.

    The search chose its candidate over several seeds, the best of single runs is only the luckiest: so no run of the
    same variant goes before it, and one of another variant only by more than luck.
    """
    if searched is None:
        taken = max(best, key=_score)
    else:
        others = [run for run in best if _variant(run) != _variant(searched)]
        taken = max(others, key=_score, default=searched)
        if _score(taken) - _score(searched) <= margin:
            taken = searched
    runs = {run.info.run_id: run for run in (*best, *([searched] if searched is not None else []))}
    del runs[taken.info.run_id]
    passed = []
    for run in runs.values():
        if searched is not None and run.info.run_id == searched.info.run_id:
            why = f"a search's candidate, behind on dev by more than promotion.search_margin, {margin:g}"
        elif _score(run) <= _score(taken):
            why = "not ahead on dev"
        elif searched is not None and _variant(run) == _variant(searched):
            why = "a single run; a search of this variant chose over several seeds"
        else:
            why = f"a single run, ahead of the search's candidate by no more than promotion.search_margin, {margin:g}"
        passed.append(f"passed over: {_described(run)}: {why}")
    return _reference(taken, (f"taken: {_described(taken)}", *passed) if passed else ())


def _score(run: Run) -> float:
    return float(run.data.metrics[SCORE])


def _variant(run: Run) -> str:
    return str(run.data.tags["hbaf.variant"])


def _described(run: Run) -> str:
    return f"{_variant(run)} run {run.info.run_id[:8]}, dev {_score(run):.3f}"


def _reference(run: Run, passed_over: tuple[str, ...] = ()) -> RunReference:
    uri = run.data.tags["hbaf.model_uri"]
    package = Path(mlflow.artifacts.download_artifacts(uri)) / "artifacts" / "package"
    return RunReference(run.info.run_id, package, uri, _score(run), reused=True, passed_over=passed_over)
