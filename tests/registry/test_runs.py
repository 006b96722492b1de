"""From a small real corpus to a registered champion and scored conversations, on a real MLflow database."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pandas as pd
import pytest

from hbaf.corpus.schema import load_corpus
from hbaf.parameters import PromotionParameters
from hbaf.pipeline import decide
from hbaf.promotion.best_run import best_run
from hbaf.registry.cached_champion import champion as find_champion
from hbaf.registry.embedded.lookup import Found, with_alias
from hbaf.registry.models import CHAMPION, NoModelError, find_model
from hbaf.registry.runs import RunReference, train_and_log
from hbaf.registry.tracking import MlflowClient
from hbaf.scoring.schema import as_cell
from hbaf.scoring.score import score_corpus
from hbaf.training.data import read_vectors
from hbaf.training.evaluate import evaluate_final
from hbaf.training.package import ModelPackage, PackageError
from tests.registry.conftest import LINES, Prepared


@pytest.fixture(scope="session")
def run(prepared: Prepared) -> RunReference:
    with prepared.in_use():
        return train_and_log(prepared.reference, prepared.columns, prepared.features, prepared.model, prepared.training)


def test_a_run_is_logged_whole(prepared: Prepared, run: RunReference):
    data = MlflowClient().get_run(run.run_id).data
    assert data.params["model.dim"] == "16"
    assert data.params["training.learning_rate"] == "0.001"
    assert data.metrics["best/weighted_f1"] == pytest.approx(run.weighted_f1)
    assert data.tags["corpus_digest"] == prepared.reference.digest
    history = MlflowClient().get_metric_history(run.run_id, "train/contrastive_audio_text")
    assert len(history) == prepared.training.max_epochs
    assert [point.step for point in history] == list(range(1, len(history) + 1))
    logged = {item.path for item in MlflowClient().list_artifacts(run.run_id)}
    assert {"curves.png", "confusion_dev.png", "gates_dev.png"} <= logged


def test_no_words_reach_mlflow(prepared: Prepared, run: RunReference):
    spoken = [line.encode() for line in LINES.values()]
    places = [prepared.folder / "mlflow.db", *(prepared.folder / "home" / "mlflow").rglob("*"), *run.package.rglob("*")]
    files = [place for place in places if place.is_file()]
    assert len(files) > 10
    for file in files:
        content = file.read_bytes()
        assert not any(line in content for line in spoken), file


def test_the_same_run_is_not_trained_twice(prepared: Prepared, run: RunReference):
    again = train_and_log(prepared.reference, prepared.columns, prepared.features, prepared.model, prepared.training)
    assert again.reused
    assert again.run_id == run.run_id


def test_a_package_holds_no_pickle_and_says_where_it_comes_from(prepared: Prepared, run: RunReference):
    names = {path.suffix for path in run.package.rglob("*") if path.is_file()}
    assert names == {".safetensors", ".json"}
    facts = json.loads((run.package / "package.json").read_text())
    assert facts["origin"]["corpus_digest"] == prepared.reference.digest
    assert facts["origin"]["run_id"] == run.run_id
    assert facts["extractors"]["audio"]["name"] == "mfcc"
    assert facts["emotions"] == ["anger", "joy"]


def test_loading_nothing_says_so(tmp_path: Path):
    with pytest.raises(PackageError, match=r"no package\.json"):
        ModelPackage.load(tmp_path)


@pytest.fixture(scope="session")
def champion(prepared: Prepared, run: RunReference):
    # Two test dialogues prove nothing: the rules themselves are tested in test_promotion.py, on a larger corpus.
    rules = PromotionParameters(minimum_effect=-1.0, calibration_tolerance=1.0)
    with prepared.in_use():
        assert best_run(prepared.reference).run_id == run.run_id
        return decide(run, prepared.reference, prepared.columns, rules=rules)


def test_the_first_model_must_beat_the_majority(champion, run: RunReference):
    assert champion.promoted
    assert champion.against.startswith("floor: ")
    assert champion.candidate > 0.5  # always saying the most frequent emotion gets 0.27
    assert find_model().run_id == run.run_id


def test_the_kept_champion_is_found_without_mlflow(champion, run: RunReference):
    """As in MLflow 3.17, whose tables are read; where they are others this fails and the slow way is taken."""
    told = MlflowClient().get_model_version_by_alias("hbaf-calls", CHAMPION)
    found = with_alias(os.environ["MLFLOW_TRACKING_URI"], CHAMPION)
    assert Found("hbaf-calls", str(told.version), str(told.run_id)) in (found or [])
    assert find_champion("hbaf-calls").model.run_id == run.run_id  # and copies it into the home
    code = (
        "import sys; from hbaf.registry.cached_champion import champion\n"
        "print(champion('hbaf-calls').model.label, 'mlflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [f"hbaf-calls/{champion.version}", "False"]
    assert with_alias("sqlite:///nowhere.db", CHAMPION) is None


def test_an_equal_model_is_not_promoted(prepared: Prepared, champion):
    twin = train_and_log(
        prepared.reference, prepared.columns, prepared.features, prepared.model, prepared.training, again=True
    )
    verdict = decide(twin, prepared.reference, prepared.columns)
    assert verdict.candidate == pytest.approx(verdict.champion)
    assert not verdict.promoted
    assert find_model().version == champion.version


def test_no_model_says_which_command_makes_one():
    with pytest.raises(NoModelError, match="hbaf train"):
        find_model("absent")


def test_scoring_writes_every_utterance_once(prepared: Prepared, champion, tmp_path: Path):
    scores = score_corpus(prepared.reference, purpose="research", output=tmp_path / "out", csv=True, workers=1)
    table = pd.read_parquet(scores.folder / "scores.parquet")
    corpus = load_corpus(prepared.reference)
    assert list(table["utterance_id"]) == list(corpus.utterances["utterance_id"])
    assert table[["p_anger", "p_joy"]].sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-5)
    assert set(table["audio_label"]) | set(table["text_label"]) <= {"anger", "joy"}
    assert (pd.read_csv(scores.folder / "scores.csv")["label"] == table["label"]).all()
    looked_at = [json.loads(told) for told in table["attention"]]
    assert all(turn in {"0", "1", "2"} for told in looked_at for turn in told)
    assert any(looked_at)
    assert scores.report is not None
    linked = set(re.findall(r'<a href="([^"]*)">(?:Table|Model)', scores.report.read_text()))
    assert {"../scores.parquet", "../scores.csv"} < linked
    assert all((scores.report.parent / href).exists() for href in linked)
    assert any(href.endswith("card.html") for href in linked)
    assert scores.report.exists()
    assert json.loads((scores.folder / "scores.json").read_text())["model"] == "hbaf-calls/1"


def test_the_final_look_is_written_down(prepared: Prepared, run: RunReference, home: Path):
    corpus = load_corpus(prepared.reference)
    predictions = evaluate_final(
        ModelPackage.load(run.package), corpus, read_vectors(corpus, prepared.columns), reason="a test"
    )
    assert set(predictions.dialogue_ids) == set(corpus.splits.query("split == 'test'")["dialogue_id"])
    look = json.loads((home / "test-looks.jsonl").read_text().splitlines()[-1])
    assert look["reason"] == "a test"
    assert look["run"] == run.run_id


def test_spreadsheets_get_no_formulas():
    assert as_cell("=1+1") == "'=1+1"
    assert as_cell("hello") == "hello"


@pytest.mark.long
@pytest.mark.timeout(240)
def test_the_model_loads_without_the_checkout(prepared: Prepared, run: RunReference, tmp_path: Path):
    """A fresh virtual environment that sees the installed libraries, but neither the checkout nor an installed hbaf."""
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    # On PYTHONPATH the .pth files of the site folder are not read, so an editable hbaf is not found through it.
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "PYTHONPATH": sysconfig.get_paths()["purelib"],
        "HBAF_HOME": str(tmp_path / "home"),
    }
    script = tmp_path / "use.py"
    script.write_text(
        "import importlib.util, sys, pandas as pd\n"
        "assert importlib.util.find_spec('hbaf') is None, 'hbaf is visible before the model is loaded'\n"
        "import mlflow\n"
        f"model = mlflow.pyfunc.load_model({run.model_uri!r})\n"
        f"audio = {str(prepared.folder / 'calls' / 'd0_0.wav')!r}\n"
        "rows = pd.DataFrame({'dialogue_id': ['x', 'x'], 'turn': [0, 1], 'speaker': ['A', 'B'],\n"
        "                     'text': ['What a wonderful day', None], 'audio': [None, audio]})\n"
        "found = model.predict(rows)\n"
        "assert list(found['utterance_id']) == ['rows/x/0', 'rows/x/1'], found\n"
        "assert abs(found[['p_anger', 'p_joy']].sum(axis=1) - 1).max() < 1e-5\n"
        "print(sys.modules['hbaf'].__file__)\n"
    )
    done = subprocess.run([python, script], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert str(Path(__file__).parents[2]) not in done.stdout.splitlines()[-1]
    assert sys.prefix not in done.stdout.splitlines()[-1]
