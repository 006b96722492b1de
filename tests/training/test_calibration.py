"""Temperature, calibration error and the threshold of `uncertain`: against scikit-learn, by hand, and on noise."""

import json

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV, calibration_curve
from sklearn.frozen import FrozenEstimator

from hbaf.model.batch import UNLABELLED
from hbaf.training.quality.calibration import (
    Calibration,
    at_temperature,
    calibrate,
    confidence_threshold,
    expected_calibration_error,
    fit_temperature,
)


def drawn(temperature: float, n: int = 4000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of a model that is `temperature` times too sure, and labels drawn from the honest ones."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1.5, (n, 4))
    truth = np.array([random.choice(4, p=p) for p in softmax(logits, axis=1)])
    return softmax(logits * temperature, axis=1), truth


class Given(ClassifierMixin, BaseEstimator):
    """A classifier whose input is its logits."""

    def fit(self, x: np.ndarray, y: np.ndarray) -> "Given":
        self.classes_ = np.unique(y)
        return self

    def decision_function(self, x: np.ndarray) -> np.ndarray:
        return x

    def predict(self, x: np.ndarray) -> np.ndarray:
        return x.argmax(1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_is_found_and_agrees_with_sklearn(temperature: float) -> None:
    probability, truth = drawn(temperature)
    found = fit_temperature(probability, truth)
    assert found == pytest.approx(temperature, rel=0.1)
    logits = np.log(probability)
    peer = CalibratedClassifierCV(FrozenEstimator(Given().fit(logits, truth)), method="temperature", ensemble=False)
    theirs = peer.fit(logits, truth).predict_proba(logits)
    assert at_temperature(probability, found) == pytest.approx(theirs, abs=1e-3)


def test_scaling_mends_the_error_and_moves_no_label() -> None:
    probability, truth = drawn(3.0)
    found = calibrate(probability, truth, 0.8)
    assert found.error_before > 0.15
    assert found.error < 0.03
    assert found.loss < found.loss_before
    assert (at_temperature(probability, found.temperature).argmax(1) == probability.argmax(1)).all()


def test_temperature_stays_within_bounds_where_there_is_no_optimum() -> None:
    right = np.array([[0.9, 0.1], [0.1, 0.9]])
    assert 0.05 <= fit_temperature(right, np.array([0, 1])) < 0.3
    assert fit_temperature(right, np.array([1, 0])) == pytest.approx(20.0, rel=0.01)


def test_calibration_error_by_hand() -> None:
    # Two at .95, one of them right: |.95 - .5|; two at .6, both right: |.6 - 1|. Mean of .45 and .4.
    probability = np.array([[0.95, 0.05], [0.95, 0.05], [0.6, 0.4], [0.6, 0.4]])
    assert expected_calibration_error(probability, np.array([0, 1, 0, 0])) == pytest.approx((0.45 + 0.40) / 2)


def test_calibration_error_of_two_classes_agrees_with_sklearns_curve() -> None:
    random = np.random.default_rng(1)
    sure = random.uniform(0.5, 1, 500)
    truth = (random.random(500) > 0.7).astype(int)
    share, said = calibration_curve(truth == 0, sure, n_bins=15)
    counts = np.bincount(np.minimum((sure * 15).astype(int), 14))
    expected = (np.abs(share - said) * counts[counts > 0]).sum() / 500
    found = expected_calibration_error(np.column_stack([sure, 1 - sure]), truth)
    assert found == pytest.approx(expected)


def test_the_threshold_keeps_its_precision_on_other_utterances() -> None:
    here, there = drawn(1.0), drawn(1.0, seed=1)
    threshold = confidence_threshold(here[0].max(1), here[0].argmax(1) == here[1], 0.8)
    certain = there[0].max(1) >= threshold
    assert 0.2 < certain.mean() < 0.8
    assert (there[0].argmax(1) == there[1])[certain].mean() == pytest.approx(0.8, abs=0.03)


def test_thresholds_at_the_ends() -> None:
    confidence, right = np.linspace(0.3, 0.9, 100), np.ones(100, bool)
    assert confidence_threshold(confidence, right, 0.9) == 0.0
    assert confidence_threshold(confidence, ~right, 0.1) == 1.0
    # The five surest are right, which is too few to build on.
    assert confidence_threshold(confidence, np.arange(100) >= 95, 0.9) == 1.0


def test_unlabelled_utterances_do_not_count_and_json_keeps_it() -> None:
    probability, truth = drawn(2.0, n=300)
    padded = calibrate(np.vstack([probability, probability[:1]]), np.append(truth, UNLABELLED), 0.7)
    assert padded == calibrate(probability, truth, 0.7)
    assert Calibration.from_json(json.loads(json.dumps(padded.as_json()))) == padded
    assert "NaN" not in json.dumps(Calibration().as_json())
