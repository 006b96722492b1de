"""What the ledger says of one source: arrivals, conversations and runs, each moving only as `states.py` declares.

What is published of a conversation (`published_digest`, `model_version`, `part`) stays noted while a newer content of
it waits or is in quarantine: the earlier score stands until a later one supersedes it.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sql

from hbaf.files import one_place
from hbaf.home import located, portable
from hbaf.inbox.ledger.decisions import Decision, decide
from hbaf.inbox.ledger.fence import Fence
from hbaf.inbox.ledger.forgotten import ForgottenNames
from hbaf.inbox.ledger.records import Conversation, Found, LedgerError
from hbaf.inbox.ledger.states import (
    ARRIVAL_MOVES,
    CONVERSATION_MOVES,
    HOLDING_CONTENT,
    UNFINISHED,
    RunState,
    State,
    check_moves,
)
from hbaf.inbox.ledger.tables import (
    ARRIVALS,
    CONVERSATIONS,
    RUNS,
    SETTINGS,
    SOURCES,
    arrivals_at,
    conversations_at,
    in_blocks,
    update_conversations,
)
from hbaf.inbox.publish.parquet import ParquetDataset, canonical
from hbaf.inbox.publish.publication import Publication
from hbaf.inbox.source import Arrival
from hbaf.registry.models import RegisteredModel

PART_ROWS = 50_000  # rows of a published file before the next one is begun
Columns = Mapping[str, Any]


class SourceLedger:
    """One source; each method is one transaction. Times are the clock's, in seconds since 1970."""

    def __init__(self, engine: sql.Engine, source: str, clock: Callable[[], float], fence: Fence | None = None) -> None:
        self.engine, self.source, self.clock, self.fence = engine, source, clock, fence

    @contextmanager
    def _writing(self) -> Iterator[sql.Connection]:
        """A transaction of the newest writer.

        Raises:
            hbaf.inbox.ledger.fence.LostLock: another writer has begun; nothing was changed.
        """
        with self.engine.begin() as connection:
            if self.fence is not None:
                self.fence.check_within(connection)
            yield connection

    def register(self, url: str, published: str) -> None:
        """Notes where the source is and where its scores go.

        Raises:
            LedgerError: another place has that name already, or another source is published at that place.
        """
        self.check_place(published)
        with self._writing() as connection:
            known = connection.execute(sql.select(SOURCES).where(SOURCES.c.source == self.source)).mappings().first()
            if known is None:
                connection.execute(
                    SOURCES.insert().values(source=self.source, url=portable(url), published=portable(published))
                )
            elif url not in (at := located(known["url"]), str(one_place(at))):
                raise LedgerError(
                    f"a source called {self.source} is at {known['url']} already, not at {url}. Give this one another "
                    "name."
                )
            elif located(known["published"]) != published:
                raise LedgerError(
                    f"the scores of {self.source} are published in {known['published']} already, not in {published}. "
                    "Move that folder and `hbaf inbox` will not know it; or give this source another name and score it "
                    "anew."
                )

    def check_place(self, published: str) -> None:
        """Refuses a place that another source is published at: each would take the other's rows for its own.

        Raises:
            LedgerError: there is one.
        """
        with self.engine.begin() as connection:
            places = {row.source: located(row.published) for row in connection.execute(sql.select(SOURCES))}
        others = {name for name, place in places.items() if canonical(place) == canonical(published)}
        # Of two sources that an older hbaf published at one place, the first one that writes again keeps it.
        owner = ParquetDataset(published).owner or (
            self.source if self.source in others else min(others, default=self.source)
        )
        if owner != self.source:
            raise LedgerError(
                f"{self.source} cannot be published in {published}: the scores of {owner} are, and two sources at one "
                "place would take each other's rows out. Give this one another place: `--set source.published=FOLDER`"
                + (" and another name: `--set source.name=NAME`." if self.source in places else ".")
            )

    def begin_run(self, model: RegisteredModel, *, champion_from: str, purpose: str) -> int:
        """Notes a run; one that a dead process left `running` on this source has failed."""
        now = self.clock()
        with self._writing() as connection:
            left = (RUNS.c.source == self.source) & (RUNS.c.state == RunState.RUNNING)
            dead = {"state": RunState.FAILED, "ended_at": now, "error": "interrupted: its process ended"}
            connection.execute(RUNS.update().where(left).values(dead))
            asked = {
                "model_version": model.label,
                "run_id": model.run_id,
                "champion_from": champion_from,
                "purpose": purpose,
            }
            begun = {"state": RunState.RUNNING, "started_at": now, "counts": "{}", "error": ""}
            made = connection.execute(RUNS.insert().values(source=self.source, **asked, **begun))
            assert made.inserted_primary_key is not None
            return int(made.inserted_primary_key[0])

    def end_run(self, run: int, state: RunState, counts: Mapping[str, int], error: str = "") -> None:
        """Notes how a run ended; that it failed also when another one has begun since."""
        values = {"state": state, "ended_at": self.clock(), "counts": json.dumps(counts), "error": error[:500]}
        with self.engine.begin() if state is RunState.FAILED else self._writing() as connection:
            connection.execute(RUNS.update().where(RUNS.c.run == run).values(**values))

    def note(self, arrivals: Sequence[Arrival], quiet_minutes: float | None, reading: str = "") -> None:
        """Takes in a listing: what is new or changed waits or becomes `new`; what a person ignores stays ignored.

        Args:
            reading: digest of the settings that arrivals are read with. What is in quarantine and was read with others
                is read again.
        """
        now, listed = self.clock(), {arrival.name for arrival in arrivals}
        with self._writing() as connection:
            asked = sql.select(ARRIVALS).where(ARRIVALS.c.source == self.source)
            known = {row["arrival"]: row for row in connection.execute(asked).mappings()}
            names = ForgottenNames(connection, self.source)
            forgotten = names.among(listed - known.keys(), "arrival")
            gone = [name for name, row in known.items() if name not in listed and row["state"] != State.READ]
            for some in in_blocks(gone):
                connection.execute(ARRIVALS.delete().where(arrivals_at(self.source, some)))
            again = self._held(connection) if reading and self._read_with_others(connection, reading) else set()
            for arrival in arrivals:
                if arrival.name in forgotten:
                    continue
                row = known.get(arrival.name)
                same = row is not None and row["fingerprint"] == arrival.fingerprint
                settled = same and row is not None and row["state"] != State.WAITING and arrival.name not in again
                if row is not None and (row["state"] == State.IGNORED or settled):
                    continue
                seen = row["changed_at"] if row is not None and same else now
                ready = arrival.is_ready(now, seen, quiet_minutes)
                facts = {
                    "fingerprint": arrival.fingerprint,
                    "reason": "" if ready else _waits_for(quiet_minutes),
                    "changed_at": seen,
                }
                state = State.NEW if ready else State.WAITING
                if row is not None:
                    self._move_arrivals(connection, [arrival.name], state, facts)
                    continue
                check_moves(ARRIVAL_MOVES, [None], state, "an arrival")
                first = {"source": self.source, "arrival": arrival.name, "first_seen": now, "state_at": now}
                connection.execute(ARRIVALS.insert().values(**first, state=state, **facts))

    def to_read(self) -> list[str]:
        """Arrivals that are new, that a killed run left half done, or that hold something to score again.

        In order of arrival, so that of two equal conversations the earlier one is published.
        """
        own = CONVERSATIONS.c.source == self.source
        # Two questions, as each has its index.
        half = sql.select(CONVERSATIONS.c.arrival).where(own & CONVERSATIONS.c.state.in_(UNFINISHED))
        unfinished = half.union(
            sql.select(CONVERSATIONS.c.arrival).where(own & (CONVERSATIONS.c.rescore == sql.true()))
        )
        read_again = (ARRIVALS.c.state == State.READ) & ARRIVALS.c.arrival.in_(unfinished)
        wanted = (ARRIVALS.c.source == self.source) & ((ARRIVALS.c.state == State.NEW) | read_again)
        asked = sql.select(ARRIVALS.c.arrival).where(wanted).order_by(ARRIVALS.c.first_seen, ARRIVALS.c.arrival)
        with self.engine.begin() as connection:
            return [str(name) for name in connection.scalars(asked)]

    def was_read(self, arrivals: Sequence[Arrival]) -> None:
        """Notes that all conversations of these arrivals stand in the ledger.

        One that changed meanwhile stays `new`; what a person did meanwhile stays too.
        """
        with self._writing() as connection:
            for arrival in arrivals:
                same = (ARRIVALS.c.fingerprint == arrival.fingerprint) & ARRIVALS.c.state.in_((State.NEW, State.READ))
                self._move_arrivals(connection, [arrival.name], State.READ, {"reason": ""}, only=same)

    def quarantine(self, arrival: str, reason: str) -> None:
        """Sets an arrival aside that cannot be read; it comes back by itself when its files change."""
        with self._writing() as connection:
            asked = ARRIVALS.c.state.in_((State.NEW, State.READ, State.QUARANTINED))  # a person may have ignored it
            self._move_arrivals(connection, [arrival], State.QUARANTINED, {"reason": _kept(reason)}, only=asked)
            # What a killed run left half done of it is not asked for again before its files change.
            self._give_up(connection, [arrival], reason)

    def quarantine_conversations(self, reasons: Mapping[str, str]) -> None:
        """Sets conversations aside that cannot be scored; they come back when their arrival changes."""
        with self._writing() as connection:
            rows = [{"conversation": name, "reason": _kept(reason)} for name, reason in reasons.items()]
            self._move(connection, rows, State.QUARANTINED)

    def names_taken(self, found: Sequence[Found], listed: Collection[str]) -> dict[str, str]:
        """Arrival -> why it is not taken in: another one that still lies there holds a conversation of that name.

        Args:
            listed: names of all arrivals that lie in the source.
        """
        with self.engine.begin() as connection:
            known = self._known(connection, [one.name for one in found])
        owners = {one: known[one.name].arrival for one in found if one.name in known}
        return {
            one.arrival: name_is_taken(one.name, owner)
            for one, owner in owners.items()
            if owner != one.arrival and owner in listed
        }

    def files_are_gone(self, arrivals: Collection[str]) -> None:
        """Notes that the files of arrivals that were to be read again are not there any more."""
        with self._writing() as connection:
            for some in in_blocks(arrivals):
                place = (CONVERSATIONS.c.source == self.source) & CONVERSATIONS.c.arrival.in_(some)
                connection.execute(CONVERSATIONS.update().where(place).values(rescore=False))
            self._give_up(connection, arrivals, "its files are gone from the source")

    def take_in(self, found: Sequence[Found], model: RegisteredModel) -> dict[str, Decision]:
        """Decides for each conversation whether it is to be scored."""
        now = self.clock()
        decisions: dict[str, Decision] = {}
        new: list[dict[str, Any]] = []
        changed: list[dict[str, Any]] = []
        left: set[str] = set()  # digests that a conversation does not have any more
        with self._writing() as connection:
            known = self._known(connection, [one.name for one in found])
            holders = self._holders(connection, {one.digest for one in found})
            forgotten = ForgottenNames(connection, self.source).among([one.name for one in found], "digest")
            for one in found:
                if one.name in forgotten:
                    decisions[one.name] = "ignored"
                    continue
                before = known.get(one.name)
                decision, state, reason = decide(one, before, holders.get(one.digest, {}), model)
                decisions[one.name] = decision
                if state is None:  # ignored: as it was, but for the arrival that it comes in
                    assert before is not None
                    kept = {"digest": before.digest, "state": before.state, "reason": before.reason}
                    values = {**kept, "rescore": before.rescore, "arrival": one.arrival, "state_at": now}
                else:
                    earlier = None if before is None else before.state
                    check_moves(CONVERSATION_MOVES, [earlier], state, "a conversation")
                    values = {"digest": one.digest, "state": state, "reason": _kept(reason), "rescore": False}
                    values |= {"arrival": one.arrival, "state_at": now}
                    if before is not None:
                        holders.get(before.digest, {}).pop(one.name, None)
                    if state in HOLDING_CONTENT:
                        holders.setdefault(one.digest, {})[one.name] = None
                if before is None:
                    new.append({"source": self.source, "conversation": one.name, "first_seen": now, **values})
                    continue
                changed.append({"conversation": one.name, **values})
                if state is not None and before.digest != one.digest:
                    left.add(before.digest)
            if new:
                connection.execute(CONVERSATIONS.insert(), new)
            update_conversations(connection, self.source, changed)
            for digest in sorted(left):
                self._release_duplicates(connection, digest)
        return decisions

    def scored(self, names: Collection[str]) -> None:
        """Notes that conversations were scored."""
        with self._writing() as connection:
            self._move(connection, [{"conversation": name} for name in names], State.SCORED)

    def parts_for(self, sizes: dict[str, int]) -> dict[str, int]:
        """The part that each conversation is published in; it stays there for ever, so no reader meets it twice.

        Args:
            sizes: conversation -> rows.
        """
        own = CONVERSATIONS.c.source == self.source
        with self._writing() as connection:
            parts = {name: row.part for name, row in self._known(connection, list(sizes)).items()}
            placed: list[dict[str, Any]] = []
            part = int(connection.scalar(sql.select(sql.func.max(CONVERSATIONS.c.part)).where(own)) or 1)
            place = own & (CONVERSATIONS.c.part == part)
            filled = int(connection.scalar(sql.select(sql.func.sum(CONVERSATIONS.c.rows)).where(place)) or 0)
            for name, rows in sizes.items():
                if parts.get(name) is not None:
                    continue
                if filled and filled + rows > PART_ROWS:
                    part, filled = part + 1, 0
                filled += rows
                parts[name] = part
                placed.append({"conversation": name, "part": part, "rows": rows})
            update_conversations(connection, self.source, placed)
        return {name: part for name, part in parts.items() if part is not None}

    def published(self, publications: Sequence[Publication]) -> None:
        """Notes what stands in every place that the results go to."""
        with self._writing() as connection:
            rows = [{**self._published(one), "reason": "", "rescore": False} for one in publications]
            self._move(connection, rows, State.PUBLISHED)

    def _published(self, one: Publication) -> dict[str, Any]:
        return {
            "conversation": one.conversation,
            "published_digest": one.digest,
            "model_version": one.model_version,
            "run_id": one.run_id,
            "rows": one.rows,
            "unscored": one.unscored,
            "published_at": self.clock(),
        }

    def conversations(self, names: Collection[str] | None = None) -> dict[str, Conversation]:
        """Conversation -> what is noted of it, of some or all."""
        with self.engine.begin() as connection:
            if names is not None:
                return self._known(connection, list(names))
            asked = sql.select(CONVERSATIONS).where(CONVERSATIONS.c.source == self.source)
            return {row["conversation"]: Conversation.of(row) for row in connection.execute(asked).mappings()}

    def newest(self, limit: int) -> dict[str, int]:
        """Conversation -> part, of those that were published last, newest first."""
        there = (CONVERSATIONS.c.source == self.source) & CONVERSATIONS.c.published_digest.is_not(None)
        asked = sql.select(CONVERSATIONS.c.conversation, CONVERSATIONS.c.part).where(there)
        ordered = asked.order_by(CONVERSATIONS.c.published_at.desc(), CONVERSATIONS.c.conversation).limit(limit)
        with self.engine.begin() as connection:
            return {str(name): int(part) for name, part in connection.execute(ordered)}

    def forgotten_among(self, names: Collection[str]) -> set[str]:
        """Those of these conversations that were forgotten."""
        with self.engine.begin() as connection:
            return ForgottenNames(connection, self.source).among(names, "digest")

    def publish_again(self, names: Collection[str]) -> None:
        """Notes that what was published of conversations is there no more: the next run scores them again."""
        nothing = dict.fromkeys(("published_digest", "model_version", "run_id", "unscored", "published_at"))
        with self._writing() as connection:
            known = self._known(connection, list(names))
            update_conversations(connection, self.source, [{"conversation": name, **nothing} for name in known])
            held = [{"conversation": name} for name, one in known.items() if one.state == State.PUBLISHED]
            self._move(connection, held, State.VALIDATED)

    def note_standing(self, arrivals: Mapping[str, str], publications: Sequence[Publication]) -> None:
        """Notes conversations that were found in the dataset as published there, in whatever state they are.

        Args:
            arrivals: conversation -> the arrival that it came in, by its rows.
        """
        now = self.clock()
        with self._writing() as connection:
            known = self._known(connection, [one.conversation for one in publications])
            new = [one for one in publications if one.conversation not in known]
            check_moves(CONVERSATION_MOVES, [None] if new else [], State.PUBLISHED, "a conversation")
            for one in new:
                first = {"source": self.source, "conversation": one.conversation, "first_seen": now, "state_at": now}
                facts = {"arrival": arrivals[one.conversation], "digest": one.digest, "state": State.PUBLISHED}
                connection.execute(CONVERSATIONS.insert().values(**first, **facts))
            update_conversations(connection, self.source, [self._published(one) for one in publications])

    def note_parts(self, parts: Mapping[str, int]) -> None:
        """Notes the part that conversations stand in, where that is another one."""
        rows = [{"conversation": name, "part": part} for name, part in parts.items()]
        with self._writing() as connection:
            update_conversations(connection, self.source, rows)

    def to_rescore(self, since: float, model: RegisteredModel) -> int:
        """Marks what came since then and was scored by another model; returns how many."""
        place = (
            (CONVERSATIONS.c.source == self.source)
            & (CONVERSATIONS.c.state == State.PUBLISHED)
            & (CONVERSATIONS.c.first_seen >= since)
            & sql.case(
                (CONVERSATIONS.c.run_id.is_(None), CONVERSATIONS.c.model_version != model.label),
                else_=CONVERSATIONS.c.run_id != model.run_id,
            )
        )
        with self._writing() as connection:
            return connection.execute(CONVERSATIONS.update().where(place).values(rescore=True)).rowcount

    def names_of(self, name: str | None) -> tuple[list[str], list[str]]:
        """Conversations, and arrivals that are not read, of that name, with or without the source; None: all."""
        with self.engine.begin() as connection:
            own = sql.select(CONVERSATIONS.c.conversation).where(CONVERSATIONS.c.source == self.source)
            unread = sql.select(ARRIVALS.c.arrival).where(
                (ARRIVALS.c.source == self.source) & (ARRIVALS.c.state != State.READ)
            )
            if name is not None:
                inside = name.removeprefix(f"{self.source}/")
                own = own.where(CONVERSATIONS.c.conversation.in_((name, f"{self.source}/{name}")))
                unread = unread.where(ARRIVALS.c.arrival.in_((name, inside)))
            return list(connection.scalars(own)), list(connection.scalars(unread))

    def forget(self, conversations: Collection[str], arrivals: Collection[str] = ()) -> None:
        """Takes names out for good: no later run publishes them again from the same source."""
        with self._writing() as connection:
            ForgottenNames(connection, self.source).add(conversations, arrivals, self.clock())

    def _move(self, connection: sql.Connection, rows: Sequence[dict[str, Any]], state: State) -> None:
        """Sets columns of conversations, by `conversation`, and their state."""
        known = self._known(connection, [row["conversation"] for row in rows])
        check_moves(CONVERSATION_MOVES, {row.state for row in known.values()}, state, "a conversation")
        now = self.clock()
        update_conversations(connection, self.source, [{**row, "state": state, "state_at": now} for row in rows])

    def _move_arrivals(
        self,
        connection: sql.Connection,
        names: Collection[str],
        state: State,
        values: Columns,
        only: sql.ColumnElement[bool] | None = None,
    ) -> None:
        for some in in_blocks(names):
            place = arrivals_at(self.source, some) if only is None else arrivals_at(self.source, some) & only
            before = connection.scalars(sql.select(ARRIVALS.c.state).where(place).distinct())
            check_moves(ARRIVAL_MOVES, list(before), state, "an arrival")
            connection.execute(ARRIVALS.update().where(place).values(state=state, state_at=self.clock(), **values))

    def _give_up(self, connection: sql.Connection, arrivals: Collection[str], reason: str) -> None:
        """What is half done of arrivals that cannot be read is in quarantine with them."""
        for some in in_blocks(arrivals):
            place = (CONVERSATIONS.c.source == self.source) & CONVERSATIONS.c.arrival.in_(some)
            half = sql.select(CONVERSATIONS.c.conversation).where(place & CONVERSATIONS.c.state.in_(UNFINISHED))
            rows = [{"conversation": name, "reason": _kept(reason)} for name in connection.scalars(half)]
            self._move(connection, rows, State.QUARANTINED)

    def _known(self, connection: sql.Connection, names: Sequence[str]) -> dict[str, Conversation]:
        """Conversation -> its row."""
        found: dict[str, Conversation] = {}
        for some in in_blocks(names):
            asked = sql.select(CONVERSATIONS).where(conversations_at(self.source, some))
            found |= {row["conversation"]: Conversation.of(row) for row in connection.execute(asked).mappings()}
        return found

    def _holders(self, connection: sql.Connection, digests: Collection[str]) -> dict[str, dict[str, None]]:
        """Digest -> the conversations that are, or will be, published with that content, in a lasting order."""
        found: dict[str, dict[str, None]] = {}
        columns = (CONVERSATIONS.c.digest, CONVERSATIONS.c.conversation)
        for some in in_blocks(sorted(digests)):
            place = (CONVERSATIONS.c.source == self.source) & CONVERSATIONS.c.digest.in_(some)
            holding = place & CONVERSATIONS.c.state.in_(HOLDING_CONTENT)
            # Put in order here: asked for in order, SQLite reads all conversations for one digest.
            for digest, name in sorted(map(tuple, connection.execute(sql.select(*columns).where(holding)))):
                found.setdefault(digest, {})[name] = None
        return found

    def _read_with_others(self, connection: sql.Connection, reading: str) -> bool:
        """Whether arrivals were read with other settings before, or nobody knows with which; notes those of now."""
        own = SETTINGS.c.source == self.source
        before = connection.scalar(sql.select(SETTINGS.c.digest).where(own))
        if before is None:
            connection.execute(SETTINGS.insert().values(source=self.source, digest=reading))
        elif before != reading:
            connection.execute(SETTINGS.update().where(own).values(digest=reading))
        return before != reading

    def _held(self, connection: sql.Connection) -> set[str]:
        """Arrivals that are in quarantine, or of which a conversation is."""
        return {
            str(name)
            for table in (ARRIVALS, CONVERSATIONS)
            for name in connection.scalars(
                sql.select(table.c.arrival).where(
                    (table.c.source == self.source) & (table.c.state == State.QUARANTINED)
                )
            )
        }

    def _release_duplicates(self, connection: sql.Connection, digest: str) -> None:
        """What was equal to a conversation that has changed is read again: it may be the only one of its content."""
        place = (CONVERSATIONS.c.source == self.source) & (CONVERSATIONS.c.digest == digest)
        asked = sql.select(CONVERSATIONS.c.arrival).where(place & (CONVERSATIONS.c.state == State.DUPLICATE))
        arrivals = list(connection.scalars(asked))
        was_read = ARRIVALS.c.state == State.READ
        self._move_arrivals(connection, arrivals, State.NEW, {}, only=was_read)


def name_is_taken(conversation: str, owner: str) -> str:
    """Why an arrival is not read: another one that lies there holds a conversation of that name."""
    return (
        f"its conversation would be called {conversation}, as the one in {owner} is (blanks and the kind of a table do "
        "not tell names apart). Rename it; it then comes back by itself."
    )


def _kept(reason: str) -> str:
    """As a database keeps it: names that are no UTF-8 and NUL are written out."""
    return reason.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")[:1000]


def _waits_for(quiet_minutes: float | None) -> str:
    return "its marker" if quiet_minutes is None else f"its marker, or {quiet_minutes:g} minutes without a change"
