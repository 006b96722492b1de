"""Scoring with a model that selects audio numbers: only what it reads is kept; audformat on request."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from feature_store.store import FeatureStore
from hbaf.corpus.schema import Corpus, load_corpus
from hbaf.features.columns import extract_features
from hbaf.inference.predictor import Predictor
from hbaf.parameters import FeatureParameters
from hbaf.registry.models import RegisteredModel
from hbaf.registry.runs import train_package
from hbaf.scoring.score import score_rows
from hbaf.training.data import read_vectors
from hbaf.training.run_log import SilentRunLog
from tests.registry.conftest import Prepared


@pytest.fixture(scope="module")
def scored(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> tuple[Corpus, Predictor, pd.DataFrame]:
    """A model on 16 of eGeMAPS' 88 numbers, and what it says with the full rows at hand."""
    folder = tmp_path_factory.mktemp("selecting")
    corpus = load_corpus(prepared.reference)
    features = FeatureParameters(audio="egemaps", select=16, workers=1, store=str(folder / "store"))
    columns = extract_features(corpus, features)
    package = train_package(
        corpus, columns, features, prepared.model, prepared.training, folder=folder, log=SilentRunLog(), origin={}
    )
    assert package.representation.audio.indices is not None
    predictor = Predictor(package)
    return corpus, predictor, predictor.predict(corpus, read_vectors(corpus, columns))


def score(corpus: Corpus, predictor: Predictor, store: Path, keep: str) -> pd.DataFrame:
    package = predictor.package
    features = package.facts.features.model_copy(update={"store": str(store)})
    moved = Predictor(replace(package, facts=replace(package.facts, features=features)))
    model = RegisteredModel("m", "1", store, "0" * 32)
    return score_rows(corpus, model, moved, workers=1, keep_features=keep)  # type: ignore[arg-type]


@pytest.mark.parametrize("keep", ["selected", "none"])
def test_only_what_the_model_reads_is_kept(
    scored: tuple[Corpus, Predictor, pd.DataFrame], tmp_path: Path, keep: str
) -> None:
    corpus, predictor, expected = scored
    found = score(corpus, predictor, tmp_path / "store", keep)
    np.testing.assert_allclose(found["confidence"], expected["confidence"], rtol=1e-5)
    assert found["label"].tolist() == expected["label"].tolist()
    audio = [column.dim for column in FeatureStore(tmp_path / "store").list() if "egemaps" in column.name]
    assert audio == ([16] if keep == "selected" else [])


def test_predictions_are_written_as_audformat(scored: tuple[Corpus, Predictor, pd.DataFrame], tmp_path: Path) -> None:
    pytest.importorskip("audformat", reason="audformat is not installed: pip install 'hbaf[audformat]'")
    from hbaf.corpus.readers.audformat_database import load_database, write_audformat

    corpus, predictor, expected = scored
    found = score(corpus, predictor, tmp_path / "store", "none")
    table = load_database(write_audformat(found, tmp_path / "audformat"))["predictions"].df
    assert len(table) == len(expected)
    named = dict(zip(table["utterance_id"], table["emotion"], strict=True))
    assert named == dict(zip(expected["utterance_id"], expected["label"], strict=True))


def test_predictions_in_shards_are_those_of_the_whole(prepared: Prepared, tmp_path: Path) -> None:
    corpus = load_corpus(prepared.reference)
    training = prepared.training.model_copy(update={"max_epochs": 1})
    package = train_package(
        corpus,
        prepared.columns,
        prepared.features,
        prepared.model,
        training,
        folder=tmp_path,
        log=SilentRunLog(),
        origin={},
    )
    predictor = Predictor(package)
    whole = predictor.predict(corpus, read_vectors(corpus, prepared.columns))
    parts = predictor.predict_in_shards(corpus, prepared.columns, utterances=7)
    pd.testing.assert_frame_equal(parts, whole, rtol=1e-4)
