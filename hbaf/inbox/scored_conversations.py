"""How conversations move through the ledger: validated -> scored -> published, exactly once by content and model.

What is published of a conversation (`published_digest`, `model_version`, `part`) stays noted while a newer content of
it waits or is in quarantine: the earlier score stands until a later one supersedes it.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sql

from hbaf.inbox.ledger import ARRIVALS, CONVERSATIONS, Ledger
from hbaf.inbox.publish.publication import Publication

BLOCK = 500  # names in one statement
HOLDS = ("validated", "scored", "published")  # a conversation in such a state makes another of its content a duplicate
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


def take_in(ledger: Ledger, source: str, found: Sequence[Found], model_version: str, now: float) -> dict[str, Decision]:
    """Decides for each conversation whether it is to be scored; one transaction."""
    decisions: dict[str, Decision] = {}
    new: list[dict[str, Any]] = []
    changed: list[dict[str, Any]] = []
    left: set[str] = set()  # digests that a conversation does not have any more
    with ledger.engine.begin() as connection:
        known = _known(connection, source, [one.name for one in found])
        holders = _holders(connection, source, {one.digest for one in found})
        for one in found:
            before = known.get(one.name)
            decision, reason = _decide(one, before, holders.get(one.digest, {}), model_version)
            decisions[one.name] = decision
            values: dict[str, Any] = {"arrival": one.arrival, "state_at": now}
            if decision != "ignored":
                state = {"score": "validated", "unchanged": "published"}.get(decision, decision)
                values |= {"digest": one.digest, "state": state, "reason": reason[:1000], "rescore": False}
                if before is not None:
                    holders.get(before["digest"], {}).pop(one.name, None)
                if state in HOLDS:
                    holders.setdefault(one.digest, {})[one.name] = None
            if before is None:
                new.append({"source": source, "conversation": one.name, "first_seen": now, **values})
                continue
            kept = {name: before[name] for name in ("digest", "state", "reason", "rescore")}
            changed.append({"conversation": one.name, **kept, **values})
            if before["digest"] != one.digest:
                left.add(before["digest"])
        if new:
            connection.execute(CONVERSATIONS.insert(), new)
        _update(connection, source, changed)
        for digest in sorted(left):
            _release_duplicates(connection, source, digest)
    return decisions


def _known(connection: sql.Connection, source: str, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Conversation -> its row."""
    found: dict[str, dict[str, Any]] = {}
    for some in _blocks(names):
        for row in connection.execute(sql.select(CONVERSATIONS).where(_at(source, some))).mappings():
            found[row["conversation"]] = dict(row)
    return found


def _holders(connection: sql.Connection, source: str, digests: Collection[str]) -> dict[str, dict[str, None]]:
    """Digest -> the conversations that are, or will be, published with that content, in a lasting order."""
    found: dict[str, dict[str, None]] = {}
    columns = (CONVERSATIONS.c.digest, CONVERSATIONS.c.conversation)
    for some in _blocks(sorted(digests)):
        place = (CONVERSATIONS.c.source == source) & CONVERSATIONS.c.digest.in_(some) & CONVERSATIONS.c.state.in_(HOLDS)
        for digest, name in connection.execute(sql.select(*columns).where(place).order_by(*columns)):
            found.setdefault(digest, {})[name] = None
    return found


def _decide(
    one: Found, known: dict[str, Any] | None, holders: Collection[str], model_version: str
) -> tuple[Decision, str]:
    """What becomes of a conversation, and why.

    Args:
        known: its row.
        holders: conversations that have the same content.
    """
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
        same = next((name for name in holders if name != one.name), None)
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
    """Notes that conversations were scored."""
    with ledger.engine.begin() as connection:
        connection.execute(CONVERSATIONS.update().where(_at(source, names)).values(state="scored", state_at=now))


def parts_for(ledger: Ledger, source: str, sizes: dict[str, int]) -> dict[str, int]:
    """The part that each conversation is published in; it stays there for ever, so no reader meets it twice.

    Args:
        sizes: conversation -> rows.
    """
    with ledger.engine.begin() as connection:
        parts = {name: row["part"] for name, row in _known(connection, source, list(sizes)).items()}
        placed: list[dict[str, Any]] = []
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
            placed.append({"conversation": name, "part": part, "rows": rows})
        _update(connection, source, placed)
    return {name: int(parts[name]) for name in sizes}


def published(ledger: Ledger, source: str, publications: Sequence[Publication], now: float) -> None:
    """Notes what stands in every place that the results go to."""
    rows = [
        {
            "conversation": one.conversation,
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
        for one in publications
    ]
    with ledger.engine.begin() as connection:
        _update(connection, source, rows)


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


def _update(connection: sql.Connection, source: str, rows: Sequence[dict[str, Any]]) -> None:
    """Sets columns of conversations, all of the same ones; a statement for each would cost more than its work."""
    if not rows:
        return
    place = (CONVERSATIONS.c.source == source) & (CONVERSATIONS.c.conversation == sql.bindparam("which"))
    values: dict[str, Any] = {name: sql.bindparam(f"new_{name}") for name in rows[0] if name != "conversation"}
    given = [
        {"which": row["conversation"], **{f"new_{name}": value for name, value in row.items() if name in values}}
        for row in rows
    ]
    connection.execute(CONVERSATIONS.update().where(place).values(values), given)


def _blocks(names: Sequence[str]) -> Iterator[list[str]]:
    return (list(names[at : at + BLOCK]) for at in range(0, len(names), BLOCK))


def _at(source: str, names: Collection[str]) -> sql.ColumnElement[bool]:
    return (CONVERSATIONS.c.source == source) & CONVERSATIONS.c.conversation.in_(list(names))
