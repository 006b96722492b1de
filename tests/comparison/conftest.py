"""A small real corpus, whose words and pitch tell the emotion, read by two extractors of one's own."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from hbaf.comparison.bench import Cell, cells_of
from hbaf.corpus.prepare import prepare_corpus
from hbaf.parameters import ComparisonParameters, CorpusParameters

DIALOGUES, TURNS = 24, 4
LINES = {"joy": "wonderful prize today", "anger": "stop shouting now", "neutral": "the table is here"}
EXTRACTORS = '''
"""Two extractors of one's own: quick, and without any weights."""

import numpy as np


class Tone:
    modality, name, dim, licence = "audio", "tone", 3, "none"
    commercial, in_processes, selected = True, False, False

    def identity(self):
        return {"name": "tone", "version": 1}

    def extract(self, items):
        rows = [[np.abs(np.diff(np.sign(x))).mean(), x.std(), np.abs(x).max()] for x in items]
        return np.array(rows, np.float32).reshape(len(items), 3)


class Letters(Tone):
    modality, name, dim = "text", "letters", 26

    def identity(self):
        return {"name": "letters", "version": 1}

    def extract(self, items):
        rows = [[text.lower().count(chr(97 + n)) for n in range(26)] for text in items]
        return np.array(rows, np.float32).reshape(len(items), 26)
'''
SYSTEMS = '''
"""Two systems of one's own, one of which cannot be run."""

import torch
from torch import nn

from hbaf.model.batch import SystemOutput


class Joined(nn.Module):
    source = "own"

    def __init__(self, *, audio_dim, text_dim, commonsense_dim, emotions, dim=8, dropout=0.1):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(audio_dim + text_dim, dim), nn.ReLU(), nn.Linear(dim, emotions))

    def forward(self, batch):
        return SystemOutput(self.inner(torch.cat([batch.audio, batch.text], -1)))


class Broken(Joined):
    def forward(self, batch):
        raise RuntimeError("this one cannot")


class NoModule:
    pass
'''
# Small and quick for every recipe.
CHANGES = {
    "model": {"dim": 16, "heads": 2, "encoder_layers": 1, "feedforward": 32, "conv_channels": 8},
    "training": {"max_epochs": 4, "patience": 2, "threads": 1, "batch_dialogues": 8},
}


@pytest.fixture(scope="session")
def changes() -> dict[str, dict[str, object]]:
    return CHANGES


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with `features.py` and `systems.py`."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "features.py").write_text(EXTRACTORS)
    (folder / "systems.py").write_text(SYSTEMS)
    return folder


@pytest.fixture(scope="session")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("comparison") / "home"


@pytest.fixture(autouse=True)
def home(shared_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All tests here share one home: making an MLflow database takes seconds."""
    monkeypatch.setenv("HBAF_HOME", str(shared_home))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shared_home / 'mlflow.db'}")
    return shared_home


@pytest.fixture(scope="session")
def cell(own: Path, shared_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Cell:
    folder = tmp_path_factory.mktemp("calls") / "calls"
    write_calls(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HBAF_HOME", str(shared_home))
        reference = prepare_corpus(CorpusParameters(reader="folder", root=folder), workers=1)
        asked = ComparisonParameters(audio=(f"{own}/features.py:Tone",), text=(f"{own}/features.py:Letters",))
        return cells_of([reference], asked, {"features": {"workers": 1}})[0]


def write_calls(folder: Path) -> None:
    folder.mkdir()
    random = np.random.default_rng(0)
    rows = ["dialogue,turn,speaker,text,audio,emotion"]
    seconds = np.arange(4000) / 16_000
    for dialogue in range(DIALOGUES):
        for turn in range(TURNS):
            emotion = list(LINES)[(dialogue + turn * (1 + dialogue % 2)) % 3]
            pitch = {"joy": 300, "anger": 200, "neutral": 100}[emotion] + random.normal(0, 10)
            name = f"d{dialogue}_{turn}.wav"
            soundfile.write(folder / name, 0.3 * np.sin(2 * np.pi * pitch * seconds), 16_000)
            rows.append(f"d{dialogue},{turn},{'AB'[turn % 2]},{LINES[emotion]} {dialogue},{name},{emotion}")
    (folder / "calls.csv").write_text("\n".join(rows) + "\n")
