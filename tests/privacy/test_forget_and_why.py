"""Forgetting a conversation, a speaker, a corpus; walking back from a prediction. Each test has a home of its own."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import pandas as pd
import pytest

from hbaf.cli import main
from hbaf.corpus.schema import Corpus, load_corpus
from hbaf.corpus.sound.facts import utterance_keys
from hbaf.features.columns import default_store, extract_features
from hbaf.privacy.forget import ForgetError, forget
from hbaf.privacy.retention import apply_retention
from hbaf.privacy.stores import STORES, Store
from hbaf.privacy.why import WhyError, why
from hbaf.registry.lineage import lineage_of
from hbaf.registry.models import CHAMPION, register
from hbaf.registry.runs import train_and_log
from hbaf.registry.tracking import MlflowClient
from hbaf.scoring.score import Scores, score_corpus
from tests.registry.conftest import Prepared, prepared, use

__all__ = ["prepared"]  # a fixture


@pytest.fixture(scope="session")
def trained(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """A champion in a home of its own, so that the other tests here find no model of ours."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copytree(prepared.folder / "home", folder / "home")
    shutil.rmtree(folder / "home" / "scores", ignore_errors=True)
    with pytest.MonkeyPatch.context() as patch:
        use(folder, patch)
        run = train_and_log(prepared.reference, prepared.columns, prepared.features, prepared.model, prepared.training)
        # Whether it is any good does not matter here.
        version = register(run.model_uri, "hbaf-calls", {})
        MlflowClient().set_registered_model_alias("hbaf-calls", CHAMPION, version)
    return replace(prepared, folder=folder)


def copy_of(trained: Prepared, folder: Path) -> None:
    shutil.copytree(trained.folder / "home", folder / "home")
    with sqlite3.connect(trained.folder / "mlflow.db") as source, sqlite3.connect(folder / "mlflow.db") as copy:
        source.backup(copy)


@pytest.fixture
def home(trained: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy: what is forgotten here is still there for the others."""
    copy_of(trained, tmp_path)
    use(tmp_path, monkeypatch)
    return tmp_path / "home"


@pytest.fixture(scope="session")
def scored(trained: Prepared, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Scores]:
    """The home of that champion with its scores, and these."""
    folder = tmp_path_factory.mktemp("scored")
    copy_of(trained, folder)
    with pytest.MonkeyPatch.context() as patch:
        use(folder, patch)
        return folder / "home", score_corpus(trained.reference, purpose="research", csv=True, workers=1)


@pytest.fixture
def scores(scored: tuple[Path, Scores], home: Path) -> Scores:
    before, made = scored
    shutil.copytree(before, home, dirs_exist_ok=True)
    assert made.report is not None
    folder, report = (home / place.relative_to(before) for place in (made.folder, made.report))
    return replace(made, folder=folder, report=report)


def saved(home: Path) -> Corpus:
    (file,) = (home / "corpora").glob("*/corpus.json")
    return load_corpus(file.parent)


def scored_at(scores: Scores, moment: float) -> None:
    """Sets back when a table was scored; seconds since 1970."""
    rewrite(scores, scored_at=pd.Timestamp(moment, unit="s", tz="UTC"))


def rewrite(scores: Scores, **columns: object) -> None:
    file = scores.folder / "scores.parquet"
    pd.read_parquet(file).drop(columns="probabilities").assign(**columns).to_parquet(file)  # pandas writes no maps


def everything(home: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(home.rglob("*")) if file.is_file())


@pytest.mark.long
def test_a_conversation_is_gone_everywhere(trained: Prepared, home: Path, scores: Scores):
    before = saved(home)
    going = before.utterances[before.utterances["dialogue_id"] == "d3"]
    keys = {*utterance_keys(going, "audio"), *utterance_keys(going, "text")}
    words = going["text"].iloc[0].encode()
    assert words in everything(home)

    receipt = forget("d3")

    assert (receipt.utterances, receipt.scores, receipt.score_folders) == (3, 3, 1)
    assert receipt.vectors == len(keys) == 5  # it says one line twice
    assert "d3" not in set(saved(home).utterances["dialogue_id"])
    assert "d3" not in set(saved(home).splits["dialogue_id"])
    store = default_store()
    for column in trained.columns.by_modality().values():
        kept = utterance_keys(saved(home).utterances, column.modality)
        assert not store.missing(column.column(), list(kept)), "a vector of another conversation went too"
        assert len(store.missing(column.column(), list(keys))) == 5
    table = pd.read_parquet(scores.folder / "scores.parquet")
    assert len(table) == 33
    assert "d3" not in set(table["dialogue_id"])
    assert "d3" not in set(pd.read_csv(scores.folder / "scores.csv")["dialogue_id"])
    assert len(list((scores.folder / "report" / "conversations").glob("*.html"))) == 11
    assert words not in everything(home)
    assert json.loads((scores.folder / "scores.json").read_text())["rows"] == 33


def test_the_receipt_names_models_and_nobody(trained: Prepared, home: Path, scores: Scores):
    receipt = forget("calls/d4")
    assert [model.model for model in receipt.models] == ["hbaf-calls/1"]
    assert receipt.models[0].champion
    written = json.loads(receipt.file.read_text())
    assert written["state"] == "done"
    assert written["corpora"].keys() == {trained.reference.digest}
    assert written["corpora"][trained.reference.digest] == saved(home).digest()
    assert "d4" not in receipt.file.read_text().replace(written["subject"], "").replace(written["salt"], "").replace(
        trained.reference.digest, ""
    ).replace(saved(home).digest(), "").replace(receipt.models[0].run_id, "")


def test_a_speaker_and_shared_words(home: Path):
    """What others said too stays: their rows need it."""
    corpus = saved(home)
    of_b = corpus.utterances["speaker"] == "B"
    receipt = forget("B")
    assert receipt.kind == "speaker"
    assert receipt.utterances == of_b.sum()
    assert set(saved(home).utterances["speaker"]) == {"A"}
    mine, others = (set(utterance_keys(corpus.utterances[rows], "text")) for rows in (of_b, ~of_b))
    assert receipt.shared_contents == len(mine & others)


def test_a_dry_run_changes_nothing(home: Path, scores: Scores):
    before = everything(home)
    receipt = forget("calls", dry_run=True)
    assert (receipt.kind, receipt.utterances, receipt.scores) == ("corpus", 36, 36)
    assert receipt.file is None
    assert everything(home) == before
    assert forget("calls").vectors == receipt.vectors


def test_a_corpus_leaves_no_word(home: Path, scores: Scores):
    assert b"What a wonderful day" in everything(home)
    receipt = forget("calls")
    assert list(receipt.corpora.values()) == [""]
    assert b"What a wonderful day" not in everything(home)
    assert not list((home / "corpora").glob("*"))
    assert not list((home / "scores").glob("*"))
    assert sum(info.rows for info in default_store().list()) == 0


def stop(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def test_no_receipt_says_begun_for_ever(home: Path, monkeypatch: pytest.MonkeyPatch):
    """Killed before its journal is there, a forget has not begun: nobody would complete it."""
    with monkeypatch.context() as patch:
        patch.setattr("hbaf.privacy.journal.published", stop)
        with pytest.raises(KeyboardInterrupt):
            forget("B")
    assert list((home / "receipts").glob("*.json")) == []
    with monkeypatch.context() as patch:
        patch.setattr("hbaf.privacy.receipts.write_atomically", stop)  # and killed behind it, it is completed
        with pytest.raises(KeyboardInterrupt):
            forget("B")
    assert forget("B").state == "done"
    assert [json.loads(file.read_text())["state"] for file in (home / "receipts").glob("*.json")] == ["done"]


@pytest.mark.long
@pytest.mark.parametrize("done", range(len(STORES) + 1))
def test_an_interrupted_forget_is_completed_by_whoever_comes_next(
    home: Path, scores: Scores, monkeypatch: pytest.MonkeyPatch, done: int
):
    """Stopped after so many stores; the last time after all of them, before the receipt says so."""
    words = saved(home).utterances.set_index("dialogue_id").loc["d5", "text"].iloc[0].encode()
    kept = sum(info.rows for info in default_store().list())
    with monkeypatch.context() as patch:
        patch.setattr("hbaf.privacy.forget.STORES", (*STORES[:done], Store((), stop)))
        with pytest.raises(KeyboardInterrupt):
            forget("d5")
    (begun,) = (home / "receipts").glob("*.json")
    assert json.loads(begun.read_text())["state"] == "begun"
    assert [file.stat().st_mode & 0o777 for file in (home / "forgetting").glob("*.json")] == [0o600]
    if done % 2:
        receipt = forget("d5")
        assert (receipt.state, receipt.utterances, receipt.scores) == ("done", 3, 3)
        assert not receipt.left_in
    else:
        assert apply_retention() is None, "no HBAF_RETENTION, so nothing goes by age"
    assert json.loads(begun.read_text())["state"] == "done"
    assert "d5" not in set(saved(home).utterances["dialogue_id"])
    assert "d5" not in set(pd.read_parquet(scores.folder / "scores.parquet")["dialogue_id"])
    assert kept - sum(info.rows for info in default_store().list()) == json.loads(begun.read_text())["vectors"]
    assert words not in everything(home)
    assert not list((home / "forgetting").glob("*.json"))
    with pytest.raises(ForgetError, match="no conversation of that name"):
        forget("d5")


def test_old_things_go_by_age(home: Path, scores: Scores):
    with pytest.raises(SystemExit):
        main(["forget", "--older-than", "90"])
    assert forget(older_than=timedelta(days=90)).utterances == 0
    long_ago = time.time() - 100 * 86_400
    for file in (home / "corpora").glob("*/corpus.json"):
        os.utime(file, (long_ago, long_ago))
    scored_at(scores, long_ago)
    receipt = forget(older_than=timedelta(days=90))
    assert (receipt.utterances, receipt.scores) == (36, 36)


def test_what_is_not_there_and_what_is_not_clear(home: Path):
    with pytest.raises(ForgetError, match="no conversation of that name"):
        forget("nobody")
    with pytest.raises(ForgetError, match="say what to forget"):
        forget()
    table = next((home / "corpora").glob("*/utterances.parquet"))
    rows = pd.read_parquet(table)
    rows.assign(speaker="calls").to_parquet(table)
    with pytest.raises(ForgetError, match=r"a speaker and of a corpus.*--kind"):
        forget("calls")


def test_quiet_forgetting_shows_what_is_left_to_do(home: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main(["forget", "d0", "--quiet"])
    shown = capsys.readouterr().out
    assert ended.value.code == 0
    assert "trained on what is forgotten" in shown
    assert "receipt: " in shown
    assert "feature vectors" not in shown


def test_features_come_back_only_for_what_is_left(trained: Prepared, home: Path):
    forget("d0")
    columns = extract_features(saved(home), trained.features)
    assert default_store().list()[0].rows == len(set(utterance_keys(saved(home).utterances, "audio")))
    assert columns.digests() == trained.columns.digests()


def test_why_walks_to_the_recording(trained: Prepared, scores: Scores, capsys: pytest.CaptureFixture[str]):
    steps = {step.name: step for step in why("calls/d2/1")}
    assert list(steps) == ["prediction", "model", "run", "audio features", "text features", "corpus", "recording"]
    assert all(step.whole for step in steps.values())
    row = pd.read_parquet(scores.folder / "scores.parquet").set_index("utterance_id").loc["calls/d2/1"]
    assert steps["prediction"].facts["label"].startswith(f"{row['label']} (")
    assert steps["model"].facts["version"] == "hbaf-calls/1, the champion now"
    assert steps["audio features"].facts["column"] == trained.columns.audio.digest
    shard = Path(steps["audio features"].facts["shard"])
    assert shard.exists()
    assert steps["audio features"].facts["key"].encode() in shard.read_bytes()
    assert steps["corpus"].facts["digest"] == trained.reference.digest
    assert steps["recording"].facts["sha256"] == row["audio_digest"]
    assert steps["recording"].facts["file"].endswith("d2_1.wav, unchanged")
    with pytest.raises(SystemExit) as ended:
        main(["why", "calls/d2/1"])
    assert ended.value.code == 0
    assert "weighted F1" in capsys.readouterr().out


def test_why_gets_by_without_mlflow_and_says_what_mlflow_says(scores: Scores, monkeypatch: pytest.MonkeyPatch):
    code = (
        "import sys; from hbaf.cli import main\n"
        "try: main(['why', 'calls/d2/1'])\n"
        "finally: print('mlflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "hbaf-calls/1, the champion now" in done.stdout
    assert done.stdout.split()[-1] == "False"
    run = pd.read_parquet(scores.folder / "scores.parquet")["run_id"].iloc[0]
    read = lineage_of("hbaf-calls/1", run)
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", os.environ["MLFLOW_TRACKING_URI"])  # so that MLflow is asked
    asked = lineage_of("hbaf-calls/1", run)
    assert asked.package != read.package
    assert replace(asked, package=read.package) == read
    assert read.recorded["trained on"].startswith("calls ")


def test_why_says_where_the_chain_breaks(home: Path, scores: Scores, capsys: pytest.CaptureFixture[str]):
    rewrite(scores, audio_digest="0" * 64)
    steps = {step.name: step for step in why("calls/d2/1", scores.folder)}
    assert not steps["recording"].whole
    assert "CHANGED" in steps["recording"].facts["file"]
    assert not steps["audio features"].whole
    assert steps["text features"].whole
    with pytest.raises(SystemExit) as ended:
        main(["why", "calls/d2/1"])
    assert ended.value.code == 1
    assert "not found: what lies before it cannot be traced" in capsys.readouterr().out


def test_why_of_nothing_shows_an_id(scores: Scores):
    with pytest.raises(WhyError, match=r"An id looks like calls/d0/0"):
        why("calls/d99/0")
