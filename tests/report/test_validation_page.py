"""The owner's page of a validation: real ids and words, broken rules first, and nothing of it leaves the home."""

import csv
import re
from pathlib import Path

import pandas as pd
import pytest

from hbaf.corpus.schema import Corpus, as_utterances
from hbaf.parameters import ValidationParameters
from hbaf.registry.records.validations import log_validation
from hbaf.registry.tracking import MlflowClient
from hbaf.report.validation_page import SHOWN_ROWS, write_validation_page
from hbaf.validation import validate
from tests.report.made_up import INJECTIONS

PARAMETERS = ValidationParameters(seconds=(1.0, 5.0))


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """Sixty turns of two people by name; a third of them too long, and words that would do harm."""
    monkeypatch.setenv("HBAF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    turns = range(60)
    rows = pd.DataFrame(
        {
            "corpus": "calls",
            "dialogue_id": [("anna_smith", "b")[turn % 2] for turn in turns],
            "turn": [turn // 2 for turn in turns],
            "speaker": [("Anna", "Ben")[turn % 2] for turn in turns],
            "text": [f"{INJECTIONS[turn % len(INJECTIONS)]} number {turn}" for turn in turns],
            "audio": [f"{turn}.wav" for turn in turns],
            "emotion": "joy",
            "seconds": [9.5 if turn % 3 == 0 else 2.0 + turn / 60 for turn in turns],
            "loudness": [-20.0 - turn / 10 for turn in turns],
        }
    )
    splits = pd.DataFrame({"dialogue_id": ["anna_smith", "b"], "split": ["train", "test"]})
    return Corpus("calls", Path("/calls"), as_utterances(rows), splits, ("joy",))


def test_its_owner_finds_every_row(corpus: Corpus, tmp_path: Path) -> None:
    result = validate(corpus, PARAMETERS)
    assert result.docs is not None
    page = write_validation_page(result, corpus, PARAMETERS, result.docs)
    text = page.read_text()
    first = text.index('id="duration"')
    assert first < text.index("Distributions") < text.index("Rules that are kept")
    part = text[first : text.index("</section>", first)]
    assert part.count('<tr><th scope="row"') == min(SHOWN_ROWS, 20)
    assert "calls/anna_smith/0" in part
    assert "number 0" in part
    assert "0.wav" in part
    rows = list(csv.DictReader((page.parent / "broken_rows.csv").open()))
    assert sum(row["rule"] == "duration" for row in rows) == 20
    assert {row["utterance_id"] for row in rows} <= set(corpus.utterances["utterance_id"])


def test_a_histogram_shows_what_lies_beyond_the_bounds(corpus: Corpus) -> None:
    result = validate(corpus, PARAMETERS)
    assert result.docs is not None
    text = write_validation_page(result, corpus, PARAMETERS, result.docs).read_text()
    seconds = text[text.index("<b>seconds</b>") :].partition("</figure>")[0]
    heights = [(name, float(height)) for name, height in re.findall(r'class="(\w+)"[^>]*height="([\d.]+)"', seconds)]
    assert sum(name == "outside" and height > 0 for name, height in heights) == 1, "9.5 s, all in one bar"
    assert sum(name == "limit" for name, _ in heights) == 1, "5 s; 1 s lies left of everything"
    assert "bound 5" in seconds


def test_nothing_that_a_corpus_carries_can_run(corpus: Corpus) -> None:
    result = validate(corpus, PARAMETERS)
    assert result.docs is not None
    text = write_validation_page(result, corpus, PARAMETERS, result.docs).read_text()
    assert text.count("<script") == 1
    assert "default-src 'none'" in text
    assert not any(harm in text for harm in INJECTIONS if "<" in harm)


def test_what_goes_to_mlflow_has_no_name(corpus: Corpus, tmp_path: Path) -> None:
    result = validate(corpus, PARAMETERS)
    assert result.docs is not None
    write_validation_page(result, corpus, PARAMETERS, result.docs)
    run = log_validation(result, PARAMETERS)
    logged = [item.path for item in MlflowClient().list_artifacts(run, "docs")]
    assert "docs/index.html" in logged
    assert not any("own" in path for path in logged)
    kept = [path for path in (tmp_path / "home" / "mlflow").rglob("*") if path.is_file()]
    assert kept
    assert not any(b"anna_smith" in path.read_bytes() or b"Anna" in path.read_bytes() for path in kept)
