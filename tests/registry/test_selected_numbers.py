"""A model that selects among the audio numbers: a search trains on the same ones, `why` finds what scoring kept."""

import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from hbaf.corpus.prepare import prepare_corpus
from hbaf.corpus.schema import load_corpus
from hbaf.features.columns import default_store, extract_features
from hbaf.parameters import CorpusParameters, FeatureParameters, SearchParameters
from hbaf.privacy.why import Step, why
from hbaf.registry.models import CHAMPION, register
from hbaf.registry.runs import train_and_log
from hbaf.registry.tracking import MlflowClient
from hbaf.scoring.score import score_corpus
from hbaf.search.plan import begin_study
from hbaf.search.worker import load_data
from hbaf.training.package import ModelPackage
from tests.registry.conftest import Prepared, use, write_calls

SELECT = 16


@pytest.fixture(scope="module")
def selecting(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """A champion on 16 of eGeMAPS' 88 numbers, in a home of its own."""
    folder = tmp_path_factory.mktemp("selecting")
    shutil.copytree(prepared.folder / "home", folder / "home")
    with pytest.MonkeyPatch.context() as patch:
        use(folder, patch)
        features = FeatureParameters(audio="egemaps", select=SELECT, scale_text=True, workers=1)
        columns = extract_features(load_corpus(prepared.reference), features)
        run = train_and_log(prepared.reference, columns, features, prepared.model, prepared.training)
        assert ModelPackage.load(run.package).facts.audio_dim == SELECT
        # Whether it is any good does not matter here.
        version = register(run.model_uri, "hbaf-calls", {})
        MlflowClient().set_registered_model_alias("hbaf-calls", CHAMPION, version)
    return replace(prepared, folder=folder, columns=columns, features=features)


@pytest.fixture
def home(selecting: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(selecting.folder / "home", tmp_path / "home")
    with sqlite3.connect(selecting.folder / "mlflow.db") as source, sqlite3.connect(tmp_path / "mlflow.db") as copy:
        source.backup(copy)
    use(tmp_path, monkeypatch)
    return tmp_path / "home"


def test_trials_of_a_search_train_on_the_selected_numbers_too(selecting: Prepared, home: Path) -> None:
    asked = SearchParameters(trials=1, study="selecting")
    of = selecting
    data = load_data(begin_study(of.reference, of.columns, of.features, of.model, of.training, asked))
    assert data.representation.audio_dim == SELECT
    assert data.train[0].audio.shape[1] == SELECT


def walk(folder: Path, keep: str) -> dict[str, Step]:
    """Scores conversations that nobody trained on, and walks back from one of their rows."""
    write_calls(folder / "new")
    manifest = folder / "new" / "calls.csv"
    manifest.write_text("\n".join(line.replace("d", "n", 1) for line in manifest.read_text().splitlines()[:7]) + "\n")
    table = pd.read_csv(manifest)
    table.columns = ["dialogue", *table.columns[1:]]
    for number, name in enumerate(table["audio"]):  # other sound than the training's
        shift(folder / "new" / name, number + 1)
    table.to_csv(manifest, index=False)
    reference = prepare_corpus(CorpusParameters(reader="folder", root=folder / "new"), split=False, workers=1)
    scores = score_corpus(reference, purpose="research", workers=1, keep_features=keep)  # type: ignore[arg-type]
    first = pd.read_parquet(scores.folder / "scores.parquet")["utterance_id"].iloc[0]
    return {step.name: step for step in why(first)}


def shift(wav: Path, frames: int) -> None:
    import numpy as np
    import soundfile

    samples, rate = soundfile.read(wav)
    soundfile.write(wav, 0.8 * np.roll(samples, 100 * frames), rate)


def test_why_finds_the_selected_numbers_of_a_scored_row(selecting: Prepared, home: Path, tmp_path: Path) -> None:
    steps = walk(tmp_path, "selected")
    assert all(step.whole for step in steps.values()), steps
    audio = steps["audio features"].facts
    (kept,) = [column for column in default_store().list() if column.digest == audio["selected"]]
    assert (kept.dim, kept.rows) == (SELECT, 6)
    assert audio["key"].encode() in Path(audio["shard"]).read_bytes()
    package = ModelPackage.load(Path(steps["model"].facts["package"]))
    assert audio["selection"] == package.representation.audio.digest() == kept.identity["selection"]
    assert audio["column"] == selecting.columns.audio.digest


def test_why_of_a_row_of_the_training_corpus_finds_the_whole_vector(selecting: Prepared, home: Path) -> None:
    score_corpus(selecting.reference, purpose="research", workers=1, keep_features="none")
    steps = {step.name: step for step in why("calls/d2/1")}
    assert all(step.whole for step in steps.values())
    assert selecting.columns.audio.digest in steps["audio features"].facts["shard"]


def test_why_says_that_vectors_were_not_kept(selecting: Prepared, home: Path, tmp_path: Path) -> None:
    steps = walk(tmp_path, "none")
    assert "keep-features none" in steps["audio features"].facts["vector"]
    assert all(step.whole for step in steps.values())
