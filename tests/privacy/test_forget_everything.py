"""After a forget, no file of the home and no row of MLflow holds a word of it; retention forgets by a setting."""

import json
import time
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

from hbaf.cli import main
from hbaf.corpus.readers.imported import save_imported
from hbaf.corpus.schema import load_corpus
from hbaf.features.columns import default_store
from hbaf.features.imported.columns import imported_keys
from hbaf.parameters import SearchParameters, ValidationParameters
from hbaf.privacy.forget import forget
from hbaf.privacy.retention import AgeError, apply_retention, retention
from hbaf.registry.records.validations import log_validation
from hbaf.registry.trained_on import run_keys, validations_of
from hbaf.scoring.score import Scores
from hbaf.search.plan import begin_study, read_plan, storage_url
from hbaf.search.space import SearchError
from hbaf.validation import accept, validate
from tests.privacy.test_forget_and_why import home, saved, scored, scored_at, scores, trained
from tests.privacy.test_markers import held
from tests.registry.conftest import Prepared, prepared

__all__ = ["home", "prepared", "scored", "scores", "trained"]  # the fixtures
WORDS = ("we won the prize, number 3", "you broke it again, number 3", "d3_0.wav", "d3_1.wav", "calls/d3/")
STUDY = "a-search"


@pytest.fixture
def everything(trained: Prepared, home: Path, scores: Scores) -> Path:
    """A home in which the conversation is wherever one can be."""
    corpus = saved(home)
    # A rule that is broken everywhere, so that ids of d3 are named.
    rules = ValidationParameters(seconds=(30.0, 60.0))
    result = validate(corpus, rules)
    accept(corpus, result)
    log_validation(result, rules)
    save_imported(corpus)
    store = default_store()
    column = trained.columns.text.column()
    rows = corpus.utterances[corpus.utterances["dialogue_id"] == "d3"]
    store.put(column, imported_keys(rows), store.get(column, [key_of(corpus.utterances)] * 3)[0])
    begin_study(
        trained.reference, trained.columns, trained.features, trained.model, trained.training,
        SearchParameters(trials=2, study=STUDY),
    )  # fmt: skip
    (home / "search" / STUDY).mkdir(parents=True, exist_ok=True)
    (home / "search" / STUDY / "worker-0.log").write_text("calls/d3/0")
    (key,) = run_keys({trained.reference.digest})
    (home / "runs" / key[:16] / "last.ckpt").write_bytes(b"weights")
    (home / "errors").mkdir()
    (home / "errors" / "one.txt").write_text("row 3: you broke it again, number 3")
    (home / "somewhere.txt").write_text("copied by hand: Stop shouting at me, you broke it again, number 3")
    return home


def key_of(utterances: pd.DataFrame) -> str:
    from hbaf.corpus.sound.facts import utterance_keys

    return str(utterance_keys(utterances, "text").iloc[0])


@pytest.mark.long
def test_a_conversation_is_gone_from_every_store(trained: Prepared, everything: Path) -> None:
    before = held(everything.parent, WORDS)
    assert {name.split("/")[1] for name in before if name.startswith("home/")} >= {
        "corpora", "docs", "imported", "scores", "mlflow", "search", "errors",
    }  # fmt: skip
    vectors = sum(info.rows for info in default_store().list())

    receipt = forget("d3")

    after = held(everything.parent, WORDS)
    assert list(after) == ["home/somewhere.txt"]
    assert receipt.left_in == ("somewhere.txt",), "what is not ours is named and left"
    assert receipt.validations == 1
    assert validations_of({trained.reference.digest}, ["calls"]) == []
    assert receipt.studies == 1
    with pytest.raises(SearchError, match="no study"):
        read_plan(STUDY, storage_url(SearchParameters()))
    assert not list((everything / "runs").rglob("*.ckpt"))
    assert len(load_corpus(everything / "imported" / "calls").utterances) == 33
    assert vectors - sum(info.rows for info in default_store().list()) == receipt.vectors == 5 + 3
    assert [model.model for model in receipt.models] == ["hbaf-calls/1"]
    assert receipt.file is not None
    assert "number 3" not in receipt.file.read_text()
    assert (everything / "validated" / "calls.json").exists(), "figures of the versions, no words"


def test_models_of_an_earlier_version_are_named_too(trained: Prepared, home: Path) -> None:
    """d4 was in the version that the model saw, although another conversation was forgotten since."""
    forget("d3")
    assert saved(home).digest() != trained.reference.digest
    assert [model.model for model in forget("d4").models] == ["hbaf-calls/1"]


def test_a_whole_corpus_leaves_figures_neither(everything: Path) -> None:
    (everything / "somewhere.txt").unlink()
    receipt = forget("calls")
    assert receipt.left_in == ()
    assert held(everything.parent, ("we won the prize", "you broke it again", "d3_0.wav")) == {}
    assert not (everything / "validated" / "calls.json").exists()
    assert not (everything / "imported" / "calls").exists()


def test_retention_by_setting(trained: Prepared, home: Path, scores: Scores, monkeypatch: pytest.MonkeyPatch) -> None:
    assert retention() is None
    assert apply_retention() is None
    monkeypatch.setenv("HBAF_RETENTION", "ninety days")
    with pytest.raises(AgeError, match=r"HBAF_RETENTION ninety days.*90d"):
        apply_retention()
    monkeypatch.setenv("HBAF_RETENTION", "90d")
    assert retention() == timedelta(days=90)
    assert apply_retention() is None
    assert not list((home / "receipts").glob("*")) if (home / "receipts").exists() else True
    long_ago = time.time() - 100 * 86_400
    scored_at(scores, long_ago)
    receipt = apply_retention()
    assert receipt is not None
    assert (receipt.scores, receipt.utterances) == (36, 0)
    assert not scores.folder.exists()
    assert json.loads(receipt.file.read_text())["kind"] == "older than"  # type: ignore[union-attr]


def test_the_verb_says_what_it_did(everything: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["forget", "calls/d3"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "1 validations in MLflow and 1 searches" in said
    assert "CHAMPION" in said
    assert "somewhere.txt" in said
    assert "receipt: " in said
