"""The diary of scheduled scoring: sources, and what each run did."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

import sqlalchemy as sql

from hbaf.home import located, portable
from hbaf.inbox.ledger import RUNS, SOURCES, Ledger, LedgerError
from hbaf.registry.models import RegisteredModel

RunState = Literal["running", "finished", "failed"]


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
        champion_from: "registry", or "cache" where MLflow could not be reached.
        ended_at: None for one that runs, or that was killed and that nobody noticed yet.
        run_id: of the run that made the model; None where an older hbaf did not note it.
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


def register(ledger: Ledger, source: str, url: str, published: str) -> None:
    """Notes a source.

    Raises:
        LedgerError: another place has that name already.
    """
    with ledger.engine.begin() as connection:
        known = connection.execute(sql.select(SOURCES).where(SOURCES.c.source == source)).mappings().first()
        if known is None:
            connection.execute(SOURCES.insert().values(source=source, url=portable(url), published=portable(published)))
        elif located(known["url"]) != url:
            raise LedgerError(
                f"a source called {source} is at {known['url']} already, not at {url}. Give this one another name."
            )
        elif located(known["published"]) != published:
            raise LedgerError(
                f"the scores of {source} are published in {known['published']} already, not in {published}. Move that "
                f"folder and `hbaf inbox` will not know it; or give this source another name and score it anew."
            )


def sources(ledger: Ledger) -> list[SourceRecord]:
    """All sources, by name."""
    with ledger.engine.begin() as connection:
        asked = sql.select(SOURCES).order_by(SOURCES.c.source)
        rows = connection.execute(asked).mappings()
        return [SourceRecord(row["source"], located(row["url"]), located(row["published"])) for row in rows]


def begin_run(
    ledger: Ledger, source: str, *, model: RegisteredModel, champion_from: str, purpose: str, now: float
) -> int:
    """Notes a run; one that a dead process left `running` on this source has failed."""
    with ledger.engine.begin() as connection:
        left = (RUNS.c.source == source) & (RUNS.c.state == "running")
        connection.execute(RUNS.update().where(left).values(state="failed", ended_at=now, error="ended without a word"))
        values = {"source": source, "model_version": model.label, "run_id": model.run_id, "purpose": purpose}
        values["champion_from"] = champion_from
        made = connection.execute(
            RUNS.insert().values(**values, state="running", started_at=now, counts="{}", error="")
        )
        assert made.inserted_primary_key is not None
        return int(made.inserted_primary_key[0])


def end_run(ledger: Ledger, run: int, state: RunState, counts: dict[str, int], now: float, error: str = "") -> None:
    """Notes how a run ended."""
    with ledger.engine.begin() as connection:
        values = {"state": state, "ended_at": now, "counts": json.dumps(counts), "error": error[:500]}
        connection.execute(RUNS.update().where(RUNS.c.run == run).values(**values))


def runs(ledger: Ledger, source: str | None = None, limit: int = 100) -> list[RunRecord]:
    """The latest runs, newest first."""
    asked = sql.select(RUNS).order_by(RUNS.c.run.desc()).limit(limit)
    if source is not None:
        asked = asked.where(RUNS.c.source == source)
    with ledger.engine.begin() as connection:
        rows = [dict(row) for row in connection.execute(asked).mappings()]
    return [
        RunRecord(
            **{
                **row,
                "started_at": moment(row["started_at"]),
                "ended_at": None if row["ended_at"] is None else moment(row["ended_at"]),
                "counts": json.loads(row["counts"]),
            }
        )
        for row in rows
    ]


def moment(seconds: float) -> datetime:
    """A time in UTC, given seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC)
