"""Whatever arrives costs only itself: the others are scored, it is in quarantine with a reason, the run ends well."""

import os
import shutil
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbaf.inbox import shards
from hbaf.inbox.entries import Inbox
from hbaf.inbox.ledger.database import Ledger
from hbaf.inbox.scheduled import NothingScored, SourceScores, score_source
from hbaf.inbox.source import SourceParameters
from tests.inbox.conftest import transcript
from tests.properties import TIMEOUT, contents, many, nested, quick

GOOD = ("good/a", "good/b")


def run(folder: Path, **settings: object) -> SourceScores:
    parameters = SourceParameters(url=str(folder), quiet_minutes=0, **settings)  # type: ignore[arg-type]
    return score_source(parameters, purpose="research", workers=1)


def put(folder: Path, name: bytes, content: bytes) -> None:
    """A file of any name, also one that is not UTF-8."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / os.fsdecode(name)).write_bytes(content)


def good_calls(folder: Path) -> None:
    """Without sound, and with words that the store knows: nothing is computed."""
    for name in GOOD:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        transcript(folder / f"{name}.vtt", word=name)


def reasons(source: str) -> dict[str, str]:
    entries = Inbox(Ledger.open(), source).entries()
    assert not [entry for entry in entries if entry.state in ("waiting", "new", "validated", "scored")]
    return {entry.name: entry.reason for entry in entries if entry.state == "quarantined"}


CASES: dict[str, tuple[dict[bytes, bytes], dict[str, str]]] = {
    "two names that fold to one": (
        {b"call 1.vtt": b"WEBVTT\n\n00:00.000 --> 00:01.000\nhello\n",
         b"call  1.vtt": b"WEBVTT\n\n00:00.000 --> 00:01.000\ngood bye\n"},
        {"call 1": "as the one in call  1 is"},
    ),
    "two tables of one name": (
        {b"day.csv": b"dialogue,text\n7,hello\n", b"day.tsv": b"dialogue\ttext\n7\tgood bye\n"},
        {"day.tsv": "would be called bad/day:7, as the one in day.csv is"},
    ),
    "a Latin-1 name": ({b"caf\xe9.vtt": b"WEBVTT\n\n00:00.000 --> 00:01.000\nhello\n"}, {"caf\\xe9": "not UTF-8"}),
    "JSON of 100,000 levels": ({b"deep.jsonl": nested(100_000)}, {"deep.jsonl": ""}),
    "a transcript of 100,000 levels": ({b"deep.json": nested(100_000)}, {"deep": ""}),
}  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("shard", [1, 32])
def test_what_stopped_a_source_for_ever_costs_only_itself(tmp_path: Path, case: str, shard: int) -> None:
    files, expected = CASES[case]
    good_calls(tmp_path / "bad")
    for name, content in files.items():
        put(tmp_path / "bad", name, content)
    done = run(tmp_path / "bad", shard=shard)
    assert done.counts["published"] >= len(GOOD)
    found = reasons("bad")
    assert found.keys() == expected.keys()
    assert all(part in found[name] for name, part in expected.items()), found
    assert run(tmp_path / "bad", shard=shard).counts == {}


def test_an_arrival_that_is_renamed_comes_back(tmp_path: Path) -> None:
    for name, word in (("day.csv", "hello"), ("day.tsv", "good bye")):
        between = "," if name == "day.csv" else "\t"
        put(tmp_path / "bad", name.encode(), f"dialogue{between}text\n7{between}{word} to you\n".encode())
    assert run(tmp_path / "bad").counts == {"published": 1, "quarantined": 1}
    (tmp_path / "bad" / "day.tsv").rename(tmp_path / "bad" / "night.tsv")
    assert run(tmp_path / "bad").counts == {"published": 1}
    assert reasons("bad") == {}
    # The other one is gone: now the name is free.
    (tmp_path / "bad" / "day.csv").unlink()
    put(tmp_path / "bad", b"day.jsonl", b'{"dialogue": 7, "text": "how are you today"}\n')
    assert run(tmp_path / "bad").counts == {"published": 1}


def test_a_conversation_that_cannot_be_scored_costs_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good_calls(tmp_path / "bad")
    transcript(tmp_path / "bad" / "poison.vtt", word="poison")
    score = shards.score_rows

    def failing(corpus: object, *arguments: object, **named: object) -> object:
        if corpus.utterances["text"].str.contains("poison").any():  # type: ignore[attr-defined]
            raise ZeroDivisionError("of no use")
        return score(corpus, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(shards, "score_rows", failing)
    assert run(tmp_path / "bad").counts == {"published": 2, "quarantined": 1}
    assert reasons("bad") == {"bad/poison": "cannot be scored (ZeroDivisionError: of no use)"}
    transcript(tmp_path / "bad" / "poison.vtt", word="poison again")
    with pytest.raises(NothingScored, match=r"none of 1 conversations.*bad/poison"):
        run(tmp_path / "bad")  # it may be the installation: nothing is set aside
    monkeypatch.setattr(shards, "score_rows", score)
    assert run(tmp_path / "bad").counts == {"published": 1}


stems = (
    st.binary(min_size=1, max_size=12)
    | st.text(" .%:~\\'\"ab\n\u00e9\u0301\U0001f600*?[#", min_size=1, max_size=8).map(str.encode)
).map(lambda name: name.replace(b"/", b"_").replace(b"\0", b"_"))
SUFFIXES = [
    ".csv", ".tsv", ".jsonl", ".parquet", ".json", ".vtt", ".srt", ".TextGrid", ".eaf", ".cha", ".wav", ".mp3", ".flac",
    "",
]  # fmt: skip
suffixes = st.sampled_from(SUFFIXES).map(str.encode)
arrivals = st.lists(st.tuples(stems, suffixes, contents), min_size=1, max_size=4)
number = count()


def check(folder: Path, found: list[tuple[bytes, bytes, bytes]]) -> None:
    name = f"s{next(number)}"
    source = folder / name
    good_calls(source)
    for stem, suffix, content in found:
        if stem + suffix not in (b".", b".."):
            put(source, stem + suffix, content)
    done = run(source)
    assert done.counts["published"] >= len(GOOD)
    for conversation, reason in reasons(name).items():
        assert reason.strip(), conversation
    assert run(source).counts == {}
    shutil.rmtree(source)


@pytest.mark.long
@settings(quick, max_examples=3)
@given(found=arrivals)
def test_anything_between_good_calls(tmp_path: Path, found: list[tuple[bytes, bytes, bytes]]) -> None:
    check(tmp_path, found)


@pytest.mark.slow  # minutes
@pytest.mark.timeout(TIMEOUT)
@many
@given(found=arrivals)
def test_much_of_anything_between_good_calls(tmp_path: Path, found: list[tuple[bytes, bytes, bytes]]) -> None:
    check(tmp_path, found)
