"""`hbaf verify --repair`: ledger and dataset are made to agree, and what was right stays as it was."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sql

from hbaf.cli import main
from hbaf.inbox.agreement import Disagreement, Fault
from hbaf.inbox.entries import Inbox
from hbaf.inbox.ledger.database import Ledger
from hbaf.inbox.publish.parquet import ParquetDataset
from hbaf.inbox.scheduled import SourceScores, score_source
from hbaf.inbox.source import SourceParameters
from hbaf.inbox.verify_scores import verify_agreement
from tests.inbox.conftest import call
from tests.inbox.test_fencing import scores_database
from tests.inbox.test_kills import database

__all__ = ["database", "scores_database"]  # fixtures
NAMES = ("one", "two", "three")


@pytest.fixture
def parameters(tmp_path: Path) -> SourceParameters:
    for number, name in enumerate(NAMES):
        call(tmp_path / "calls", name, 200 + 20 * number)
    return SourceParameters(url=str(tmp_path / "calls"))


@pytest.fixture
def scored(parameters: SourceParameters) -> SourceScores:
    return run(parameters)


def run(parameters: SourceParameters) -> SourceScores:
    return score_source(parameters, purpose="research", workers=1)


def rows(scores: SourceScores) -> pd.DataFrame:
    """All rows but when they were scored, by id."""
    frame = ParquetDataset(scores.published).read().to_pandas().set_index("utterance_id").sort_index()
    assert not frame.index.duplicated().any()
    frame["probabilities"] = [{emotion: round(p, 4) for emotion, p in pairs} for pairs in frame["probabilities"]]
    return frame[["conversation", "label", "conversation_digest", "run_id", "probabilities"]]


def part(scores: SourceScores, number: int = 1) -> Path:
    return Path(scores.published) / f"part-{number:05}.parquet"


def change(file: Path, change: Callable[[pa.Table], pa.Table], into: Path | None = None) -> None:
    """Rewrites a part as nobody should."""
    pq.write_table(change(pq.read_table(file)), into or file)


def of(name: str) -> pc.Expression:
    return pc.field("conversation") == f"calls/{name}"


def lose_the_file(scores: SourceScores) -> None:
    part(scores).unlink()


def lose_a_conversation(scores: SourceScores) -> None:
    change(part(scores), lambda table: table.filter(~of("two")))


def lose_a_row(scores: SourceScores) -> None:
    change(part(scores), lambda table: table.filter(~(of("two") & (pc.field("turn") == 1))))


def double_rows(scores: SourceScores) -> None:
    change(part(scores), lambda table: pa.concat_tables([table, table.filter(of("one"))]))


def copy_into_another_part(scores: SourceScores) -> None:
    change(part(scores), lambda table: table.filter(of("one")), part(scores, 2))


def move_into_another_part(scores: SourceScores) -> None:
    copy_into_another_part(scores)
    change(part(scores), lambda table: table.filter(~of("one")))


def change_the_content(scores: SourceScores) -> None:
    def other(table: pa.Table) -> pa.Table:
        at = table.column_names.index("conversation_digest")
        digests = table["conversation_digest"].cast(pa.string())
        return table.set_column(at, table.column_names[at], pc.if_else(pc.equal(table["turn"], -1), digests, "another"))

    change(part(scores), other)


def lose_lines_of_the_ledger(scores: SourceScores) -> None:
    with Ledger.open().engine.begin() as connection:
        connection.execute(sql.text("delete from hbaf_inbox_conversations where conversation <> 'calls/one'"))


@pytest.mark.long
@pytest.mark.parametrize(
    ("damage", "faults"),
    [
        (lose_the_file, dict.fromkeys(NAMES, Fault.MISSING)),
        (lose_a_conversation, {"two": Fault.MISSING}),
        (lose_a_row, {"two": Fault.OTHER}),
        (double_rows, {"one": Fault.OTHER}),
        (copy_into_another_part, {"one": Fault.TWICE}),
        (move_into_another_part, {"one": Fault.MOVED}),
        (change_the_content, dict.fromkeys(NAMES, Fault.OTHER)),
        (lose_lines_of_the_ledger, dict.fromkeys(("two", "three"), Fault.UNKNOWN)),
    ],
)
def test_what_differs_is_named_and_mended(
    parameters: SourceParameters,
    scored: SourceScores,
    damage: Callable[[SourceScores], None],
    faults: dict[str, Fault],
    capsys: pytest.CaptureFixture[str],
) -> None:
    expected = rows(scored)
    assert verify_agreement(parameters) == []
    damage(scored)
    found = {one.conversation.removeprefix("calls/"): one.fault for one in verify_agreement(parameters)}
    assert found == faults
    untouched = (
        ParquetDataset(scored.published).read().filter(~pc.field("conversation").isin([f"calls/{n}" for n in faults]))
    )
    with pytest.raises(SystemExit) as ended:
        main(["verify", parameters.url, "--repair"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert all(f"calls/{name}: {fault} -> " in printed for name, fault in faults.items())
    assert verify_agreement(parameters, repair=True) == []
    run(parameters)
    pd.testing.assert_frame_equal(rows(scored), expected)
    left = (
        ParquetDataset(scored.published).read().filter(~pc.field("conversation").isin([f"calls/{n}" for n in faults]))
    )
    assert left.sort_by("utterance_id").equals(untouched.sort_by("utterance_id"))
    assert verify_agreement(parameters) == []
    assert {entry.state for entry in Inbox(Ledger.open()).entries()} == {"published"}
    assert run(parameters).counts == {}


def test_the_verb_says_so_and_ends_with_1(
    parameters: SourceParameters, scored: SourceScores, capsys: pytest.CaptureFixture[str]
) -> None:
    lose_a_conversation(scored)
    with pytest.raises(SystemExit) as ended:
        main(["verify", parameters.url])
    assert ended.value.code == 1
    printed = capsys.readouterr().out
    assert "calls/two: the ledger calls it published, and the dataset lacks it\n" in printed
    assert "--repair` mends it" in printed
    with pytest.raises(SystemExit):
        main(["verify", parameters.url, "--repair"])
    assert (
        "calls/two: the ledger calls it published, and the dataset lacks it -> the next run" in capsys.readouterr().out
    )
    run(parameters)
    with pytest.raises(SystemExit) as ended:
        main(["verify", parameters.url])
    assert ended.value.code == 0
    assert "ledger and dataset agree\n9 utterances replayed: the same" in capsys.readouterr().out


def test_what_was_forgotten_is_taken_out(parameters: SourceParameters, scored: SourceScores) -> None:
    """A dataset that was brought back from a backup."""
    with Ledger.open().alone("calls") as fence:
        Ledger.open().of("calls", fence=fence).forget(["calls/two"])
    assert [(one.conversation, one.fault) for one in verify_agreement(parameters)] == [("calls/two", Fault.FORGOTTEN)]
    verify_agreement(parameters, repair=True)
    assert verify_agreement(parameters) == []
    assert set(rows(scored)["conversation"]) == {"calls/one", "calls/three"}


def test_a_lost_ledger_takes_in_what_is_published(
    parameters: SourceParameters, scored: SourceScores, home: Path
) -> None:
    expected = rows(scored)
    for file in (home / "inbox").glob("ledger.sqlite*"):
        file.unlink()
    assert {one.fault for one in verify_agreement(parameters, repair=True)} == {Fault.UNKNOWN}
    assert run(parameters).counts == {"unchanged": 3}
    pd.testing.assert_frame_equal(rows(scored), expected)
    assert verify_agreement(parameters) == []


def test_a_run_compares_what_it_published(parameters: SourceParameters, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something else takes the part away before the run ends; the next run publishes it again."""
    from hbaf.inbox import scheduled

    check = scheduled.Agreement.differences

    def after_a_loss(agreement: scheduled.Agreement, names: set[str]) -> object:
        Path(agreement.parquet.url, "part-00001.parquet").unlink()
        return check(agreement, names)

    with monkeypatch.context() as patch:
        patch.setattr(scheduled.Agreement, "differences", after_a_loss)
        with pytest.raises(Disagreement, match="differ on 3 conversations that this run published"):
            run(parameters)
    assert Ledger.open().runs()[0].state == "failed"
    assert run(parameters).counts == {"published": 3}
    assert verify_agreement(parameters) == []


def test_a_run_compares_one_part_at_a_time(parameters: SourceParameters, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it holds at its end does not grow with what it published."""
    from hbaf.inbox import scheduled
    from hbaf.inbox.ledger import source_ledger

    compared: list[set[str]] = []
    check = scheduled.Agreement.differences
    monkeypatch.setattr(source_ledger, "PART_ROWS", 1)  # a part for each conversation
    monkeypatch.setattr(
        scheduled.Agreement, "differences", lambda one, names: compared.append(names) or check(one, names)
    )
    run(parameters)
    assert sorted(map(len, compared)) == [1, 1, 1]
    assert len(set.union(*compared)) == 3


@pytest.mark.slow  # starts PostgreSQL
def test_each_place_is_mended_from_the_other(
    parameters: SourceParameters, scores_database: sql.Engine, tmp_path: Path
) -> None:
    scored = run(parameters)
    expected = rows(scored)
    lose_a_conversation(scored)
    with scores_database.begin() as connection:
        connection.execute(sql.text("delete from hbaf.scores where conversation = 'calls/one' and turn = 1"))
        connection.execute(sql.text("delete from hbaf.conversations where conversation = 'calls/three'"))
    found = verify_agreement(parameters, repair=True)
    assert {one.conversation: (one.fault, one.restored) for one in found} == {
        "calls/one": (Fault.POSTGRES, False),
        "calls/three": (Fault.POSTGRES, False),
        "calls/two": (Fault.MISSING, True),
    }
    assert verify_agreement(parameters) == []
    pd.testing.assert_frame_equal(rows(scored), expected)
    assert run(parameters).counts == {}
    with scores_database.begin() as connection:
        assert connection.scalar(sql.text("select count(*) from hbaf.current")) == 9
