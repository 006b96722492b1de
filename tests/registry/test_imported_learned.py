"""A model that hears nothing but imported vectors: it learns what they tell, and nothing where they tell nothing."""

from pathlib import Path

import numpy as np
import pytest

from hbaf.corpus.published.load import load_published
from hbaf.corpus.schema import load_corpus
from hbaf.features.columns import default_store, extract_features
from hbaf.features.imported.columns import import_features
from hbaf.registry.runs import train_and_log
from tests.registry.conftest import Prepared


def dev_score(prepared: Prepared, folder: Path, name: str, signal: float) -> float:
    """Weighted F1 on dev of the audio stream on imported vectors of unit noise, one number of which tells the label."""
    corpus = load_corpus(prepared.reference)
    random = np.random.default_rng(3)
    vectors = random.normal(size=(len(corpus.utterances), 6)).astype(np.float32)
    vectors[:, 4] += signal * (corpus.utterances["emotion"] == "joy").to_numpy()
    vectors[5, 1] = np.nan  # a single missing value, as published files have them
    file = folder / f"{name}.npz"
    np.savez(file, utterance_id=corpus.utterances["utterance_id"].to_numpy(dtype=str), voice=vectors)
    import_features(load_published(file, "npz"), corpus, default_store(), name)
    features = prepared.features.model_copy(update={"audio": f"imported:{name}"})
    run = train_and_log(
        prepared.reference,
        extract_features(corpus, features),
        features,
        prepared.model.model_copy(update={"variant": "audio", "audio_context": False}),
        prepared.training.model_copy(update={"learning_rate": 0.01, "max_epochs": 30}),
    )
    return run.weighted_f1


def test_imported_features_are_learned_from(prepared: Prepared, tmp_path: Path) -> None:
    assert dev_score(prepared, tmp_path, "telling", signal=8.0) == pytest.approx(1.0)


def test_imported_noise_teaches_nothing(prepared: Prepared, tmp_path: Path) -> None:
    assert dev_score(prepared, tmp_path, "noise", signal=0.0) < 0.85
