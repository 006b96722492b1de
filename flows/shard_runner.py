"""Where the shards of scheduled scoring are worked on: in this process, or on many machines through Dask."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Literal

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from pydantic import Field

from flows.private import shielded, stage
from hbaf.home import directory
from hbaf.inbox.scheduled import SourceScores, score_source
from hbaf.inbox.shards import ScoredShard, ScoringOrder, Shard, ValidatedShard, score_shard, validate_shard
from hbaf.inbox.source import SourceParameters
from hbaf.parameters import Parameters
from hbaf.privacy.retention import apply_retention
from hbaf.scoring.purpose import Purpose


class ShardRunner(Parameters):
    """Where shards are worked on. Other machines see the same home folder and the same source."""

    kind: Literal["here", "dask"] = "here"
    address: str | None = Field(None, description="Of a Dask scheduler; default: a cluster of local processes.")
    workers: int = Field(2, ge=1, description="Dask workers; twice as many shards are under way.")


@stage
def read_shard(shard: Shard) -> ValidatedShard:
    """Reads and validates the arrivals of a shard."""
    return validate_shard(shard)


@stage
def predict_shard(order: ScoringOrder) -> ScoredShard:
    """Scores a shard."""
    return score_shard(order)


STAGES: dict[Callable[[Any], Any], Any] = {validate_shard: read_shard, score_shard: predict_shard}


def score_new(source: SourceParameters, purpose: Purpose, model: str | None, runner: ShardRunner) -> SourceScores:
    """What is new in a source, with its shards as tasks of this flow run."""
    with shielded("apply_retention"):
        apply_retention()
    if runner.kind == "dask":
        scored = _on_dask(runner)(source, purpose, model)
    else:
        with shielded("score_source"):
            scored = score_source(source, purpose=purpose, model=model, map_shards=_here)
    create_markdown_artifact(
        _report(scored), key=f"scores-{scored.source.replace('_', '-')}", description="What was new"
    )
    return scored


def _here(step: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterator[Any]:
    return (STAGES[step](task) for task in tasks)


def _ahead(step: Callable[[Any], Any], tasks: Iterable[Any], shards: int) -> Iterator[Any]:
    """So many shards are worked on or wait; one that fails ends the run, and the next run takes it up again."""
    futures: deque[Any] = deque()
    for task in tasks:
        futures.append(STAGES[step].submit(task))
        if len(futures) == shards:
            yield futures.popleft().result()
    yield from (future.result() for future in futures)


def _on_dask(runner: ShardRunner) -> Callable[..., SourceScores]:
    """A flow on a task runner of its own: which one is known only now."""
    from prefect_dask import DaskTaskRunner

    place: dict[str, Any] = {"address": runner.address}
    if not runner.address:  # processes on this machine
        scratch = str(directory("cache", "dask"))
        local = {"n_workers": runner.workers, "threads_per_worker": 1, "local_directory": scratch}
        place = {"cluster_kwargs": {**local, "dashboard_address": None}}

    def score_shards(source: SourceParameters, purpose: Purpose, model: str | None) -> SourceScores:
        # A worker that is done with its shard has the next one at once, while this process publishes.
        ahead = partial(_ahead, shards=2 * runner.workers)
        with shielded("score_source"):
            # Many processes on one machine: each extracts with one of its own.
            return score_source(source, purpose=purpose, model=model, workers=1, map_shards=ahead)

    return flow(name="score-corpus-shards", task_runner=DaskTaskRunner(**place))(score_shards)


def _report(scores: SourceScores) -> str:
    """Counts, no name of a conversation: the inbox has those."""
    counts = "\n".join(f"| {what} | {number} |" for what, number in scores.counts.items()) or "| nothing new | |"
    said = f"{scores.rows} utterances of `{scores.source}` with `{scores.model_version}`, named by the"
    return f"{said} {scores.champion_from}.\n\n| conversations | |\n|---|---|\n{counts}\n"
