"""Whole conversations over HTTP: what `score_rows` makes of them, as strict JSON."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from hbaf.corpus.prepare import prepare_corpus
from hbaf.corpus.schema import Corpus, load_corpus
from hbaf.inference.predictor import Predictor
from hbaf.parameters import CorpusParameters
from hbaf.registry.cached_champion import Champion
from hbaf.scoring.score import score_rows
from tests.serving.conftest import Client

TURNS = [
    {"speaker": "A", "text": "What a wonderful day, we won the prize"},
    {"speaker": "B", "text": "Stop shouting at me, you broke it again"},
    {"speaker": "A", "text": ""},
    {"speaker": "B", "text": "I am not sure about that"},
]


def test_words_alone_are_scored_as_score_rows_scores_them(client: Client, champion: Champion, tmp_path: Path) -> None:
    lines = ["dialogue,turn,speaker,text"]
    lines += [f'd,{number},{turn["speaker"]},"{turn["text"]}"' for number, turn in enumerate(TURNS)]
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "calls.csv").write_text("\n".join(lines) + "\n")
    rows = client.post("/score", TURNS).json["rows"]
    check_equal(rows, scored(tmp_path / "corpus", champion), champion)
    assert [row["status"] for row in rows] == ["scored", "scored", "unscored", "scored"]
    assert rows[2]["text_problem"] == "no text"
    assert rows[2]["probabilities"] is None
    assert rows[2]["unscored_reason"] == "neither audio nor text"


def test_recordings_are_scored_as_score_rows_scores_them(client: Client, champion: Champion, trained: Path) -> None:
    manifest = (trained / "calls" / "calls.csv").read_text().splitlines()[1:4]
    turns, recordings = [], {}
    for line in manifest:
        _, _, speaker, rest = line.split(",", 3)
        text, audio = rest.rsplit('",', 1)[0].strip('"'), rest.rsplit('",', 1)[1].split(",")[0]
        turns.append({"speaker": speaker, "text": text, "audio": audio, "end": 0.9})
        recordings[audio] = (trained / "calls" / audio).read_bytes()
    corpus = trained / "one-call"
    if not corpus.exists():
        corpus.mkdir()
        head = "dialogue,turn,speaker,text,audio,end"
        rows = [f'd,{n},{t["speaker"]},"{t["text"]}",{t["audio"]},0.9' for n, t in enumerate(turns)]
        (corpus / "calls.csv").write_text("\n".join([head, *rows]) + "\n")
        for name, content in recordings.items():
            (corpus / name).write_bytes(content)
    found = client.post("/score", turns, recordings).json
    check_equal(found["rows"], scored(corpus, champion), champion)
    assert [row["audio"] for row in found["rows"]] == [turn["audio"] for turn in turns]
    assert all(row["audio_label"] for row in found["rows"])
    assert found["model"]["model_version"] == "hbaf-calls/1"
    assert found["model"]["purpose"] == "research"


def test_a_broken_recording_is_a_problem_of_its_row(client: Client, trained: Path) -> None:
    good = (trained / "calls" / "d0_0.wav").read_bytes()
    turns = [
        {"speaker": "A", "text": "We won", "audio": "good.wav"},
        {"speaker": "B", "text": "Stop it", "audio": "broken.wav"},
        {"speaker": "A", "text": "Really", "audio": "absent.wav"},
        {"speaker": "B", "text": "Yes", "audio": "good.wav", "channel": 3},
    ]
    rows = client.post("/score", turns, {"good.wav": good, "broken.wav": b"RIFF nothing of a recording"}).json["rows"]
    assert rows[0]["audio_problem"] is None
    assert rows[1]["audio_problem"] is not None
    assert "uploaded" in rows[2]["audio_problem"]
    assert "no such channel" in rows[3]["audio_problem"]
    assert [row["status"] for row in rows] == ["scored"] * 4
    assert [row["audio_label"] is None for row in rows] == [False, True, True, True]


@pytest.mark.parametrize("form", [False, True])
def test_a_path_is_never_opened(client: Client, trained: Path, form: bool) -> None:
    there = trained / "calls" / "d0_0.wav"
    names = [str(there), "../calls/d0_0.wav", f"/proc/self/root{there}", "upload-0", "/dev/zero"]
    turns = [{"speaker": "A", "text": "We won", "audio": name} for name in names]
    rows = client.post("/score", turns, {"other.wav": there.read_bytes()} if form else None).json["rows"]
    for row in rows:
        assert "uploaded" in row["audio_problem"]
        assert row["audio_label"] is None
        assert row["seconds"] is None
    assert client.post("/score", [{"text": "We won"}], {str(there): b"x"}).status == 200


def test_two_people_on_two_channels_and_no_channel_named(client: Client, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    soundfile.write(tmp_path / "call.wav", random.normal(0, 0.1, (16_000, 2)), 16_000)
    sound = {"call.wav": (tmp_path / "call.wav").read_bytes()}
    reply = client.post("/score", [{"speaker": "A", "text": "We won", "audio": "call.wav"}], sound)
    assert reply.status == 422
    assert "channel" in reply.json["error"]
    reply = client.post("/score", [{"speaker": "A", "text": "We won", "audio": "call.wav", "channel": 1}], sound)
    assert reply.json["rows"][0]["audio_problem"] is None


def scored(folder: Path, champion: Champion) -> Any:
    corpus: Corpus = load_corpus(prepare_corpus(CorpusParameters(reader="folder", root=folder), split=False, workers=1))
    return score_rows(corpus, champion.model, Predictor.load(champion.model.folder, "cpu"), workers=1)


def check_equal(rows: list[dict[str, Any]], scores: Any, champion: Champion) -> None:
    assert len(rows) == len(scores)
    for row, expected in zip(rows, scores.to_dict("records"), strict=True):
        for name in ("turn", "speaker", "text", "label", "status", "text_problem", "audio_problem", "audio_label"):
            value = expected[name]
            assert row[name] == (None if value != value else value), name
        if row["probabilities"] is not None:
            wanted = {name.removeprefix("p_"): p for name, p in expected.items() if str(name).startswith("p_")}
            assert row["probabilities"] == pytest.approx(wanted, abs=1e-5)
            assert sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-5)
            assert row["confidence"] == pytest.approx(expected["confidence"], abs=1e-5)
