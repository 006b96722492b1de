"""A card of labels, corpora and reasons that would be pictures: in Markdown, which MLflow shows, and as a page."""

import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from hbaf.parameters import from_recipe
from hbaf.promotion.card_text import as_page, card_markdown
from hbaf.promotion.figures import Figures
from hbaf.promotion.rules import Rule
from hbaf.promotion.verdict import Verdict
from hbaf.training.package import PackageFacts
from hbaf.training.quality.calibration import Calibration

EVIL = "![joy](https://example.org/seen.png)"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No corpus and no MLflow are needed here."""
    monkeypatch.setenv("HBAF_HOME", str(tmp_path))


@pytest.fixture
def card() -> str:
    return written({})


def written(sides: dict[str, int], calibration: Calibration | None = None) -> str:
    """A card of a corpus with so many utterances `with_voice` and `with_words`."""
    features, model, training = from_recipe("demo")
    facts = PackageFacts(
        emotions=(EVIL, "anger"), audio_dim=4, text_dim=4, commonsense_dim=None, features=features, model=model,
        training=training, extractors={"audio": {"name": EVIL}}, licences={"audio": EVIL, "corpus": EVIL},
        origin={"corpus": EVIL, "run_id": EVIL, "corpus_digest": EVIL, "versions": {"hbaf": EVIL}},
        dev_metrics={"weighted_f1": 0.5}, missing={"audio": 0.4}, calibration=calibration or Calibration(),
    )  # fmt: skip
    score = {"value": 0.5, "low": 0.4, "high": 0.6, "precision": 0.5, "recall": 0.5, "support": 9}
    names = ("weighted_f1", "macro_f1", "uar", "accuracy", f"f1/{EVIL}")
    figures = Figures(
        split="gate", scores=dict.fromkeys(names, score),
        slices={"speaker": [{"slice": EVIL, "utterances": 9, "weighted_f1": 0.5}]},
        calibration_error=0.1, bins=[], certain={"share": 0.5, "precision": 0.9},
        counts={"train": {"dialogues": 1, "utterances": 9, "labelled": 9, **sides}}, looks={"all": 1, "promotion": 1},
    )  # fmt: skip
    rule = Rule(EVIL, EVIL, 0.0, 0.0, EVIL, True)
    verdict = Verdict(
        "promoted", "m", "1", "", 0.5, 0.4, EVIL, EVIL, "gate", (rule,), (EVIL,), "2026-01-01", (EVIL,), (EVIL,)
    )
    return card_markdown(verdict, figures, facts, {"audio": EVIL}, "reliability.png")


def test_no_label_becomes_a_picture_or_a_link(card: str) -> None:
    children = [child for token in MarkdownIt("js-default").parse(card) for child in token.children or ()]
    pictures = [child.attrs["src"] for child in children if child.type == "image"]
    assert pictures in ([], ["reliability.png"])
    assert not [child for child in children if child.type == "link_open"]
    assert card.count("example.org") > 10


def test_what_the_corpus_lacks_is_said() -> None:
    assert "Reads voice and words. Weighted F1" in written({})  # judged before the sides were counted
    assert "Reads voice and words. Weighted F1" in written({"with_voice": 9, "with_words": 1})
    assert "Reads voice and words. What it learned from has no words. Weighted F1" in written(
        {"with_voice": 9, "with_words": 0}
    )


def test_a_threshold_is_said_where_there_is_one() -> None:
    some = written({}, Calibration(threshold=0.4, target_precision=0.8, precision=0.81, utterances=9))
    assert "A prediction with a confidence below 0.400 is `uncertain`, so that 80% of the others were right" in some
    none = written({}, Calibration(threshold=0.0, target_precision=0.8, precision=0.83, utterances=9))
    assert "No prediction is `uncertain`: 83% of all on dev were right, and 80% are asked." in none


def test_the_page_asks_for_nothing(card: str) -> None:
    page = as_page(card, {})
    assert 'example.org/seen.png"' not in page
    assert re.search(r"<img[^>]+example", page) is None
    assert 'http-equiv="Content-Security-Policy" content="default-src \'none\';' in page
