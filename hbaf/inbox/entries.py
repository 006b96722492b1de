"""What arrived and what became of it, for people.

An arrival (`hbaf.inbox.source`) holds one conversation, or several where it is a table. The ledger keeps both
(`source_ledger.py`), and `states.py` says how they move.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sql

from hbaf.inbox.ledger.database import Ledger
from hbaf.inbox.ledger.forgotten import REASON, ForgottenNames, shown
from hbaf.inbox.ledger.records import moment
from hbaf.inbox.ledger.states import ARRIVAL_MOVES, CONVERSATION_MOVES, HELD, MAY_BE_IGNORED, SHOWN, State, check_moves
from hbaf.inbox.ledger.tables import ARRIVALS, CONVERSATIONS, FORGOTTEN, arrivals_at, conversations_at


class InboxError(LookupError):
    """Something is not in the inbox, or not in a state that allows what was asked."""


@dataclass(frozen=True)
class Entry:
    """One line of the inbox: an arrival that is not read, or a conversation.

    Attributes:
        source: name of the source.
        name: of the arrival (its path), or of the conversation (`source/dialogue`); `~` and digits if forgotten.
        state: any but `read`.
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
    state: State
    reason: str
    since: datetime
    first_seen: datetime
    model_version: str = ""
    rows: int = 0
    unscored: int = 0
    arrival: str = ""

    @property
    def is_forgotten(self) -> bool:
        """Whether its name is not kept."""
        return self.state is State.IGNORED and not self.arrival


TABLES: tuple[tuple[sql.Table, Literal["arrival", "conversation"]], ...] = (
    (ARRIVALS, "arrival"),
    (CONVERSATIONS, "conversation"),
)


class Inbox:
    """The lines of all sources, or of one; what a person does changes them."""

    def __init__(self, ledger: Ledger, source: str | None = None, clock: Callable[[], float] = time.time) -> None:
        self.ledger, self.source, self.clock = ledger, source, clock

    def entries(self, states: Collection[State] = SHOWN) -> list[Entry]:
        """The lines in these states, oldest first."""
        with self.ledger.engine.begin() as connection:
            found = [
                _entry(dict(row), kind)
                for table, kind in TABLES
                for row in connection.execute(
                    self._of(table, sql.select(table)).where(table.c.state.in_(states))
                ).mappings()
            ]
            if State.IGNORED in states:
                rows = connection.execute(self._of(FORGOTTEN, sql.select(FORGOTTEN))).mappings()
                found += [_forgotten(dict(row)) for row in rows]
        return sorted(found, key=lambda entry: (entry.first_seen, entry.source, entry.name))

    def counts(self) -> dict[State, int]:
        """State -> number of arrivals that are not read and of conversations; every state that a line may have."""
        counted: dict[State, int] = dict.fromkeys(SHOWN, 0)
        with self.ledger.engine.begin() as connection:
            for table, _ in TABLES:
                asked = sql.select(table.c.state, sql.func.count()).where(table.c.state.in_(SHOWN))
                for state, number in connection.execute(self._of(table, asked).group_by(table.c.state)):
                    counted[State(state)] += number
            forgotten = self._of(FORGOTTEN, sql.select(sql.func.count()).select_from(FORGOTTEN))
            counted[State.IGNORED] += connection.scalar(forgotten) or 0
        return counted

    def retry(self, name: str) -> list[str]:
        """Sends on what is in quarantine, ignored, forgotten or a duplicate; the next run reads it again.

        Args:
            name: of an arrival or a conversation, or "all" for everything in quarantine.

        Returns:
            The names that are sent on.

        Raises:
            InboxError: nothing of that name is held.
        """
        found = [one for one in self.entries((State.QUARANTINED,) if name == "all" else HELD) if not one.is_forgotten]
        if name != "all" and not _matching(found, name) and self._retry_forgotten(name):
            return [name]
        chosen = found if name == "all" else _named(found, name, "held")
        now = self.clock()
        with self.ledger.engine.begin() as connection:
            for entry in chosen:
                if entry.kind == "conversation":
                    check_moves(CONVERSATION_MOVES, [entry.state], State.VALIDATED, "a conversation")
                    values = {"state": State.VALIDATED, "reason": "", "state_at": now}
                    connection.execute(CONVERSATIONS.update().where(_place(entry)).values(**values))
                place = arrivals_at(entry.source, [entry.arrival])
                before = connection.scalars(sql.select(ARRIVALS.c.state).where(place))
                check_moves(ARRIVAL_MOVES, list(before), State.WAITING, "an arrival")
                # An empty fingerprint differs from every listing, so the next one takes the arrival in again.
                values = {"state": State.WAITING, "reason": "", "fingerprint": "", "state_at": now}
                connection.execute(ARRIVALS.update().where(place).values(**values))
        return [entry.name for entry in chosen]

    def ignore(self, name: str, reason: str) -> list[str]:
        """Leaves something out for good, until `retry`.

        Raises:
            InboxError: nothing of that name waits or is in quarantine, or no reason is given.
        """
        if not reason.strip():
            raise InboxError("say why: `--reason TEXT`. It stays beside the entry for whoever looks later.")
        chosen = _named(self.entries(MAY_BE_IGNORED), name, "to be ignored")
        values = {"state": State.IGNORED, "reason": reason[:1000], "state_at": self.clock()}
        with self.ledger.engine.begin() as connection:
            for entry in chosen:
                moves = ARRIVAL_MOVES if entry.kind == "arrival" else CONVERSATION_MOVES
                check_moves(moves, [entry.state], State.IGNORED, f"this {entry.kind}")
                table = ARRIVALS if entry.kind == "arrival" else CONVERSATIONS
                connection.execute(table.update().where(_place(entry)).values(**values))
        return [entry.name for entry in chosen]

    def _retry_forgotten(self, name: str) -> bool:
        names = [self.source] if self.source is not None else [one.source for one in self.ledger.sources()]
        with self.ledger.engine.begin() as connection:
            found = [ForgottenNames(connection, source).retry(name) for source in names]
        return any(found)

    def _of(self, table: sql.Table, asked: sql.Select[Any]) -> sql.Select[Any]:
        return asked if self.source is None else asked.where(table.c.source == self.source)


def _entry(row: dict[str, Any], kind: Literal["arrival", "conversation"]) -> Entry:
    return Entry(
        source=row["source"],
        name=row[kind],
        kind=kind,
        state=State(row["state"]),
        reason=row["reason"],
        since=moment(row["state_at"]),
        first_seen=moment(row["first_seen"]),
        model_version=row.get("model_version") or "",
        rows=row.get("rows") or 0,
        unscored=row.get("unscored") or 0,
        arrival=row["arrival"],
    )


def _forgotten(row: dict[str, Any]) -> Entry:
    at = moment(row["at"])
    return Entry(row["source"], shown(row["digest"]), "conversation", State.IGNORED, REASON, at, at)


def _matching(found: list[Entry], name: str) -> list[Entry]:
    return [entry for entry in found if name in (entry.name, f"{entry.source}/{entry.name}", _short(entry))]


def _named(found: list[Entry], name: str, what: str) -> list[Entry]:
    chosen = _matching(found, name)
    if not chosen:
        raise InboxError(f"{name}: nothing of that name is {what}. `hbaf inbox list` shows the names.")
    if len({entry.source for entry in chosen}) > 1:
        raise InboxError(f"{name}: in {', '.join(sorted({e.source for e in chosen}))}. Say which: `--source NAME`.")
    return chosen


def _short(entry: Entry) -> str:
    """A conversation without its source."""
    return entry.name.partition("/")[2] if entry.kind == "conversation" else entry.name


def _place(entry: Entry) -> sql.ColumnElement[bool]:
    at = arrivals_at if entry.kind == "arrival" else conversations_at
    return at(entry.source, [entry.name])
