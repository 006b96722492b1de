"""MELD as released, with its five bad clips: they are found without a list, it trains, and all of test is scored."""

import csv
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from hbaf.corpus.prepare import prepare_corpus
from hbaf.corpus.schema import load_corpus
from hbaf.features.columns import extract_features
from hbaf.parameters import CorpusParameters, ValidationParameters
from hbaf.registry.runs import train_and_log
from hbaf.training.data import read_vectors
from hbaf.training.evaluate import evaluate_final
from hbaf.training.package import ModelPackage
from hbaf.validation import validate
from tests.corpus.readers.test_meld import HEADER
from tests.registry.conftest import LINES, Prepared

pytestmark = pytest.mark.long

TURNS = 5
DIALOGUES = {"train": range(100, 148), "dev": range(100, 112), "test": [*range(30, 40), 155, 220]}
FOLDERS = {
    "train": "train/train_splits",
    "dev": "dev/dev_splits_complete",
    "test": "test/output_repeated_splits_test",
}
# What is wrong with the real release, by its own numbers.
CORRUPT, MISSING = ("train", 125, 3), ("dev", 110, 4)
TOO_LONG = {("test", 38, 4): 305.0, ("test", 220, 0): 235.0}
OF_NO_LENGTH = ("test", 155, 3)


def write_clip(path: Path, pitch: float, seconds: float, random: np.random.Generator) -> None:
    """An mp4 with a tone in AAC, as the release's clips carry their sound."""
    time = np.arange(int(seconds * 16_000)) / 16_000
    wave = (0.3 * np.sin(2 * np.pi * pitch * time) + 0.01 * random.normal(size=len(time))).astype(np.float32)
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = 16_000, Fraction(1, 16_000), 0
        fifo = av.AudioFifo()
        fifo.write(frame)
        while (part := fifo.read(1024, partial=True)) is not None:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))


def write_release(root: Path) -> Path:
    random = np.random.default_rng(5)
    for split, dialogues in DIALOGUES.items():
        folder = root / FOLDERS[split]
        folder.mkdir(parents=True)
        rows = []
        for dialogue in dialogues:
            for turn in range(TURNS):
                emotion = ("joy", "anger")[(dialogue + turn) % 2]
                seconds = 0.0 if (split, dialogue, turn) == OF_NO_LENGTH else 1.0
                begin, end = (f"00:00:{turn * 3 + offset:06.3f}".replace(".", ",") for offset in (0, seconds))
                rows.append(
                    [len(rows) + 1, f"{LINES[emotion]}, number {dialogue} of {split}", "AB"[turn % 2], emotion,
                     "positive", dialogue, turn, 1, 1, begin, end]
                )  # fmt: skip
                if (split, dialogue, turn) == MISSING:
                    continue
                clip = folder / f"dia{dialogue}_utt{turn}.mp4"
                lasts = TOO_LONG.get((split, dialogue, turn), 1.0)
                write_clip(clip, {"joy": 220, "anger": 110}[emotion], lasts, random)
                if (split, dialogue, turn) == CORRUPT:
                    clip.write_bytes(clip.read_bytes()[:1500])  # the index of an mp4 lies at its end
        with (root / f"{split}_sent_emo.csv").open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([HEADER, *rows])
    return root


def test_the_untouched_release_trains_and_all_of_test_is_scored(prepared: Prepared, tmp_path: Path) -> None:
    root = write_release(tmp_path / "MELD.Raw")
    reference = prepare_corpus(CorpusParameters(reader="auto", root=root), workers=1)
    corpus = load_corpus(reference)
    rows = corpus.utterances.set_index("utterance_id")
    unusable = rows.loc[rows["audio_problem"].notna(), "source_id"].tolist()
    assert sorted(unusable) == ["dia110_utt4", "dia125_utt3"]

    result = validate(corpus, ValidationParameters())
    assert result.ok
    found = {rule.name: rule for rule in result.rules if rule.broken_rows}
    assert set(found["audio_as_announced"].examples) >= {"meld/test-38/4", "meld/test-220/0"}
    assert found["announced_length"].examples == ("meld/test-155/3",)
    assert {"meld/train-125/3", "meld/dev-110/4"} <= set(found["audio_usable"].examples)

    columns = extract_features(corpus, prepared.features)
    run = train_and_log(reference, columns, prepared.features, prepared.model, prepared.training)
    predictions = evaluate_final(ModelPackage.load(run.package), corpus, read_vectors(corpus, columns), reason="test")
    assert set(predictions.utterance_ids) == set(rows.index[rows["dialogue_id"].str.startswith("test-")])
    assert len(predictions.utterance_ids) == len(DIALOGUES["test"]) * TURNS
    assert np.isfinite(predictions.probability).all()
    assert predictions.metrics()["weighted_f1"] == pytest.approx(1.0, abs=0.1)
