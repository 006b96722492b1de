"""How conversations move through the ledger: validated -> scored -> published, exactly once by content and model.

What is published of a conversation (`published_digest`, `model_version`, `part`) stays noted while a newer content of
it waits or is in quarantine: the earlier score stands until a later one supersedes it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sql

from hbaf.scoring.ledger import ARRIVALS, CONVERSATIONS, Ledger

PART_ROWS = 50_000  # rows of a published file before the next one is begun
Decision = Literal["score", "unchanged", "duplicate", "quarantined", "ignored"]


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
class Publication:
    """A conversation as it stands in the published result."""

    conversation: str
    digest: str
    model_version: str
    rows: int
    unscored: int


def take_in(ledger: Ledger, source: str, found: Sequence[Found], model_version: str, now: float) -> dict[str, Decision]:
    """Decides for each conversation whether it is to be scored; one transaction."""
    decisions: dict[str, Decision] = {}
    with ledger.engine.begin() as connection:
        for one in found:
            known = _row(connection, source, one.name)
            decision, reason = _decide(connection, source, one, known, model_version)
            decisions[one.name] = decision
            values: dict[str, Any] = {"arrival": one.arrival, "state_at": now}
            if decision != "ignored":
                state = {"score": "validated", "unchanged": "published"}.get(decision, decision)
                values |= {"digest": one.digest, "state": state, "reason": reason[:1000], "rescore": False}
            if known is None:
                named = {"source": source, "conversation": one.name, "first_seen": now}
                connection.execute(CONVERSATIONS.insert().values(**named, **values))
                continue
            connection.execute(CONVERSATIONS.update().where(_at(source, [one.name])).values(**values))
            if known["digest"] != one.digest:
                _release_duplicates(connection, source, known["digest"])
    return decisions


def _decide(
    connection: sql.Connection, source: str, one: Found, known: dict[str, Any] | None, model_version: str
) -> tuple[Decision, str]:
    if known is not None and known["state"] == "ignored":
        return "ignored", ""
    if one.problem:
        return "quarantined", one.problem
    if known is not None and known["published_digest"] == one.digest:
        # A new champion does not score again what an earlier one scored, unless a person asks (`hbaf rescore`).
        asked = known["rescore"] or known["state"] in ("validated", "scored")
        if known["model_version"] == model_version or not asked:
            return "unchanged", ""
        return "score", ""
    if known is None or known["published_digest"] is None:
        place = (CONVERSATIONS.c.source == source) & (CONVERSATIONS.c.digest == one.digest)
        taken = CONVERSATIONS.c.state.in_(("validated", "scored", "published"))
        same = connection.scalar(
            sql.select(CONVERSATIONS.c.conversation).where(place & taken & (CONVERSATIONS.c.conversation != one.name))
        )
        if same is not None:
            return "duplicate", f"the same words and sound as {same}"
    return "score", ""


def _release_duplicates(connection: sql.Connection, source: str, digest: str) -> None:
    """What was equal to a conversation that has changed is read again: it may be the only one of its content now."""
    place = (CONVERSATIONS.c.source == source) & (CONVERSATIONS.c.digest == digest)
    asked = sql.select(CONVERSATIONS.c.arrival).where(place & (CONVERSATIONS.c.state == "duplicate"))
    arrivals = list(connection.scalars(asked))
    if arrivals:
        again = (ARRIVALS.c.source == source) & ARRIVALS.c.arrival.in_(arrivals) & (ARRIVALS.c.state == "read")
        connection.execute(ARRIVALS.update().where(again).values(state="new"))


def scored(ledger: Ledger, source: str, names: Collection[str], now: float) -> None:
    with ledger.engine.begin() as connection:
        connection.execute(CONVERSATIONS.update().where(_at(source, names)).values(state="scored", state_at=now))


def parts_for(ledger: Ledger, source: str, sizes: dict[str, int]) -> dict[str, int]:
    """The part that each conversation is published in; it stays there for ever, so no reader meets it twice.

    Args:
        sizes: conversation -> rows.
    """
    with ledger.engine.begin() as connection:
        asked = sql.select(CONVERSATIONS.c.conversation, CONVERSATIONS.c.part).where(_at(source, list(sizes)))
        parts = {str(name): part for name, part in connection.execute(asked)}
        last = connection.scalar(sql.select(sql.func.max(CONVERSATIONS.c.part)).where(CONVERSATIONS.c.source == source))
        part = int(last or 1)
        place = (CONVERSATIONS.c.source == source) & (CONVERSATIONS.c.part == part)
        filled = int(connection.scalar(sql.select(sql.func.sum(CONVERSATIONS.c.rows)).where(place)) or 0)
        for name, rows in sizes.items():
            if parts.get(name) is not None:
                continue
            if filled and filled + rows > PART_ROWS:
                part, filled = part + 1, 0
            filled += rows
            parts[name] = part
            connection.execute(CONVERSATIONS.update().where(_at(source, [name])).values(part=part, rows=rows))
    return {name: int(parts[name]) for name in sizes}


def published(ledger: Ledger, source: str, publications: Sequence[Publication], now: float) -> None:
    """Notes what stands in every place that the results go to."""
    with ledger.engine.begin() as connection:
        for one in publications:
            values = {
                "state": "published",
                "reason": "",
                "state_at": now,
                "published_digest": one.digest,
                "model_version": one.model_version,
                "rows": one.rows,
                "unscored": one.unscored,
                "published_at": now,
                "rescore": False,
            }
            connection.execute(CONVERSATIONS.update().where(_at(source, [one.conversation])).values(**values))


def to_rescore(ledger: Ledger, source: str, since: float, model_version: str) -> int:
    """Marks what came since then and was scored by another model; returns how many."""
    place = (
        (CONVERSATIONS.c.source == source)
        & (CONVERSATIONS.c.state == "published")
        & (CONVERSATIONS.c.first_seen >= since)
        & (CONVERSATIONS.c.model_version != model_version)
    )
    with ledger.engine.begin() as connection:
        return connection.execute(CONVERSATIONS.update().where(place).values(rescore=True)).rowcount


def forgotten(ledger: Ledger, source: str, names: Collection[str], now: float) -> None:
    """Notes that a person had conversations forgotten: no later run publishes them again from the same source."""
    gone = {"published_digest": None, "model_version": None, "rows": None, "unscored": None, "published_at": None}
    values = {"state": "ignored", "reason": "forgotten", "state_at": now, "rescore": False, "part": None, **gone}
    with ledger.engine.begin() as connection:
        connection.execute(CONVERSATIONS.update().where(_at(source, names)).values(**values))


def publications(ledger: Ledger, source: str) -> dict[str, int]:
    """Conversation -> part, of everything that is published."""
    asked = sql.select(CONVERSATIONS.c.conversation, CONVERSATIONS.c.part).where(
        (CONVERSATIONS.c.source == source) & CONVERSATIONS.c.published_digest.is_not(None)
    )
    with ledger.engine.begin() as connection:
        return {str(name): int(part) for name, part in connection.execute(asked)}


def _row(connection: sql.Connection, source: str, name: str) -> dict[str, Any] | None:
    found = connection.execute(sql.select(CONVERSATIONS).where(_at(source, [name]))).mappings().first()
    return None if found is None else dict(found)


def _at(source: str, names: Collection[str]) -> sql.ColumnElement[bool]:
    return (CONVERSATIONS.c.source == source) & CONVERSATIONS.c.conversation.in_(list(names))
