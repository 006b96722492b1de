"""`hbaf import`, and training on what it made."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from hbaf.cli import main
from hbaf.corpus.readers.imported import read_imported
from hbaf.features.columns import extract_features
from hbaf.parameters import CorpusParameters, FeatureParameters
from hbaf.training.data import read_vectors


def write_sdt(path: Path, dialogues: int = 30) -> None:
    """The structure of SDT's files, as IEMOCAP's dialogues; the audio vector tells the label."""
    random = np.random.default_rng(0)
    names = [f"Ses0{1 + number % 5}F_impro{number:02d}" for number in range(dialogues)]
    labels = {name: [(number + turn) % 2 for turn in range(3)] for number, name in enumerate(names)}

    def vectors(dim: int, telling: bool) -> dict[str, list[np.ndarray]]:
        return {
            name: [random.normal(5 * label * telling, 1, dim).astype(np.float32) for label in labels[name]]
            for name in names
        }

    ids = {name: [f"{name}_M00{turn}" for turn in range(3)] for name in names}
    speakers = {name: ["M", "F", "M"] for name in names}
    sentences = {name: [f"{name} says {turn}" for turn in range(3)] for name in names}
    layers = [vectors(8, False) for _ in range(4)]
    content = (ids, speakers, labels, *layers, vectors(6, True), vectors(4, False), sentences, names[:24], names[24:])
    path.write_bytes(pickle.dumps(content))


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    return int(stopped.value.code or 0)


def test_a_file_becomes_a_corpus_that_trains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sdt(tmp_path / "features.pkl")
    assert run("import", str(tmp_path / "features.pkl"), "--like", "sdt", "--name", "sdt", "--dev-share", "0.3") == 0
    said = capsys.readouterr().out
    assert "imported/sdt: 90 utterances, train 17, dev 7, test 6 dialogues" in said
    assert "imported:sdt/audio" in said
    assert "90 of 90 utterances" in said
    settings = {
        "features.audio": "imported:sdt/audio",
        "features.text": "imported:sdt/roberta",
        "model.dim": "16",
        "model.heads": "2",
        "model.feedforward": "32",
        "model.conv_channels": "8",
        "training.max_epochs": "2",
        "training.threads": "1",
    }
    changes = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    assert run("train", "imported/sdt", "--recipe", "demo", "--quiet", *changes) == 0
    said = capsys.readouterr().out
    assert "trained sdt, bimodal, recipe demo" in said
    corpus = read_imported(CorpusParameters(reader="imported", name="sdt"))
    features = FeatureParameters(audio="imported:sdt/audio", text="imported:sdt/roberta")
    vectors = read_vectors(corpus, extract_features(corpus, features))
    told = np.where(vectors.audio.mean(axis=1) > 2.5, "sad", "happy")  # the vectors were drawn round 0 and round 5
    assert told.tolist() == corpus.utterances["emotion"].tolist(), "each utterance has its own vector"


def test_what_cannot_be_imported_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sdt(tmp_path / "features.pkl")
    assert run("import", str(tmp_path / "features.pkl"), "--like", "mmgcn") == 2
    assert "not of the structure 'mmgcn'" in capsys.readouterr().err
    assert run("train", "imported/nothing", "--quiet") == 2
    assert "nothing was imported under that name" in capsys.readouterr().err
