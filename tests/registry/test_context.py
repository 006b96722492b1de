"""A model whose text encoder reads the turns before: scored, explained, monitored and forgotten like any other."""

import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from feature_store.manifest import Column
from hbaf.corpus.schema import load_corpus
from hbaf.corpus.sound.facts import utterance_keys
from hbaf.features.columns import default_store, extract_features
from hbaf.home import home_folder
from hbaf.inference.predictor import Predictor
from hbaf.inference.rows import predict_rows
from hbaf.monitoring.stored_vectors import stored_vectors
from hbaf.parameters import FineTuneParameters
from hbaf.privacy.forget import forget
from hbaf.privacy.why import why
from hbaf.registry.models import CHAMPION, register
from hbaf.registry.runs import RunReference, train_and_log
from hbaf.registry.tracking import MlflowClient
from hbaf.scoring.score import Scores, score_corpus
from hbaf.training.finetuning.finetune import finetune
from tests.registry.conftest import Prepared, use

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def trained(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunReference]:
    """A home with a champion on a fine-tuned encoder, which lies in its package alone; no features are left."""
    folder = tmp_path_factory.mktemp("context")
    saved = prepared.reference.folder
    shutil.copytree(saved, folder / "home" / "corpora" / saved.name)
    with pytest.MonkeyPatch.context() as patch:
        use(folder, patch)
        corpus = load_corpus(prepared.reference)
        parameters = FineTuneParameters(context=2, max_length=48, cross_fit=2, max_epochs=1, frozen_layers=5, threads=1)
        features = prepared.features.model_copy(update={"text": finetune(corpus, parameters).name})
        columns = extract_features(corpus, features)
        made = train_and_log(prepared.reference, columns, features, prepared.model, prepared.training)
        version = register(made.model_uri, "hbaf-calls", {})
        MlflowClient().set_registered_model_alias("hbaf-calls", CHAMPION, version)
    shutil.rmtree(folder / "home" / "encoders")
    shutil.rmtree(folder / "home" / "features")
    return folder, made


@pytest.fixture
def run(trained: tuple[Path, RunReference], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunReference:
    folder, made = trained
    shutil.copytree(folder / "home", tmp_path / "home")
    with sqlite3.connect(folder / "mlflow.db") as source, sqlite3.connect(tmp_path / "mlflow.db") as copy:
        source.backup(copy)
    use(tmp_path, monkeypatch)
    return made


@pytest.fixture
def scores(run: RunReference, prepared: Prepared) -> Scores:
    return score_corpus(prepared.reference, purpose="research", workers=1)


def test_scored_with_the_packages_encoder_and_walked_back(run: RunReference, scores: Scores) -> None:
    table = pd.read_parquet(scores.folder / "scores.parquet")
    assert (table["status"] == "scored").all()
    steps = {step.name: step for step in why("calls/d2/2")}
    assert all(step.whole for step in steps.values())
    told = steps["text features"].facts
    assert told["context"].startswith("2 turns before")
    assert told["key"] == utterance_keys(table, "text", 2)[(table["utterance_id"] == "calls/d2/2").to_numpy()].iloc[0]
    # The monitor reads what scoring kept, and never computes.
    vectors = stored_vectors(table, Predictor.load(run.package).package)
    assert vectors is not None
    assert np.isfinite(vectors.text).all()


def test_plain_rows_are_read_with_what_came_before(run: RunReference, prepared: Prepared, scores: Scores) -> None:
    corpus = load_corpus(prepared.reference)
    rows = corpus.utterances[["dialogue_id", "turn", "speaker", "text", "audio"]]
    rows = rows.assign(audio=[str(corpus.root / audio) for audio in rows["audio"]])
    found = predict_rows(Predictor.load(run.package), rows, store=str(prepared.folder / "rows"))
    table = pd.read_parquet(scores.folder / "scores.parquet")
    np.testing.assert_allclose(found["p_joy"], table["p_joy"], atol=1e-5)


def test_a_forgotten_speaker_leaves_no_vector_that_read_his_words(scores: Scores) -> None:
    (column,) = [info for info in default_store().list() if info.identity.get("context")]
    assert column.rows == 36
    receipt = forget("B")
    assert receipt.utterances == 12  # the middle one of three turns
    (saved,) = (home_folder() / "corpora").glob("*/corpus.json")
    left = load_corpus(saved.parent).utterances
    (column,) = [info for info in default_store().list() if info.identity.get("context")]
    # First turns read nobody else; third turns had read the second, and are to be computed anew.
    assert column.rows == 12
    keys = utterance_keys(left, "text", 2)
    missing = set(default_store().missing(Column(column.digest, column.name, column.dim), list(keys)))
    assert [key in missing for key in keys] == [False, True] * 12
