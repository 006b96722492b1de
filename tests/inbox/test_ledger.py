"""What the ledger lets become of what, and what it keeps of what was forgotten."""

import itertools
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sql

from hbaf.inbox.entries import Inbox, InboxError
from hbaf.inbox.ledger.database import Ledger
from hbaf.inbox.ledger.records import Found
from hbaf.inbox.ledger.source_ledger import SourceLedger
from hbaf.inbox.ledger.states import ARRIVAL_MOVES, CONVERSATION_MOVES, MoveError, RunState, State, check_moves
from hbaf.inbox.publish.publication import Publication
from hbaf.inbox.source import Arrival, ArrivedFile
from hbaf.registry.models import RegisteredModel

MODEL = RegisteredModel("model", "1", Path("unused"), "0" * 32)


def arrival(name: str, version: str = "1") -> Arrival:
    return Arrival(name, "recording", (ArrivedFile(f"{name}.wav", 1, 0.0, version),), marked=True)


@pytest.fixture
def ledger(home: Path) -> SourceLedger:
    """Of the source `calls`; its clock ticks."""
    ledger = Ledger.open().of("calls", itertools.count(1.0).__next__)
    ledger.register("/calls", "/published/calls")
    return ledger


def publish(ledger: SourceLedger, *names: str) -> None:
    """A recording each, from its arrival to its score."""
    ledger.note([arrival(name) for name in names], None)
    ledger.take_in([Found(f"calls/{name}", name, f"content of {name}", 1) for name in names], MODEL)
    conversations = [f"calls/{name}" for name in names]
    ledger.scored(conversations)
    ledger.parts_for(dict.fromkeys(conversations, 1))
    ledger.published(
        [Publication(f"calls/{name}", f"content of {name}", MODEL.label, MODEL.run_id, 1, 0) for name in names]
    )
    ledger.was_read([arrival(name) for name in names])


def states() -> dict[str, str]:
    return {entry.name: entry.state for entry in Inbox(Ledger.open()).entries()}


@pytest.mark.parametrize("moves", [ARRIVAL_MOVES, CONVERSATION_MOVES], ids=["arrival", "conversation"])
def test_moves_are_between_states_that_lead_somewhere(moves: dict[State | None, frozenset[State]]) -> None:
    """Each state that can be reached has moves of its own, and from each one a score can be reached."""
    reached = frozenset().union(*moves.values())
    assert reached == set(moves) - {None}
    end = State.READ if State.READ in reached else State.PUBLISHED
    for state in moves:
        seen, open_ = {state}, [state]
        while open_:
            open_ += (new := moves[open_.pop()] - seen)
            seen |= new
        assert end in seen, state


def test_an_undeclared_move_raises_and_changes_nothing(ledger: SourceLedger) -> None:
    publish(ledger, "a")
    with pytest.raises(MoveError, match="published may not become scored"):
        ledger.scored(["calls/a"])
    assert states() == {"calls/a": "published"}
    with pytest.raises(MoveError, match="nothing may not become read"):
        check_moves(ARRIVAL_MOVES, [None], State.READ, "an arrival")
    with pytest.raises(ValueError, match="is not a valid State"):
        check_moves(ARRIVAL_MOVES, ["lost"], State.NEW, "an arrival")


def test_what_a_person_ignores_while_it_is_read_stays_ignored(ledger: SourceLedger) -> None:
    ledger.note([arrival("a")], None)
    Inbox(Ledger.open()).ignore("a", "a test of the line")
    ledger.was_read([arrival("a")])
    ledger.quarantine("a", "not a recording")
    assert states() == {"a": "ignored"}


def test_a_forgotten_name_is_kept_nowhere_and_stays_out(ledger: SourceLedger, home: Path) -> None:
    publish(ledger, "anna", "bob")
    copy = Found("calls/annas-copy", "annas-copy", "content of anna", 1)
    listing = [arrival(name) for name in ("anna", "bob", "annas-copy", "anna-is-broken")]
    ledger.note(listing, None)
    assert ledger.take_in([copy], MODEL) == {"calls/annas-copy": "duplicate"}
    ledger.quarantine("anna-is-broken", "anna-is-broken.wav: not a recording")
    run = ledger.begin_run(MODEL, champion_from="cache", purpose="research")
    ledger.end_run(run, RunState.FAILED, {}, "E: anna")
    ledger.forget(["calls/anna"], ["anna-is-broken"])
    Ledger.open().erase()

    assert [name for name in states() if not name.startswith("~")] == ["calls/bob"]
    assert Inbox(Ledger.open()).counts()[State.IGNORED] == 3, "itself, its copy and what was broken"
    assert not [file for file in (home / "inbox").iterdir() if b"anna" in file.read_bytes()]
    assert Ledger.open().runs()[0].error == "E"

    ledger.note(listing, None)
    assert ledger.to_read() == []
    assert ledger.take_in([Found("calls/anna", "anna", "another content", 1)], MODEL) == {"calls/anna": "ignored"}
    assert [name for name in states() if not name.startswith("~")] == ["calls/bob"]


@pytest.mark.parametrize("by", ["name", "conversation", "shown"])
def test_whoever_knows_the_name_can_have_it_back(ledger: SourceLedger, by: str) -> None:
    publish(ledger, "anna", "bob")
    ledger.forget(["calls/anna"])
    (shown,) = (name for name in states() if name.startswith("~"))
    with pytest.raises(InboxError, match="nothing of that name is held"):
        Inbox(Ledger.open()).retry("berta")
    asked = {"name": "anna", "conversation": "calls/anna", "shown": shown}[by]
    assert Inbox(Ledger.open()).retry(asked) == [asked]
    ledger.note([arrival("anna"), arrival("bob")], None)
    assert ledger.to_read() == ["anna"]


def test_a_ledger_of_version_1_loses_its_forgotten_names(ledger: SourceLedger, home: Path) -> None:
    publish(ledger, "anna", "bob")
    with sqlite3.connect(home / "inbox" / "ledger.sqlite") as database:
        database.execute("update hbaf_inbox_meta set version = 1")
        database.execute("drop table hbaf_inbox_forgotten")
        database.execute(
            "update hbaf_inbox_conversations set state = 'ignored', reason = 'forgotten' "
            "where conversation = 'calls/anna'"
        )
    assert sorted(states().values()) == ["ignored", "published"]
    assert "calls/anna" not in states()
    ledger.note([arrival("anna"), arrival("bob")], None)
    assert ledger.to_read() == []


def test_no_question_of_a_run_reads_all_conversations(ledger: SourceLedger) -> None:
    """Each finds its rows by an index, so that it costs what is new and not what was ever published."""
    publish(ledger, "a", "b")
    asked: list[tuple[str, object]] = []

    @sql.event.listens_for(ledger.engine, "before_cursor_execute")
    def _keep(_c: object, _cursor: object, statement: str, given: object, _context: object, many: bool) -> None:
        asked.append((statement, given[0] if many else given))  # type: ignore[index]  # one of many

    publish(ledger, "c")
    ledger.to_read()
    ledger.newest(200)
    Inbox(Ledger(ledger.engine)).entries((State.QUARANTINED, State.WAITING))
    Inbox(Ledger(ledger.engine), "calls").counts()
    sql.event.remove(ledger.engine, "before_cursor_execute", _keep)
    seen = 0
    with ledger.engine.connect() as connection:
        for statement, given in asked:
            if "hbaf_inbox_conversations" not in statement or statement.lstrip()[:6] not in ("SELECT", "UPDATE"):
                continue
            plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given)]
            plan = [line for line in plan if "hbaf_inbox_conversations" in line]
            whole = [line for line in plan if line.startswith("SCAN") and "USING COVERING INDEX" not in line]
            by_source = [line for line in plan if line.endswith("(source=?)") and "COVERING" not in line]
            # The newest are found by their time, in its order; all else by more than the source.
            assert not whole, (statement, plan)
            assert not by_source or all("hbaf_inbox_by_time" in line for line in by_source), (statement, plan)
            seen += 1
    assert seen > 8


def test_an_older_ledger_gets_the_indexes(home: Path) -> None:
    ledger = Ledger.open()
    with ledger.engine.begin() as connection:
        connection.exec_driver_sql("DROP INDEX hbaf_inbox_by_part")
    names = {one["name"] for one in sql.inspect(Ledger.open().engine).get_indexes("hbaf_inbox_conversations")}
    assert "hbaf_inbox_by_part" in names
