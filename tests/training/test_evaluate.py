"""Metrics against scikit-learn and by hand; the list of uses of a test split."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from hbaf.model.batch import UNLABELLED
from hbaf.statistics import interval
from hbaf.training.evaluate import SplitPredictions, metrics, weighted_f1_by

EMOTIONS = ("a", "b", "c")


def test_metrics_by_hand():
    # a: 2 of 2 found, one false alarm: F1 .8; b: 1 of 2: F1 2/3; c never occurs.
    found = metrics(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0]), EMOTIONS)
    assert found["f1/a"] == pytest.approx(0.8)
    assert found["f1/b"] == pytest.approx(2 / 3)
    assert found["weighted_f1"] == pytest.approx((0.8 + 2 / 3) / 2)
    assert found["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)
    assert found["uar"] == pytest.approx(0.75)
    assert found["accuracy"] == pytest.approx(0.75)


def predictions(truth: np.ndarray, guess: np.ndarray, dialogues: np.ndarray | None = None) -> SplitPredictions:
    probability = np.eye(3, dtype=np.float32)[guess]
    ids = tuple(f"u{i}" for i in range(len(truth)))
    dialogues = np.arange(len(truth)) if dialogues is None else dialogues
    return SplitPredictions(ids, tuple(map(str, dialogues)), probability, truth, EMOTIONS)


def test_unlabelled_utterances_do_not_count():
    truth = np.array([0, UNLABELLED, 1])
    assert predictions(truth, np.array([0, 2, 1])).metrics()["accuracy"] == 1.0
    assert predictions(truth, np.array([0, 2, 1])).counts().sum() == 2


def test_bootstrap_agrees_with_sklearn_and_is_wider_over_whole_dialogues():
    random = np.random.default_rng(0)
    truth = np.repeat(random.integers(0, 3, 40), 10)
    # Whole dialogues are right or wrong, so the dialogue is what carries the uncertainty.
    guess = np.where(np.repeat(random.random(40) < 0.7, 10), truth, (truth + 1) % 3)
    by_dialogue = predictions(truth, guess, np.repeat(np.arange(40), 10))
    by_utterance = predictions(truth, guess)
    low, high = interval(by_dialogue.counts())
    assert low < f1_score(truth, guess, average="weighted") < high
    narrow = interval(by_utterance.counts())
    assert high - low > 2 * (narrow[1] - narrow[0])


def test_groups():
    groups = pd.Series({"u0": "voice", "u1": "voice", "u2": "words", "u3": None})
    found = weighted_f1_by(predictions(np.array([0, 1, 2, 0]), np.array([0, 1, 0, 1])), groups)
    assert found == {"voice": 1.0, "words": 0.0}
