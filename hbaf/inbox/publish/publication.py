"""A conversation as it stands in the published result."""

from dataclasses import dataclass

import pyarrow as pa

from hbaf.scoring.unscored import UNSCORED


@dataclass(frozen=True)
class Publication:
    """A conversation as it stands in the published result."""

    conversation: str
    digest: str
    model_version: str
    run_id: str
    rows: int
    unscored: int


def publications_in(table: pa.Table) -> list[Publication]:
    """The conversations of a table of scored rows, in their order."""
    names = ["conversation", "conversation_digest", "model_version", "run_id", "status"]
    frame = table.select(names).to_pandas()
    frame["gone"] = frame["status"] == UNSCORED
    grouped = frame.groupby(names[:4], sort=False, observed=True)["gone"].agg(["size", "sum"])
    return [
        Publication(str(name), str(digest), str(model), str(run), int(size), int(gone))
        for (name, digest, model, run), size, gone in zip(grouped.index, grouped["size"], grouped["sum"], strict=True)
    ]
