"""What was forgotten of a source, without names: no later run takes it in; whoever knows the name can retry it."""

import hashlib
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

import sqlalchemy as sql

from hbaf.corpus.text.table_files import SUFFIXES as TABLE_SUFFIXES
from hbaf.inbox.ledger.states import State
from hbaf.inbox.ledger.tables import ARRIVALS, CONVERSATIONS, FORGOTTEN, RUNS, arrivals_at, conversations_at, in_blocks

SHOWN_DIGITS = 10  # of a digest, in place of a name
REASON = "forgotten"
REASON_GONE = "why is not kept, as it names what was forgotten"


@dataclass(frozen=True)
class ForgottenNames:
    """The forgotten names of a source, inside a transaction."""

    connection: sql.Connection
    source: str

    def among(self, names: Collection[str], what: Literal["digest", "arrival"]) -> set[str]:
        """Those of these conversations (`digest`) or arrivals that were forgotten."""
        salt = self._salt()
        if salt is None or not names:
            return set()
        digests = {_digest(salt, name): name for name in names}
        column, found = FORGOTTEN.c[what], set[str]()
        for some in in_blocks(digests):
            asked = sql.select(column).where((FORGOTTEN.c.source == self.source) & column.in_(some))
            found |= {digests[digest] for digest in self.connection.scalars(asked)}
        return found

    def add(self, conversations: Collection[str], arrivals: Collection[str], now: float) -> None:
        """Takes names out of the ledger and keeps their digests.

        What only holds the same content goes too, and an arrival with its last conversation; a table's name stays,
        since conversations that nobody forgot may follow in it. Kept errors of runs, which may name one, keep their
        kind alone.
        """
        salt = self._salt() or os.urandom(16).hex()
        rows: dict[str, str] = {}
        for some in in_blocks(conversations):
            contents = sql.select(CONVERSATIONS.c.digest).where(conversations_at(self.source, some))
            copies = (CONVERSATIONS.c.state == State.DUPLICATE) & CONVERSATIONS.c.digest.in_(contents)
            place = conversations_at(self.source, some) | ((CONVERSATIONS.c.source == self.source) & copies)
            asked = sql.select(CONVERSATIONS.c.conversation, CONVERSATIONS.c.arrival).where(place)
            rows |= {row.conversation: row.arrival for row in self.connection.execute(asked)}
        rows |= {name: "" for name in conversations if name not in rows}  # published by a ledger that is no more
        for some in in_blocks(rows):
            self.connection.execute(CONVERSATIONS.delete().where(conversations_at(self.source, some)))
        empty = {arrival for arrival in rows.values() if arrival and not is_table(arrival)} | set(arrivals)
        for some in in_blocks(empty):
            self.connection.execute(ARRIVALS.delete().where(arrivals_at(self.source, some)))
        pairs = [(name, arrival if arrival in empty else "") for name, arrival in rows.items()]
        pairs += [(name, name) for name in arrivals if name not in rows.values()]
        digests = {_digest(salt, name): arrival and _digest(salt, arrival) for name, arrival in pairs}
        known = sql.select(FORGOTTEN.c.digest).where(FORGOTTEN.c.source == self.source)
        new = set(digests) - set(self.connection.scalars(known))
        if new:
            given = [{"digest": digest, "arrival": digests[digest]} for digest in sorted(new)]
            values = {"source": self.source, "salt": salt, "at": now}
            self.connection.execute(FORGOTTEN.insert(), [{**values, **one} for one in given])
        self._clear_reasons({*rows, *empty})
        failed = sql.select(RUNS.c.run, RUNS.c.error).where((RUNS.c.source == self.source) & RUNS.c.error.contains(":"))
        for run, error in list(self.connection.execute(failed)):
            self.connection.execute(RUNS.update().where(RUNS.c.run == run).values(error=error.partition(":")[0]))

    def retry(self, name: str) -> bool:
        """Lets a conversation or arrival of that name, or of that shown digest, come in again; whether there is one."""
        salt = self._salt()
        if salt is None:
            return False
        own = FORGOTTEN.c.source == self.source
        wanted: sql.ColumnElement[bool] = FORGOTTEN.c.digest.in_(
            [_digest(salt, one) for one in (name, f"{self.source}/{name}")]
        )
        if name.startswith("~") and len(name) > SHOWN_DIGITS:
            wanted |= FORGOTTEN.c.digest.startswith(name[1:], autoescape=True)
        if not self.connection.execute(FORGOTTEN.delete().where(own & wanted)).rowcount:
            return False
        # A table that holds it is read again.
        known = list(self.connection.scalars(sql.select(ARRIVALS.c.arrival).where(ARRIVALS.c.source == self.source)))
        for some in in_blocks([arrival for arrival in known if is_table(arrival)]):
            self.connection.execute(ARRIVALS.update().where(arrivals_at(self.source, some)).values(fingerprint=""))
        return True

    def _clear_reasons(self, names: Collection[str]) -> None:
        """What is held because of something that was forgotten does not name it any more."""
        for table, column in ((ARRIVALS, ARRIVALS.c.arrival), (CONVERSATIONS, CONVERSATIONS.c.conversation)):
            own = table.c.source == self.source
            asked = sql.select(column, table.c.reason).where(own & (table.c.reason != ""))
            for held, reason in list(self.connection.execute(asked)):
                if any(name in reason for name in names):
                    self.connection.execute(table.update().where(own & (column == held)).values(reason=REASON_GONE))

    def _salt(self) -> str | None:
        asked = sql.select(FORGOTTEN.c.salt).where(FORGOTTEN.c.source == self.source).limit(1)
        return self.connection.scalar(asked)


def shown(digest: str) -> str:
    """In place of a name."""
    return f"~{digest[:SHOWN_DIGITS]}"


def is_table(arrival: str) -> bool:
    """Whether an arrival is a table, which may hold several conversations."""
    return PurePosixPath(arrival).suffix.lower() in TABLE_SUFFIXES


def forget_names_of_version_1(connection: sql.Connection, now: float) -> None:
    """A ledger of version 1 kept the names of what was forgotten."""
    forgotten = (CONVERSATIONS.c.state == State.IGNORED) & (CONVERSATIONS.c.reason == REASON)
    asked = sql.select(CONVERSATIONS.c.source, CONVERSATIONS.c.conversation).where(forgotten)
    by_source: dict[str, list[str]] = {}
    for source, name in connection.execute(asked):
        by_source.setdefault(source, []).append(name)
    for source, names in by_source.items():
        ForgottenNames(connection, source).add(names, (), now)


def _digest(salt: str, name: str) -> str:
    return hashlib.sha256(f"{salt}{name}".encode("utf-8", "surrogateescape")).hexdigest()
