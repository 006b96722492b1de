"""What whoever is on call asks: how scoring is, what is held, whether scores have changed. MLflow is away."""

import json
from pathlib import Path

import pytest

from hbaf.events.event import Kind
from hbaf.events.outbox import events
from hbaf.inbox import scheduled
from hbaf.inbox.scheduled import score_source
from hbaf.inbox.source import SourceParameters
from hbaf.verbs.inbox import inbox, rescore, verify
from hbaf.verbs.monitor import monitor, status
from hbaf.verbs.options import CorpusOptions
from hbaf.verbs.scoring import score
from tests.inbox.conftest import NOWHERE, call, tone
from tests.registry.conftest import write_calls


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "calls"
    for number in range(3):
        call(folder, f"c{number}", 200 + 10 * number)
    return folder


def test_every_verb_of_the_inbox(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def told() -> str:
        return capsys.readouterr().out

    tone(source / "test-line.wav", seconds=61)
    assert inbox() == 0
    assert "nothing arrived yet" in told()
    assert inbox("score", str(source), purpose="research", set_=["source.quiet_minutes=0"]) == 0
    said = told()
    assert "calls: 3 published, 1 quarantined; 9 utterances with hbaf-calls/1 (MLflow cannot be reached" in said
    assert "`hbaf inbox list` says why" in said
    inbox("list")
    said = told()
    assert "quarantined" in said
    assert "3 published, 1 quarantined" in said
    inbox("list", all_=True)
    assert told().count("published") >= 4
    inbox("ignore", "test-line", reason="a test of the line")
    assert told() == "calls/test-line: left out\n"
    inbox("retry", "test-line")
    assert told() == "calls/test-line: is read again by the next run\n"
    assert verify(str(source)) == 0
    assert "9 utterances replayed: the same" in told()
    assert rescore(str(source), since="2020-01-01", purpose="research") == 0
    assert "calls: 1 waiting; 0 utterances" in told()
    (source / "test-line.wav").unlink()
    assert rescore(str(source), since="2020-01-01", purpose="research") == 0
    assert "nothing new" in told()


def test_what_waits_is_counted_and_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call(tmp_path / "calls", "fresh", marked=False)
    assert inbox("score", str(tmp_path / "calls"), purpose="research") == 0
    shown = capsys.readouterr().out
    assert "calls: 1 waiting; 0 utterances" in shown
    assert "unchanged for `source.quiet_minutes`, or with a marker" in shown
    assert "nothing new" not in shown


def test_status_says_what_a_person_should_look_at(
    source: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def told() -> tuple[int, dict[str, object]]:
        code = status(json=True, disk=0)
        return code, json.loads(capsys.readouterr().out)

    parameters = SourceParameters(url=str(source), quiet_minutes=0)
    code, said = told()
    assert (code, said["ok"], said["last_success"]) == (1, False, None)
    score_source(parameters, purpose="research", workers=1)
    code, said = told()
    assert code == 1  # MLflow alone
    assert said["champion"] == "hbaf-calls/1"
    assert said["champion_from"] == "cache"
    assert len(said["problems"]) == 1  # type: ignore[arg-type]
    assert NOWHERE not in str(said["problems"])
    (source / "broken.csv").write_text("speaker,text\nA,hello\n")
    score_source(parameters, purpose="research", workers=1)
    assert any("1 in quarantine, 25.0%" in problem for problem in told()[1]["problems"])  # type: ignore[attr-defined]
    assert [(event.kind, event.facts) for event in events()] == [(Kind.QUARANTINED, {"counts": {"quarantined": 1}})], (
        "the first run had none"
    )

    def fail(order: object) -> None:
        raise OSError("the disk is full")

    call(source, "later", 300)
    monkeypatch.setattr(scheduled, "score_shard", fail)
    with pytest.raises(OSError, match="disk is full"):
        score_source(parameters, purpose="research", workers=1)
    _, said = told()
    assert any("the last run on calls failed (OSError: the disk is full)" in one for one in said["problems"])  # type: ignore[attr-defined]
    assert said["backlog"] == 1
    assert status() == 1
    assert "PROBLEM" in capsys.readouterr().out


def test_the_monitor_looks_without_mlflow(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    score_source(SourceParameters(url=str(source)), purpose="research", workers=1)
    code = monitor(set_=["monitor.min_dialogues=2", "monitor.draws=100"])
    said = capsys.readouterr().out
    assert code == ("CHANGED" in said) == (Kind.CHANGED in [event.kind for event in events()])
    assert "hbaf-calls/1: 9 utterances of 3 conversations" in said
    assert f"{NOWHERE} cannot be reached: this check is not in its curves" in said
    page = Path(said.splitlines()[-1].removeprefix("report: "))
    assert "expected weighted F1" in page.read_text().replace("Expected", "expected")


def test_a_corpus_is_scored_while_mlflow_is_away(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_calls(tmp_path / "calls")
    asked = {"purpose": "research", "csv": True, "options": CorpusOptions(quiet=True)}
    assert score(str(tmp_path / "calls"), **asked) == 0
    said = capsys.readouterr()
    assert "36 utterances of 12 conversations scored with hbaf-calls/1" in said.out
    assert "MLflow cannot be reached" in said.out + said.err
