"""What the ledger holds, as records."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from hbaf.inbox.ledger.states import RunState


class LedgerError(RuntimeError):
    """The ledger cannot be used."""


@dataclass(frozen=True)
class SourceRecord:
    """A source, and the Parquet dataset that its scores are published in."""

    source: str
    url: str
    published: str


@dataclass(frozen=True)
class RunRecord:
    """One run of scheduled scoring.

    Attributes:
        run_id: of the run that made the model; None where an older hbaf did not note it.
        champion_from: "registry", or "cache" where MLflow could not be reached.
        ended_at: None for one that runs, or that was killed and that nobody noticed yet.
        counts: what became of arrivals and conversations: `published`, `quarantined`, `duplicate`, `unchanged` ...
    """

    run: int
    source: str
    model_version: str
    run_id: str | None
    champion_from: str
    purpose: str
    state: RunState
    started_at: datetime
    ended_at: datetime | None
    counts: dict[str, int] = field(default_factory=dict)
    error: str = ""

    @classmethod
    def of(cls, row: Mapping[Any, Any]) -> "RunRecord":
        """A row of the ledger."""
        ended = row["ended_at"]
        changed = {
            "state": RunState(row["state"]),
            "started_at": moment(row["started_at"]),
            "ended_at": None if ended is None else moment(ended),
            "counts": json.loads(row["counts"]),
        }
        return cls(**{**row, **changed})


@dataclass(frozen=True)
class Found:
    """A conversation that was read from an arrival.

    Attributes:
        name: `source/dialogue`.
        digest: of its content: words, speakers, times and sound; not of names, paths and labels.
        problem: why it cannot be scored as it is; "" where it can.
    """

    name: str
    arrival: str
    digest: str
    rows: int
    problem: str = ""


@dataclass(frozen=True)
class Conversation:
    """What the ledger says of a conversation.

    Attributes:
        part, published_digest, model_version, run_id, rows: of what is published, which stays while a newer content
            waits.
        rescore: a person asked for a score by the champion of now.
    """

    name: str
    arrival: str
    digest: str
    state: str
    reason: str
    part: int | None
    published_digest: str | None
    model_version: str | None
    run_id: str | None
    rows: int | None
    rescore: bool

    @classmethod
    def of(cls, row: Mapping[Any, Any]) -> "Conversation":
        """A row of the ledger."""
        own = {one.name: row[one.name] for one in fields(cls) if one.name != "name"}
        return cls(row["conversation"], **own)


def moment(seconds: float) -> datetime:
    """A time in UTC, given seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC)
