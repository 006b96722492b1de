"""What arrived and what became of it, for people and for the run.

    arrival        waiting -> new -> read;  quarantined or ignored, with a reason
    conversation   validated -> scored -> published;  quarantined or ignored with a reason; duplicate of another one

An arrival (`hbaf.inbox.source`) holds one conversation, or several where it is a table. The ledger (`ledger.py`)
keeps both; `scored_conversations.py` moves the conversations on.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sql

from hbaf.inbox.ledger import ARRIVALS, CONVERSATIONS, Ledger
from hbaf.inbox.scoring_runs import moment
from hbaf.inbox.source import Arrival

STATES = ("waiting", "new", "validated", "scored", "published", "quarantined", "ignored", "duplicate")
HELD = ("quarantined", "ignored", "duplicate")  # what a person may send on again


class InboxError(LookupError):
    """Something is not in the inbox, or not in a state that allows what was asked."""


@dataclass(frozen=True)
class Entry:
    """One line of the inbox: an arrival that is not read, or a conversation.

    Attributes:
        source: name of the source.
        name: of the arrival (its path), or of the conversation (`source/dialogue`).
        state: one of `STATES`.
        reason: why it is in quarantine, ignored or a duplicate, or what it waits for.
        since: when it came into this state.
        first_seen: when it came.
        model_version: of the published score, as `hbaf-calls/3`; "" before.
        rows, unscored: of the published score.
        arrival: that it came in; the name itself for an arrival.
    """

    source: str
    name: str
    kind: Literal["arrival", "conversation"]
    state: str
    reason: str
    since: datetime
    first_seen: datetime
    model_version: str = ""
    rows: int = 0
    unscored: int = 0
    arrival: str = ""


def entries(ledger: Ledger, source: str | None = None, states: Collection[str] = STATES) -> list[Entry]:
    """The lines of the inbox in these states, oldest first."""
    open_arrivals = sql.select(ARRIVALS).where(ARRIVALS.c.state.in_(list(states)))
    conversations = sql.select(CONVERSATIONS).where(CONVERSATIONS.c.state.in_(list(states)))
    if source is not None:
        open_arrivals = open_arrivals.where(ARRIVALS.c.source == source)
        conversations = conversations.where(CONVERSATIONS.c.source == source)
    with ledger.engine.begin() as connection:
        found = [_entry(dict(row), "arrival") for row in connection.execute(open_arrivals).mappings()]
        found += [_entry(dict(row), "conversation") for row in connection.execute(conversations).mappings()]
    return sorted(found, key=lambda entry: (entry.first_seen, entry.source, entry.name))


def counts(ledger: Ledger, source: str | None = None) -> dict[str, int]:
    """State -> number of arrivals that are not read and of conversations; every state of `STATES`."""
    told = dict.fromkeys(STATES, 0)
    with ledger.engine.begin() as connection:
        for table in (ARRIVALS, CONVERSATIONS):
            asked = sql.select(table.c.state, sql.func.count()).group_by(table.c.state)
            if source is not None:
                asked = asked.where(table.c.source == source)
            for state, number in connection.execute(asked):
                if state in told:
                    told[state] += number
    return told


def _entry(row: dict[str, Any], kind: Literal["arrival", "conversation"]) -> Entry:
    return Entry(
        source=row["source"],
        name=row[kind],
        kind=kind,
        state=row["state"],
        reason=row["reason"],
        since=moment(row["state_at"]),
        first_seen=moment(row["first_seen"]),
        model_version=row.get("model_version") or "",
        rows=row.get("rows") or 0,
        unscored=row.get("unscored") or 0,
        arrival=row["arrival"],
    )


def note(ledger: Ledger, source: str, arrivals: Sequence[Arrival], quiet_minutes: float | None, now: float) -> None:
    """Takes in a listing: what is new or changed waits or becomes `new`; what a person ignores stays ignored."""
    listed = {arrival.name for arrival in arrivals}
    with ledger.engine.begin() as connection:
        asked = sql.select(ARRIVALS).where(ARRIVALS.c.source == source)
        known = {row["arrival"]: row for row in connection.execute(asked).mappings()}
        gone = [name for name, row in known.items() if name not in listed and row["state"] != "read"]
        if gone:
            connection.execute(ARRIVALS.delete().where(_arrivals(source, gone)))
        for arrival in arrivals:
            row = known.get(arrival.name)
            same = row is not None and row["fingerprint"] == arrival.fingerprint
            if row is not None and (row["state"] == "ignored" or (same and row["state"] != "waiting")):
                continue
            seen = row["changed_at"] if row is not None and same else now
            ready = arrival.is_ready(now, seen, quiet_minutes)
            told = {
                "fingerprint": arrival.fingerprint,
                "state": "new" if ready else "waiting",
                "reason": "" if ready else _waits_for(quiet_minutes),
                "changed_at": seen,
                "state_at": now,
            }
            if row is None:
                connection.execute(
                    ARRIVALS.insert().values(source=source, arrival=arrival.name, first_seen=now, **told)
                )
            else:
                connection.execute(ARRIVALS.update().where(_arrivals(source, [arrival.name])).values(**told))


def _waits_for(quiet_minutes: float | None) -> str:
    return "its marker" if quiet_minutes is None else f"its marker, or {quiet_minutes:g} minutes without a change"


def to_read(ledger: Ledger, source: str) -> list[str]:
    """Arrivals that are new, that a killed run left half done, or that hold something to score again.

    In order of arrival, so that of two equal conversations the earlier one is published.
    """
    unfinished = sql.select(CONVERSATIONS.c.arrival).where(
        (CONVERSATIONS.c.source == source)
        & (CONVERSATIONS.c.state.in_(("validated", "scored")) | CONVERSATIONS.c.rescore)
    )
    wanted = (ARRIVALS.c.state == "new") | ((ARRIVALS.c.state == "read") & ARRIVALS.c.arrival.in_(unfinished))
    asked = sql.select(ARRIVALS.c.arrival).where((ARRIVALS.c.source == source) & wanted)
    with ledger.engine.begin() as connection:
        return [str(name) for name in connection.scalars(asked.order_by(ARRIVALS.c.first_seen, ARRIVALS.c.arrival))]


def was_read(ledger: Ledger, source: str, arrivals: Sequence[Arrival], now: float) -> None:
    """Notes that all conversations of these arrivals stand in the ledger; one that changed meanwhile stays `new`."""
    with ledger.engine.begin() as connection:
        for arrival in arrivals:
            place = _arrivals(source, [arrival.name]) & (ARRIVALS.c.fingerprint == arrival.fingerprint)
            connection.execute(ARRIVALS.update().where(place).values(state="read", reason="", state_at=now))


def quarantine(ledger: Ledger, source: str, arrival: str, reason: str, now: float) -> None:
    """Sets an arrival aside that cannot be read; it comes back by itself when its files change."""
    with ledger.engine.begin() as connection:
        values = {"state": "quarantined", "reason": reason[:1000], "state_at": now}
        connection.execute(ARRIVALS.update().where(_arrivals(source, [arrival])).values(**values))


def gone(ledger: Ledger, source: str, arrivals: Collection[str], now: float) -> None:
    """Notes that the files of arrivals that were to be read again are not there any more."""
    with ledger.engine.begin() as connection:
        place = (CONVERSATIONS.c.source == source) & CONVERSATIONS.c.arrival.in_(list(arrivals))
        connection.execute(CONVERSATIONS.update().where(place).values(rescore=False))
        half = place & CONVERSATIONS.c.state.in_(("validated", "scored"))
        values = {"state": "quarantined", "reason": "its files are gone from the source", "state_at": now}
        connection.execute(CONVERSATIONS.update().where(half).values(**values))


def retry(ledger: Ledger, name: str, source: str | None, now: float) -> list[str]:
    """Sends on what is in quarantine, ignored or a duplicate; the next run reads it again.

    Args:
        name: of an arrival or a conversation, or "all" for everything in quarantine.

    Returns:
        The names that are sent on.

    Raises:
        InboxError: nothing of that name is held.
    """
    found = entries(ledger, source, ("quarantined",) if name == "all" else HELD)
    chosen = found if name == "all" else _named(found, name, "held")
    with ledger.engine.begin() as connection:
        for entry in chosen:
            arrival = entry.name if entry.kind == "arrival" else _arrival_of(connection, entry)
            if entry.kind == "conversation":
                values = {"state": "validated", "reason": "", "state_at": now}
                connection.execute(CONVERSATIONS.update().where(_conversation(entry)).values(**values))
            # An empty fingerprint differs from every listing, so the next one takes the arrival in again.
            values = {"state": "waiting", "reason": "", "fingerprint": "", "state_at": now}
            connection.execute(ARRIVALS.update().where(_arrivals(entry.source, [arrival])).values(**values))
    return [entry.name for entry in chosen]


def ignore(ledger: Ledger, name: str, reason: str, source: str | None, now: float) -> list[str]:
    """Leaves something out for good, until `retry`.

    Raises:
        InboxError: nothing of that name waits or is in quarantine, or no reason is given.
    """
    if not reason.strip():
        raise InboxError("say why: `--reason TEXT`. It stays beside the entry for whoever looks later.")
    chosen = _named(entries(ledger, source, ("waiting", "new", "quarantined", "duplicate")), name, "to be ignored")
    values = {"state": "ignored", "reason": reason[:1000], "state_at": now}
    with ledger.engine.begin() as connection:
        for entry in chosen:
            if entry.kind == "arrival":
                connection.execute(ARRIVALS.update().where(_arrivals(entry.source, [entry.name])).values(**values))
            else:
                connection.execute(CONVERSATIONS.update().where(_conversation(entry)).values(**values))
    return [entry.name for entry in chosen]


def _named(found: list[Entry], name: str, what: str) -> list[Entry]:
    chosen = [entry for entry in found if name in (entry.name, f"{entry.source}/{entry.name}", _short(entry))]
    if not chosen:
        raise InboxError(f"{name}: nothing of that name is {what}. `hbaf inbox list` shows the names.")
    if len({entry.source for entry in chosen}) > 1:
        raise InboxError(f"{name}: in {', '.join(sorted({e.source for e in chosen}))}. Say which: `--source NAME`.")
    return chosen


def _short(entry: Entry) -> str:
    """A conversation without its source."""
    return entry.name.partition("/")[2] if entry.kind == "conversation" else entry.name


def _arrival_of(connection: sql.Connection, entry: Entry) -> str:
    return str(connection.scalar(sql.select(CONVERSATIONS.c.arrival).where(_conversation(entry))))


def _conversation(entry: Entry) -> sql.ColumnElement[bool]:
    return (CONVERSATIONS.c.source == entry.source) & (CONVERSATIONS.c.conversation == entry.name)


def _arrivals(source: str, names: Collection[str]) -> sql.ColumnElement[bool]:
    return (ARRIVALS.c.source == source) & ARRIVALS.c.arrival.in_(list(names))
