"""What a comparison tells MLflow: which names its parent and its nested runs have, and what is logged of each."""

import hashlib
import json
from collections.abc import Sequence

from hbaf.comparison.bench import Cell, Run
from hbaf.comparison.pages.render import blocks
from hbaf.comparison.table import Row
from hbaf.parameters import ComparisonParameters
from hbaf.registry.records.comparisons import ComparisonLog, NestedRun

FILES = ("run.json", "dev.parquet", "test.parquet")


def comparison_log(cells: Sequence[Cell], asked: ComparisonParameters) -> ComparisonLog:
    """The parent of a question: the same systems on the same data with the same settings go on with the same one."""
    data = [{"corpus": cell.reference.digest, **cell.columns.digests()} for cell in cells]
    settings = asked.model_dump(mode="json", exclude={"workers", "reason"})
    key = hashlib.sha256(json.dumps([data, settings], sort_keys=True).encode()).hexdigest()
    corpora = " ".join(dict.fromkeys(cell.reference.name for cell in cells))
    return ComparisonLog(f"compare {corpora}: {asked.systems}"[:250], key, settings)


def nested_run(run: Run) -> NestedRun:
    """One system x seed in one cell."""
    facts, job = run.outcome.facts, run.job
    tags = {
        "hbaf.system": job.entrant.name,
        "hbaf.standing": job.entrant.standing,
        "hbaf.cell": run.cell.name,
        "hbaf.seed": str(job.training.seed),
        "corpus_digest": job.reference.digest,
        "splits_digest": job.reference.splits_digest,
        **{f"{modality}_column": digest for modality, digest in job.columns.digests().items()},
    }
    # The same run may stand in a row of another name too.
    key = hashlib.sha256(f"{job.key()} {job.entrant.name}".encode()).hexdigest()
    name = f"{job.entrant.name} seed {job.training.seed}"
    if facts is None:
        return NestedRun(key, name, tags, {"recipe": job.training.recipe}, {}, failure=run.outcome.failure)
    history_file = run.outcome.folder / "history.json"
    return NestedRun(
        key=key,
        name=name,
        tags=tags,
        parameters={
            **{f"system.{name}": value for name, value in facts.arguments.items()},
            **{f"training.{name}": value for name, value in facts.training.items()},
            **{f"features.{name}": value for name, value in facts.features.items()},
            "trials": facts.trials,
        },
        metrics={
            **{f"dev/best_{name}": value for name, value in facts.dev.items()},
            **{f"test/{name}": value for name, value in (facts.test or {}).items()},
            "parameters": facts.parameters,
            **({} if facts.seconds_an_epoch is None else {"seconds_an_epoch": facts.seconds_an_epoch}),
            "best_epoch": facts.best_epoch,
        },
        history=json.loads(history_file.read_text()) if history_file.exists() else (),
        files=tuple(path for name in FILES if (path := run.outcome.folder / name).exists()),
    )


def scores(rows: Sequence[Row]) -> dict[str, float]:
    """The parent's metrics: mean weighted F1 of each row; a name that MLflow takes."""
    several = len({row.cell for row in rows}) > 1
    found = {}
    for number, cell in enumerate(dict.fromkeys(row.cell for row in rows)):
        for _, of in blocks([row for row in rows if row.cell == cell]):
            for row in of:
                own = row.system.rpartition("/")[2]  # MLflow takes no metric whose name is an absolute path
                name = "".join(sign if sign.isalnum() or sign in "-_. " else "_" for sign in own)
                if row.seeds:
                    found[f"{f'{number}/' if several else ''}{name}/weighted_f1"] = row.f1
    return found
