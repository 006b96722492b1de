"""The learning curve: parts of train alone, nested, with dev untouched; and what it says."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from hbaf.corpus.schema import Corpus
from hbaf.labelling.curve import Curve, Point, draw_part, labelled_turns, learning_curve, with_train
from hbaf.labelling.given import LabellingError
from hbaf.parameters import Settings
from tests.registry.conftest import Prepared, prepared

__all__ = ["prepared"]  # a fixture


@pytest.fixture
def corpus(prepared: Prepared) -> Corpus:
    return prepared.reference.corpus


def test_parts_are_whole_dialogues_of_train_and_nested(corpus: Corpus) -> None:
    counts = labelled_turns(corpus)
    assert set(counts) == set(corpus.in_split("train")["dialogue_id"])
    small, large = draw_part(counts, 5, seed=3), draw_part(counts, 10, seed=3)
    assert large[: len(small)] == small
    assert sum(counts[name] for name in small) == 6  # two dialogues of three turns
    assert draw_part(counts, 5, seed=3) == small != draw_part(counts, 5, seed=4)
    assert set(draw_part(counts, 10_000, seed=0)) == set(counts)
    part = with_train(corpus, small)
    assert set(part.in_split("train")["dialogue_id"]) == set(small)
    for split in ("dev", "gate"):
        pd.testing.assert_frame_equal(part.in_split(split), corpus.in_split(split))  # type: ignore[arg-type]


def test_turns_without_label_do_not_count(corpus: Corpus) -> None:
    first = corpus.in_split("train")["dialogue_id"].iloc[0]
    gone = (corpus.utterances["dialogue_id"] == first) & (corpus.utterances["turn"] > 0)
    partly = corpus.with_utterances(
        corpus.utterances.assign(emotion=corpus.utterances["emotion"].where(~gone, None).astype("str"))
    )
    assert labelled_turns(partly)[first] == 1


def test_a_curve_of_real_trainings(prepared: Prepared, corpus: Corpus, tmp_path: Path) -> None:
    """Words and pitch both tell the emotion, so six labels are few and all are enough."""
    settings = Settings(prepared.features, prepared.model, prepared.training)
    said: list[str] = []
    with prepared.in_use():
        curve = learning_curve(corpus, prepared.columns, settings, [6, 500], seeds=2, say=said.append)
        looks = prepared.folder / "home" / "test-looks.jsonl"
        assert not looks.exists(), "test is not read"
    assert [round(point.labels) for point in curve.points] == [6, curve.whole]
    assert [len(point.scores) for point in curve.points] == [2, 2]
    assert all(0 <= score <= 1 for point in curve.points for score in point.scores)
    assert len(said) == 4
    assert curve.save(tmp_path / "out").read_bytes()[:4] == b"\x89PNG"
    table = pd.read_csv(tmp_path / "out" / "curve.csv")
    assert list(table["labels"].round()) == [6, 6, curve.whole, curve.whole]


def test_what_is_refused(prepared: Prepared, corpus: Corpus) -> None:
    settings = Settings(prepared.features, prepared.model, prepared.training)
    with pytest.raises(LabellingError, match="--labels"):
        learning_curve(corpus, prepared.columns, settings, [])
    learned = replace(prepared.columns, text=replace(prepared.columns.text, folds=((0, "digest"),)))
    with pytest.raises(LabellingError, match="learned from all labels of train"):
        learning_curve(corpus, learned, settings, [10])


def test_what_it_says() -> None:
    few, more, same = Point(50, 6, (0.40, 0.44)), Point(100, 12, (0.60, 0.62)), Point(200, 25, (0.61, 0.63))
    assert (
        Curve("c", (few, more), 400).message
        == "from 50 to 100 labels: +0.190, seeds differ by 0.028. More labels help."
    )
    assert "within what seeds differ by" in Curve("c", (few, more, same), 400).message
    assert Point(50, 6, (0.4,)).deviation == 0
