"""Scheduled scoring of a source: once, again, of what comes later, and of what cannot be read."""

import itertools
import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from hbaf.inbox import scheduled
from hbaf.inbox.entries import Inbox, InboxError
from hbaf.inbox.ledger.database import Ledger
from hbaf.inbox.ledger.source_ledger import SourceLedger
from hbaf.inbox.ledger.tables import SOURCES
from hbaf.inbox.publish.parquet import ParquetDataset
from hbaf.inbox.rescore import rescore
from hbaf.inbox.scheduled import SourceScores, score_source
from hbaf.inbox.shards import validate_shard
from hbaf.inbox.source import SourceParameters
from hbaf.inbox.verify_scores import verify_scores
from hbaf.scoring.schema import as_scores
from tests.inbox.conftest import Cached, call, tone, transcript


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "calls"
    folder.mkdir()
    return folder


def run(source: Path, **settings: object) -> SourceScores:
    return score_source(SourceParameters(url=str(source), **settings), purpose="research", workers=1)  # type: ignore[arg-type]


def published(result: SourceScores) -> pd.DataFrame:
    return as_scores(ParquetDataset(result.published).read()).set_index("utterance_id").sort_index()


def states(source: str = "calls") -> dict[str, str]:
    return {entry.name: entry.state for entry in Inbox(Ledger.open(), source).entries()}


def reason(name: str) -> str:
    return next(entry.reason for entry in Inbox(Ledger.open()).entries() if entry.name == name)


def test_only_what_is_new_is_scored_and_any_tool_reads_the_result(source: Path) -> None:
    call(source, "one", 200)
    first = run(source)
    assert first.counts == {"published": 1}
    assert first.champion_from == "cache"
    call(source, "2026/11/two", 220)
    second = run(source, also=("csv", "jsonl"))
    assert second.counts == {"published": 1}
    assert run(source).counts == {}
    table = pd.read_parquet(second.published)
    assert sorted(table["utterance_id"]) == [f"calls/{name}/{n}" for name in ("2026:11:two", "one") for n in range(3)]
    assert set(table["status"]) == {"scored"}
    assert set(table["purpose"]) == {"research"}
    scores = published(second)
    assert scores.filter(like="p_").sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-4)
    assert [record.counts for record in Ledger.open().runs()] == [{}, {"published": 1}, {"published": 1}]
    exports = Path(os.environ["HBAF_HOME"], "exports", "calls")
    assert len(pd.read_csv(exports / "scores.csv")) == 6
    lines = [json.loads(line) for line in (exports / "scores.jsonl").read_text().splitlines()]
    assert sum(lines[0]["probabilities"].values()) == pytest.approx(1, abs=1e-4)


def test_what_is_being_written_waits_and_a_marker_ends_the_wait(source: Path) -> None:
    call(source, "fresh", marked=False)
    assert run(source).counts == {"waiting": 1}
    assert states() == {"fresh": "waiting"}
    assert "10 minutes" in reason("fresh")
    (source / "fresh.ready").touch()
    assert run(source).counts == {"published": 1}
    # Changed after its marker: half a file may lie there.
    time.sleep(0.02)
    transcript(source / "fresh.vtt", word="again")
    assert run(source).counts == {"waiting": 1}
    assert run(source, quiet_minutes=0).counts == {"published": 1}


def test_a_relative_path_and_its_whole_one_are_one_place(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call(source, "one")
    (source.parent / "here").mkdir()
    monkeypatch.chdir(source.parent / "here")
    assert run(Path("..", source.name)).counts == {"published": 1}
    assert run(source).counts == {}
    monkeypatch.chdir(source)
    assert run(Path()).counts == {}
    assert run(Path("..", source.name, "..", source.name)).counts == {}
    # As an older hbaf kept it.
    with Ledger.open().engine.begin() as connection:
        connection.execute(SOURCES.update().values(url=f"{source.parent}/here/../{source.name}"))
    assert run(source).counts == {}


def test_a_late_transcript_supersedes_the_score_of_the_sound(source: Path) -> None:
    tone(source / "call.wav")
    first = published(run(source, quiet_minutes=0))
    assert first["text"].isna().all()
    assert list(first["status"]) == ["scored"]
    transcript(source / "call.vtt")
    second = published(run(source, quiet_minutes=0))
    assert list(second.index) == ["calls/call/0", "calls/call/1", "calls/call/2"]
    assert second["text"].notna().all()


def test_each_trouble_costs_only_itself_and_comes_back_when_mended(source: Path) -> None:
    call(source, "good")
    call(source, "copy", word="good")  # the same words and sound under another name
    tone(source / "long.wav", seconds=61)
    call(source, "corrupt", 230)
    (source / "corrupt.wav").write_bytes(b"RIFF" + bytes(4000))
    (source / "day").mkdir()
    (source / "day" / "calls.csv").write_text("speaker,text\nA,no dialogue column\n")
    settings = {"quiet_minutes": 0}
    assert run(source, **settings).counts == {"duplicate": 1, "published": 1, "quarantined": 3}
    assert states() == {
        "calls/copy": "published",
        "calls/good": "duplicate",
        "calls/corrupt": "quarantined",
        "calls/long": "quarantined",
        "day/calls.csv": "quarantined",
    }
    assert "3 of 3 turns" in reason("calls/corrupt")
    assert "without transcript" in reason("calls/long")
    assert "no column says which dialogue" in reason("day/calls.csv")
    assert run(source, **settings).counts == {}
    (source / "day" / "calls.csv").write_text("dialogue,speaker,text\n7,A,What a day\n7,B,Indeed\n")
    tone(source / "corrupt.wav", pitch=230)
    # The one that was published first says something else now: its copy is the only one of its words.
    transcript(source / "copy.vtt", word="else")
    assert run(source, **settings).counts == {"published": 4}
    assert {name: state for name, state in states().items() if state != "published"} == {"calls/long": "quarantined"}
    assert len(published(run(source, **settings))) == 11


def test_a_person_retries_or_leaves_out_with_a_reason(source: Path) -> None:
    tone(source / "long.wav", seconds=61)
    run(source, quiet_minutes=0)
    inbox = Inbox(Ledger.open())
    with pytest.raises(InboxError, match="say why"):
        inbox.ignore("long", " ")
    assert inbox.retry("all") == ["calls/long"]
    assert run(source, quiet_minutes=0, utterance_seconds=100).counts == {"published": 1}
    with pytest.raises(InboxError, match="nothing of that name is to be ignored"):
        inbox.ignore("calls/long", "no")
    tone(source / "line-test.wav", seconds=62)
    run(source, quiet_minutes=0)
    assert inbox.ignore("line-test", "a test of the line") == ["calls/line-test"]
    transcript(source / "line-test.vtt")
    assert run(source, quiet_minutes=0).counts == {"ignored": 1}


def test_a_table_that_grows_scores_the_new_conversation_alone(source: Path) -> None:
    rows = ["dialogue,turn,speaker,text,audio"]
    for dialogue in ("a", "b"):
        tone(source / f"{dialogue}.wav", pitch=ord(dialogue))
        rows.append(f"{dialogue},0,A,Hello {dialogue},{dialogue}.wav")
        (source / "calls.csv").write_text("\n".join(rows))
        counts = run(source, quiet_minutes=0).counts
    assert counts == {"published": 1, "unchanged": 1}
    assert states() == {"calls/calls:a": "published", "calls/calls:b": "published"}


def test_two_runs_at_once_publish_once(source: Path) -> None:
    for number in range(4):
        call(source, f"c{number}", 200 + 10 * number)
    results: list[SourceScores] = []
    both = [threading.Thread(target=lambda: results.append(run(source, shard=1))) for _ in range(2)]
    for thread in both:
        thread.start()
    call(source, "meanwhile", 300)
    for thread in both:
        thread.join()
    last = run(source)
    assert sum(result.counts.get("published", 0) for result in (*results, last)) == 5
    assert len(published(last)) == 15
    assert not published(last).index.duplicated().any()


def test_one_that_arrives_while_the_run_goes_on_is_scored_too(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call(source, "early")
    score = scheduled.score_shard

    def slow(order: scheduled.ScoringOrder) -> scheduled.ScoredShard:
        if not (source / "late.vtt").exists():
            call(source, "late", 260)
        return score(order)

    monkeypatch.setattr(scheduled, "score_shard", slow)
    assert run(source).counts == {"published": 2}


class Stopped(BaseException):
    """Nothing that any of our code waits for."""


def test_a_shard_is_published_before_the_next_one_is_read(source: Path) -> None:
    for name in ("one", "two", "three"):
        call(source, name)
    published_before: list[int] = []

    def looking(step: Callable[..., Any], tasks: Iterable[Any]) -> Iterator[Any]:
        for task in tasks:
            if step is validate_shard:
                published_before.append(Inbox(Ledger.open()).counts().get("published", 0))
            yield step(task)

    score_source(SourceParameters(url=str(source), shard=1), purpose="research", workers=1, map_shards=looking)
    assert published_before == [0, 1, 2]


def stopping(step: Callable[..., Any], done: bool) -> Callable[..., Any]:
    """The step, and then the end of the run at its second call; where not `done`, before it has done anything."""
    calls = itertools.count(1)

    def stopped(*arguments: Any, **named: Any) -> Any:
        if (number := next(calls)) == 2 and not done:
            raise Stopped
        result = step(*arguments, **named)
        if number == 2:
            raise Stopped
        return result

    return stopped


STEPS: list[tuple[Any, str]] = [
    (scheduled, "validate_shard"), (SourceLedger, "take_in"), (scheduled, "score_shard"), (SourceLedger, "scored"),
    (SourceLedger, "parts_for"), (ParquetDataset, "replace"), (SourceLedger, "published"), (SourceLedger, "was_read"),
]  # fmt: skip
EVERY = [(owner, name, done) for owner, name in STEPS for done in (False, True)]


@pytest.mark.parametrize("steps", [EVERY[9:14:2], pytest.param(EVERY, marks=pytest.mark.slow)], ids=["three", "every"])
def test_a_run_that_ends_at_any_step_is_continued_to_the_same_rows(
    source: Path, steps: list[tuple[Any, str, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between all writes, in order; test_kills.py kills at moments of chance."""
    for number in range(3):
        call(source, f"c{number}", 200 + 10 * number)

    def told(result: SourceScores) -> list[tuple[Any, ...]]:
        rows = as_scores(ParquetDataset(result.published).read()).sort_values(["dialogue_id", "turn"])
        columns = ("dialogue_id", "turn", "label", "confidence", "conversation_digest", "model_version")
        return list(rows.assign(confidence=rows["confidence"].round(3))[list(columns)].itertuples(index=False))

    expected = told(run(source, shard=1))
    assert len(expected) == 9
    for owner, name, done in steps:
        label = f"{'after' if done else 'before'}_{name}".lower()
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, stopping(getattr(owner, name), done))
            with pytest.raises(Stopped):
                run(source, name=label, shard=1)
        assert told(run(source, name=label, shard=1)) == expected, label
        assert set(states(label).values()) == {"published"}, label


def test_another_registry_s_model_of_the_same_label_is_another_model(source: Path, cached: Cached, home: Path) -> None:
    call(source, "old")
    since = datetime.now(UTC) - timedelta(hours=1)
    assert set(published(run(source))["run_id"]) == {"0" * 32}
    cached.put_into(home, run_id="3" * 32)
    parameters = SourceParameters(url=str(source))
    done = rescore(parameters, since, purpose="research", workers=1)
    assert (done.counts, done.model_version) == ({"published": 1}, "hbaf-calls/1")
    assert set(published(done)["run_id"]) == {"3" * 32}
    assert [record.run_id for record in Ledger.open().runs()] == ["3" * 32, "0" * 32]
    assert rescore(parameters, since, purpose="research", workers=1).counts == {}


def test_a_run_keeps_its_model_and_a_backfill_scores_again(source: Path, cached: Cached, home: Path) -> None:
    call(source, "old")
    since = datetime.now(UTC) - timedelta(hours=1)
    run(source)
    cached.put_into(home, version="2", run_id="2" * 32)
    call(source, "new", 220)
    assert run(source).model_version == "hbaf-calls/2"
    assert set(published(run(source)).groupby("conversation")["model_version"].first()) == {
        "hbaf-calls/1",
        "hbaf-calls/2",
    }
    parameters = SourceParameters(url=str(source))
    assert rescore(parameters, since + timedelta(hours=2), purpose="research", workers=1).counts == {}
    done = rescore(parameters, since, purpose="research", workers=1)
    assert done.counts == {"published": 1}
    assert set(published(done)["model_version"]) == {"hbaf-calls/2"}
    assert len(published(done)) == 6


def test_a_replay_tells_whether_this_environment_still_says_the_same(source: Path) -> None:
    call(source, "one")
    call(source, "two", 250)
    result = run(source)
    parameters = SourceParameters(url=str(source))
    replay = verify_scores(parameters, published=result.published, workers=1)
    assert (replay.same, replay.rows, replay.not_replayed) == (True, 6, {})
    assert replay.largest < 1e-4
    (part,) = Path(result.published).glob("*.parquet")
    table = pd.read_parquet(part)
    wrong = [[(name, 1 - value) for name, value in pairs] for pairs in table["probabilities"]]
    dataset = ParquetDataset(result.published)
    stored = dataset.read()
    at = stored.column_names.index("probabilities")
    changed = stored.set_column(at, stored.schema.field(at), pa.array(wrong, stored.schema.field(at).type))
    with Ledger.open().alone("calls") as fence:
        dataset.remove(set(table["conversation"]), fence)
        dataset.replace(changed, dict.fromkeys(table["conversation"], 1), fence)
    assert not verify_scores(parameters, published=result.published, workers=1).same
