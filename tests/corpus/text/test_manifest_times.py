"""Times as people and programs write them, and turns whose end or start is not given."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from hbaf.corpus.readers.folder import read_folder
from hbaf.corpus.schema import Corpus
from hbaf.corpus.text.manifest_values import BadRow, seconds
from hbaf.corpus.text.turn_times import complete_times
from hbaf.parameters import CorpusParameters


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.5", 1.5),
        ("1,5", 1.5),
        ("1.5s", 1.5),
        ("1.5 sec", 1.5),
        ("1500ms", 1.5),
        ("1500 ms", 1.5),
        ("1m30s", 90),
        ("1h 2m 3.5s", 3723.5),
        ("2 minutes", 120),
        ("00:16:16,059", 976.059),
        ("16:16.059", 976.059),
        ("0 days 00:00:01.500000", 1.5),
        ("1 day, 0:00:01", 86_401),
        ("0 days", 0),
        ("PT0.9S", 0.9),
        ("PT1M2.5S", 62.5),
        ("PT1H", 3600),
        ("P0DT0H0M1S", 1),
        ("00:00:01:12", 1.48),
        ("00:00:01;29", 1 + 29 / 30),
        ("12:00:01 AM", 1),
        ("1e2", 100),
        ("", None),
        ("NaT", None),
        ("N/A", None),
        ("-", None),
        ("<NA>", None),
    ],
)
def test_a_time_in_every_notation(text: str, expected: float | None) -> None:
    assert seconds(text) == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize("text", ["soon", "inf", "-1", "1:2:3:4:5", "P", "PT", "1 parsec", "9" * 50, "12 AM", "1..5"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(BadRow):
        seconds(text)


def read(tmp_path: Path, manifest: str, **settings: Any) -> Corpus:
    root = tmp_path / "calls"
    root.mkdir(exist_ok=True)
    if not (root / "call.wav").exists():
        soundfile.write(root / "call.wav", np.zeros(96_000), 8_000)
    (root / "calls.csv").write_text(manifest)
    return read_folder(CorpusParameters(reader="folder", root=root, **settings))


def times(corpus: Corpus) -> list[list[float | None]]:
    table = corpus.utterances[["start", "end"]].astype("object")
    return table.where(table.notna(), None).values.tolist()


@pytest.mark.parametrize(
    ("columns", "rows", "expected"),
    [
        ("start,end", ["1,2", "3,4.5"], [[1, 2], [3, 4.5]]),
        ("start,duration", ["1,1", "3,1.5"], [[1, 2], [3, 4.5]]),
        ("offset,duration", ["1,1", "3,1.5"], [[1, 2], [3, 4.5]]),
        ("start_ms,end_ms", ["1000,2000", "3000,4500"], [[1, 2], [3, 4.5]]),
        ("start (ms),duration (ms)", ["1000,1000", "3000,1500"], [[1, 2], [3, 4.5]]),
        ("start,start_ms,end", ["1,1000,2", "3,3000,4.5"], [[1, 2], [3, 4.5]]),
        ("start", ["1", "3"], [[1, 3], [3, None]]),
        ("start,end", ["1,nan", "3,-"], [[1, 3], [3, None]]),
        ("start,end", ["PT1S,PT2S", "00:00:03,00:00:04.5"], [[1, 2], [3, 4.5]]),
        ("duration", ["1", "1"], [[None, None], [None, None]]),
    ],
)
def test_columns_of_times(tmp_path: Path, columns: str, rows: list[str], expected: list[list[float | None]]) -> None:
    lines = [f"dialogue,speaker,text,audio,{columns}", *(f"c,A,words {n},call.wav,{row}" for n, row in enumerate(rows))]
    corpus = read(tmp_path, "\n".join(lines))
    assert times(corpus) == expected
    assert corpus.utterances["audio_problem"].isna().all()
    assert bool(corpus.notes) == (expected[0] == [1, 3])


def test_what_is_no_value_is_no_class_no_speaker_and_no_split(tmp_path: Path) -> None:
    absent = ["", "nan", "NaN", "None", "null", "-", "n/a", "N/A", "NA", "<NA>", "?"]
    lines = [
        "dialogue,speaker,text,audio,emotion,split",
        *(f"c{n},{one},hi,call.wav,{one},{one}" for n, one in enumerate(absent)),
    ]
    corpus = read(tmp_path, "\n".join([*lines, "d,Ann,hi,call.wav,joy,"]))
    assert corpus.emotions == ("joy",)
    assert corpus.utterances["emotion"].notna().sum() == 1
    assert set(corpus.utterances["speaker"]) == {"unknown", "Ann"}
    assert len(corpus.splits) == 0
    assert len(corpus.set_aside) == 0


def test_an_end_at_its_start_costs_the_sound_and_says_so(tmp_path: Path) -> None:
    lines = ["dialogue,text,audio,start,end", "c,one,call.wav,1,1", "c,two,call.wav,2,3"]
    table = read(tmp_path, "\n".join(lines)).utterances
    assert table["text"].tolist() == ["one", "two"]
    assert table["audio_problem"].fillna("").tolist() == ["ends when it starts, at 1 s", ""]


def test_a_turn_without_a_start_does_not_hold_the_speech_of_others() -> None:
    rows: list[dict[str, Any]] = [
        {"audio": "a", "dialogue_id": "d", "start": start, "end": end, "audio_problem": None}
        for start, end in ((1.0, None), (None, 5.0), (3.0, None), (None, None))
    ]
    assert complete_times(rows) == 1
    assert [row["end"] for row in rows] == [3.0, 5.0, None, None]
    assert [row["audio_problem"] is None for row in rows] == [True, False, True, False]


def test_starts_of_other_recordings_do_not_count() -> None:
    rows: list[dict[str, Any]] = [
        {"audio": name, "dialogue_id": "d", "start": start, "end": None, "audio_problem": None}
        for name, start in (("a", 1.0), ("b", 2.0))
    ]
    assert complete_times(rows) == 0


def test_the_next_turn_of_the_dialogue_counts_before_those_of_others_in_one_recording() -> None:
    rows: list[dict[str, Any]] = [
        {"audio": "a", "dialogue_id": dialogue, "start": start, "end": None, "audio_problem": None}
        for dialogue, start in (("x", 1.0), ("y", 1.1), ("x", 2.0), ("y", 2.1), ("z", None))
    ]
    assert complete_times(rows) == 3
    assert [row["end"] for row in rows] == [2.0, 2.1, 2.1, None, None]
    assert rows[4]["audio_problem"] is None  # the whole recording is a dialogue of its own
