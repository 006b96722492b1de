"""Exports are read by the libraries of their formats, and say what the rows say."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hbaf.corpus.text.transcripts.forms import read_transcript
from hbaf.scoring.exports import ExportError, export_scores, forms, timed_turns

TURNS = [
    ("Ann", 'She said "no" & left <b>', 0.0, 1.5, "joy", 0.83),
    ("Bob", "bueno, ¿qué? 早上好", 1.25, 3.0, "anger", 0.5),
    ("Ann", "=1+1\x07", 4.0, 4.75, None, np.nan),
]


def scored(dialogue: str = "call 1", *, placed: bool = True) -> pd.DataFrame:
    rows = [
        {
            "corpus": "calls", "dialogue_id": dialogue, "turn": turn, "speaker": speaker, "text": text,
            "start": start if placed else np.nan, "end": end if placed else np.nan, "seconds": end - start,
            "label": label, "confidence": confidence,
        }
        for turn, (speaker, text, start, end, label, confidence) in enumerate(TURNS)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def exported(tmp_path: Path, form: str) -> Path:
    files, without = export_scores(scored(), tmp_path, forms(form))
    assert without == 0
    (file,) = files
    assert file.parent == tmp_path / "exports"
    return file


@pytest.mark.parametrize("form", ["srt", "vtt"])
def test_subtitles(tmp_path: Path, form: str) -> None:
    pysubs2 = pytest.importorskip("pysubs2", reason="the library of subtitles is absent: pip install 'hbaf[dev]'")
    cues = pysubs2.load(str(exported(tmp_path, form)))
    assert [(cue.start, cue.end) for cue in cues] == [(0, 1500), (1250, 3000), (4000, 4750)]
    assert "joy 83%" in cues[0].text
    assert "早上好" in cues[1].text
    assert "unscored" in cues[2].text


def test_our_own_reader_knows_the_speakers_of_webvtt(tmp_path: Path) -> None:
    parsed = read_transcript(exported(tmp_path, "vtt"), "call.vtt")
    assert [row.values["speaker"] for row in parsed.rows] == ["Ann", "Bob", "Ann"]
    assert parsed.rows[0].values["text"] == '[joy 83%] She said "no" & left <b>'


def test_textgrid(tmp_path: Path) -> None:
    textgrid = pytest.importorskip("praatio.textgrid", reason="praatio is absent: pip install 'hbaf[dev]'")
    grid = textgrid.openTextgrid(str(exported(tmp_path, "textgrid")), includeEmptyIntervals=False)
    assert grid.tierNames == ("Ann", "Ann emotion", "Bob", "Bob emotion")
    words = [(entry.start, entry.end, entry.label) for entry in grid.getTier("Ann").entries]
    assert words == [(0.0, 1.5, 'She said "no" & left <b>'), (4.0, 4.75, "=1+1")]
    assert [entry.label for entry in grid.getTier("Bob emotion").entries] == ["anger 50%"]


def test_elan(tmp_path: Path) -> None:
    elan = pytest.importorskip("pympi.Elan", reason="pympi-ling is absent: pip install 'hbaf[dev]'")
    document = elan.Eaf(str(exported(tmp_path, "eaf")))
    assert list(document.get_tier_names()) == ["Ann", "Ann emotion", "Bob", "Bob emotion"]
    assert sorted(document.get_annotation_data_for_tier("Ann"))[0] == (0, 1500, 'She said "no" & left <b>')
    assert document.get_annotation_data_for_tier("Bob emotion") == [(1250, 3000, "anger 50%")]


def test_audacity(tmp_path: Path) -> None:
    lines = [line.split("\t") for line in exported(tmp_path, "audacity").read_text().splitlines()]
    assert lines[1] == ["1.250000", "3.000000", "anger 50%, Bob: bueno, ¿qué? 早上好"]


def test_speakers(tmp_path: Path) -> None:
    with exported(tmp_path, "speakers").open(newline="") as stream:
        ann, bob = csv.DictReader(stream)
    assert (ann["turns"], ann["scored"], ann["seconds"], ann["joy"], ann["anger"]) == ("2", "1", "2.25", "1.0", "0.0")
    assert bob["anger"] == "1.0"


def test_clips_are_laid_end_to_end() -> None:
    assert [(turn.start, turn.end) for turn in timed_turns(scored(placed=False))] == [(0, 1.5), (1.5, 3.25), (3.25, 4)]


def test_a_conversation_without_times_is_counted_and_the_others_are_written(tmp_path: Path) -> None:
    silent = scored("chat", placed=False).assign(seconds=np.nan)
    files, without = export_scores(pd.concat([silent, scored()]), tmp_path, forms("srt,speakers"))
    assert without == 1
    assert sorted(file.suffix for file in files) == [".csv", ".srt"]
    assert export_scores(scored(), tmp_path, forms("vtt"))[0][0].parent.joinpath("speakers.csv").exists() is False


def test_a_form_that_is_none() -> None:
    with pytest.raises(ExportError, match=r"--export docx: there is no such form. There are: srt, vtt, eaf"):
        forms("srt,docx")
