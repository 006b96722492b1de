"""Scheduled sources: the list, how often, what is checked before, and the way out of quarantine on the same verb."""

import json
import re
import shlex
import stat
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hbaf.cli import main
from hbaf.inbox.entries import Inbox
from hbaf.inbox.ledger.database import Ledger
from hbaf.inbox.schedule.every import Every, EveryError, parse_every
from hbaf.inbox.schedule.sources import (
    ScheduledSource,
    ScheduleError,
    changed_schedule,
    check_address,
    note_sent,
    read_schedule,
)
from hbaf.inbox.scheduled import SourceScores, score_source
from hbaf.inbox.source import SourceParameters
from hbaf.inbox.way_out import with_command
from tests.inbox.conftest import Cached, call, tone, transcript


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "calls"
    made.mkdir()
    return made


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No Prefect server, nor a profile or prefect.toml that names one."""
    for name in ("PREFECT_API_URL", "PREFECT_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def hbaf(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    return int(end.value.code or 0)


def run(one: ScheduledSource) -> SourceScores:
    return score_source(one.source, purpose=one.purpose, model=one.model, workers=1)


def reasons() -> dict[str, str]:
    return {entry.name: entry.reason for entry in Inbox(Ledger.open()).entries() if entry.state == "quarantined"}


@pytest.mark.parametrize(
    ("text", "seconds", "cron"),
    [
        ("10m", 600, ""), ("1h", 3600, ""), ("1d", 86_400, ""), (" 90M ", 5400, ""),
        ("0 3 * * *", None, "0 3 * * *"), ("*/15 8-18 * * MON-FRI", None, "*/15 8-18 * * mon-fri"),
        ("0 0 1,15 jan-jun *", None, "0 0 1,15 jan-jun *"),
    ],
)  # fmt: skip
def test_how_often(text: str, seconds: int | None, cron: str) -> None:
    assert parse_every(text) == Every(seconds, cron)


@pytest.mark.parametrize(
    "text", ["", "hourly", "0m", "30s", "400d", "-1h", "1h30m", "0 3 * *", "61 3 * * *", "0 3 * * 8", "5/10 * * * *",
             "*/0 * * * *", "9-5 * * * *", "0 3 * * * *", "0 3 ? * *", "0 3 * foo *"],
)  # fmt: skip
def test_how_often_is_refused_with_both_forms(text: str) -> None:
    with pytest.raises(EveryError, match="as 10m, 1h or 1d, or five fields of cron"):
        parse_every(text)


def test_a_source_is_added_changed_paused_and_removed(
    folder: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call(folder, "one")
    assert hbaf("schedule", "add", str(folder), "--purpose", "research", "--every", "1h") == 0
    told = capsys.readouterr()
    said = told.out
    assert told.err == ""
    assert f"calls: {folder} is scored every 1h for research" in said
    assert "1 arrivals lie there now" in said
    assert "`make up` or `make deploy`" in said
    kept = home / "inbox" / "schedule.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    before = kept.read_bytes()

    assert hbaf("schedule", "add", str(folder)) == 0
    assert "nothing changed" in capsys.readouterr().out
    assert kept.read_bytes() == before

    # By another spelling of the same place; what is not said stays.
    changed = ("--every", "10m", "--channels", "0=agent,1=customer", "--set", "source.quiet_minutes=0")
    assert hbaf("schedule", "add", f"{folder}/../calls", *changed) == 0
    said = capsys.readouterr().out
    assert "every 1h -> 10m" in said
    assert 'source.channels default -> {"agent": 0, "customer": 1}' in said
    (one,) = read_schedule().sources.values()
    assert (one.purpose, one.every, one.source.quiet_minutes) == ("research", "10m", 0)
    assert one.parameters == {
        "purpose": "research",
        "source": {"url": str(folder), "quiet_minutes": 0.0, "channels": {"agent": 0, "customer": 1}},
    }

    assert hbaf("schedule", "pause", "calls") == 0
    assert not read_schedule().find("calls").active
    capsys.readouterr()
    assert hbaf("schedule", "list", "--json") == 0
    (line,) = json.loads(capsys.readouterr().out)
    assert (line["name"], line["state"], line["report"]) == ("calls", "paused", None)
    assert hbaf("schedule", "resume", str(folder)) == 0
    assert hbaf("schedule", "remove", "calls") == 0
    assert read_schedule().sources == {}
    assert read_schedule().removed == {"calls"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["add", "FOLDER", "--every", "1h"], "needs --purpose"),
        (["add", "FOLDER", "--purpose", "research"], "needs --every"),
        (["add", "FOLDER", "--purpose", "research", "--every", "often"], "neither an interval nor five fields"),
        (["add", "FOLDER/gone", "--purpose", "research", "--every", "1h"], "no such folder"),
        (["add", "FOLDER", "--purpose", "research", "--every", "1h", "--channels", "agent"], "is not NUMBER=SPEAKER"),
        (["add", "FOLDER", "--purpose", "research", "--every", "1h", "--set", "source.colums=1"], "mean columns?"),
        (["add", "s3://key:secret@host/calls", "--purpose", "research", "--every", "1h"], "holds a password"),
        (["add"], "say which folder"),
        (["pause", "nobody"], "no scheduled source of that name"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_and_nothing_is_kept(
    given: list[str], message: str, folder: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert hbaf("schedule", *(part.replace("FOLDER", str(folder)) for part in given)) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "secret" not in said
    assert read_schedule().sources == {}


def test_names_are_unique_and_a_source_keeps_its_own(tmp_path: Path) -> None:
    one, other = tmp_path / "a" / "calls", tmp_path / "b" / "calls"
    for place in (one, other):
        place.mkdir(parents=True)
    make = lambda place, **more: ScheduledSource(  # noqa: E731  # one shape, four times
        source=SourceParameters(url=str(place), **more), purpose="research", every="1h"
    )
    with changed_schedule() as schedule:
        schedule.put(make(one))
        with pytest.raises(ScheduleError, match="Give this one another name"):
            schedule.put(make(other))
        schedule.put(make(other, name="evening"))
        with pytest.raises(ScheduleError, match="scheduled as calls already"):
            schedule.put(make(one, name="morning"))
    assert sorted(read_schedule().sources) == ["calls", "evening"]


def test_what_a_server_was_told_is_noted_of_what_is_still_there(folder: Path) -> None:
    one = ScheduledSource(source=SourceParameters(url=str(folder)), purpose="research", every="1h")
    with changed_schedule() as schedule:
        schedule.put(one)
        schedule.removed |= {"old", "other"}
    note_sent({"calls": one.asked(), "gone": one.asked()}, {"old"})
    assert read_schedule().find("calls").sent == one.asked()
    assert read_schedule().removed == {"other"}


def test_a_damaged_list_is_named(home: Path) -> None:
    (home / "inbox").mkdir(exist_ok=True)
    (home / "inbox" / "schedule.json").write_text("{")
    with pytest.raises(ScheduleError, match=r"schedule\.json: is not a list"):
        read_schedule()


def test_an_address_with_a_user_alone_is_none_with_a_password() -> None:
    check_address("s3://bucket/calls")
    check_address("sftp://user@host/calls")


def stereo(file: Path) -> None:
    rng = np.random.default_rng(0)
    soundfile.write(file, 0.1 * rng.normal(size=(16_000, 2)), 16_000)


def test_stereo_calls_wait_until_it_is_said_who_is_where_on_the_same_verb(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stereo(folder / "one.wav")
    lines = ["WEBVTT", "", "00:00:00.000 --> 00:00:00.480", "<v agent>How can I help?"]
    lines += ["", "00:00:00.500 --> 00:00:00.980", "<v customer>It is broken again."]
    (folder / "one.vtt").write_text("\n".join(lines))
    added = (
        "schedule",
        "add",
        str(folder),
        "--purpose",
        "research",
        "--every",
        "1h",
        "--set",
        "source.quiet_minutes=0",
    )
    assert hbaf(*added) == 0
    assert run(read_schedule().find("calls")).counts == {"quarantined": 1}
    (reason,) = reasons().values()
    (advised,) = re.findall(r"`(hbaf [^`]*)`", reason)
    assert advised == "hbaf schedule add ~/calls --channels 0=agent,1=customer"
    # Nothing is read again for nothing.
    assert run(read_schedule().find("calls")).counts == {}

    command = [str(folder) if part == "~/calls" else part for part in shlex.split(advised)]
    assert hbaf(*command[1:]) == 0
    assert run(read_schedule().find("calls")).counts == {"published": 1}
    assert reasons() == {}

    # What `hbaf inbox score` does by hand goes by the same settings.
    stereo(folder / "two.wav")
    (folder / "two.vtt").write_text("\n".join(lines).replace("broken", "lost"))
    capsys.readouterr()
    assert hbaf("inbox", "score", str(folder)) == 0
    assert "1 published" in capsys.readouterr().out


def test_outside_of_a_schedule_the_way_out_is_the_verb_of_the_inbox(folder: Path) -> None:
    stereo(folder / "one.wav")
    score_source(SourceParameters(url=str(folder), quiet_minutes=0), purpose="research", workers=1)
    (reason,) = reasons().values()
    assert "`hbaf inbox score ~/calls --purpose research --channels 0=agent,1=customer`" in reason
    assert "corpus." not in reason


@pytest.mark.parametrize(
    ("advice", "command"),
    [
        ("`--set corpus.bad_share=0.5`", "`hbaf inbox score /calls --purpose personal --set source.bad_share=0.5`"),
        ("`--set 'corpus.columns={\"who\": \"dialogue\"}'`",
         "`hbaf inbox score /calls --purpose personal --set 'source.columns={\"who\": \"dialogue\"}'`"),
        ("`--set corpus.bad_share=0.5; rm x`.wav", "`--set corpus.bad_share=0.5; rm x`.wav"),
        ("`--set corpus.emotions=joy`", "`--set corpus.emotions=joy`"),
        ("`--set corpus.limits.table_rows=9`",
         "`hbaf inbox score /calls --purpose personal --set source.limits.table_rows=9`"),
        ("`--transcribe $(x)`", "`--transcribe $(x)`"),
    ],
)  # fmt: skip
def test_advice_becomes_a_command_and_names_of_files_do_not(advice: str, command: str) -> None:
    assert with_command(f"mend it: {advice}", SourceParameters(url="/calls"), "personal") == f"mend it: {command}"


def test_a_call_that_the_model_can_score_no_turn_of_waits_with_a_reason(folder: Path, home: Path) -> None:
    package = home / "champions" / "runs" / ("0" * 32) / "package.json"
    facts = json.loads(package.read_text())
    assert facts["trained_to_miss"] == {"audio": True, "text": True}
    package.write_text(json.dumps({**facts, "trained_to_miss": {"audio": True, "text": False}}))
    tone(folder / "wordless.wav")
    tone(folder / "day" / "tabled.wav", pitch=240)
    (folder / "day" / "calls.csv").write_text("dialogue,speaker,audio\n7,A,tabled.wav\n")
    call(folder, "whole", 220)
    settings = SourceParameters(url=str(folder), quiet_minutes=0)
    assert score_source(settings, purpose="research", workers=1).counts == {"published": 1, "quarantined": 2}
    assert "Write the words into day/calls.csv, column `text`" in reasons()["calls/day:calls:7"]
    reason = reasons()["calls/wordless"]
    assert "no text, which this model was not trained to miss" in reason
    assert "`hbaf inbox score ~/calls --purpose research --transcribe` lets each run write down what is said" in reason
    assert score_source(settings, purpose="research", workers=1).counts == {}
    transcript(folder / "wordless.vtt")
    assert score_source(settings, purpose="research", workers=1).counts == {"published": 1}


def test_other_settings_or_another_champion_read_again_what_is_held(folder: Path, cached: Cached, home: Path) -> None:
    tone(folder / "long.wav", seconds=61)
    held = SourceParameters(url=str(folder), quiet_minutes=0)
    longer = SourceParameters(url=str(folder), quiet_minutes=0, utterance_seconds=100)
    assert score_source(held, purpose="research", workers=1).counts == {"quarantined": 1}
    assert "`hbaf inbox score ~/calls --purpose research --transcribe`" in reasons()["calls/long"]
    cached.put_into(home, "2", "1" * 32)
    assert score_source(held, purpose="research", workers=1).counts == {"quarantined": 1}
    assert score_source(longer, purpose="research", workers=1).counts == {"published": 1}


def test_each_run_writes_the_report_of_what_was_published_and_of_what_is_held(folder: Path, home: Path) -> None:
    call(folder, "one")
    tone(folder / "long.wav", seconds=61)
    settings = SourceParameters(url=str(folder), quiet_minutes=0)
    page = score_source(settings, purpose="research", workers=1).report
    assert page == home / "reports" / "calls" / "index.html"
    assert page is not None
    first = page.read_text()
    assert "without transcript is more than one utterance" in first
    assert "1 published, 1 quarantined" in first
    pages = {path: path.read_bytes() for path in (page.parent / "conversations").iterdir()}
    assert len(pages) == 1
    call(folder, "two", 220)
    assert score_source(settings, purpose="research", workers=1).report == page
    now = page.parent / "conversations"
    assert len(list(now.iterdir())) == 2
    assert "1 published" in page.read_text()
