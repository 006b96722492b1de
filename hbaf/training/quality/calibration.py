"""Probabilities that mean what they say: temperature scaling on dev, calibration error, and what counts as uncertain.

n utterances, C emotions.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from hbaf.model.batch import UNLABELLED

BINS = 15
FEWEST = 20  # utterances above a threshold before its precision is believed


@dataclass(frozen=True)
class Calibration:
    """What a package knows of its own confidence; all figures are of dev.

    Attributes:
        temperature: logits are divided by it; 1 changes nothing, above 1 the model was too sure of itself.
        threshold: confidence below which a prediction is `uncertain`; 1 where no threshold reaches the target.
        target_precision: share of right labels that the certain ones were to reach.
        precision, coverage: share of right labels among the certain, and share of utterances that are certain.
        error, error_before: expected calibration error with and without the temperature.
        loss, loss_before: mean negative log-likelihood, likewise.
        utterances: labelled ones that all this was measured on; 0: a package without calibration.
    """

    temperature: float = 1.0
    threshold: float = 0.0
    target_precision: float = 0.0
    precision: float = float("nan")
    coverage: float = 1.0
    error: float = float("nan")
    error_before: float = float("nan")
    loss: float = float("nan")
    loss_before: float = float("nan")
    utterances: int = 0

    @property
    def measured(self) -> bool:
        """Whether there were labelled dev utterances to fit on; if not, the figures are NaN."""
        return self.utterances > 0

    def as_metrics(self) -> dict[str, float]:
        """For a run log."""
        return {f"calibration/{name}": float(value) for name, value in asdict(self).items()} if self.measured else {}

    def as_json(self) -> dict[str, Any]:
        """Without the figures that nobody measured: JSON has no word for them."""
        return {name: value for name, value in asdict(self).items() if value == value}

    @staticmethod
    def from_json(values: Mapping[str, Any] | None) -> "Calibration":
        """Undoes `as_json`; None, of a package from before calibration, changes no probability."""
        return Calibration(**(values or {}))


def calibrate(probability: np.ndarray, truth: np.ndarray, target_precision: float) -> Calibration:
    """Fits temperature and threshold.

    Args:
        probability: (n, C) of the system itself, each row sums to 1.
        truth: (n,) class indices, `UNLABELLED` where there is none.
        target_precision: 0..1.
    """
    labelled = truth != UNLABELLED
    given, truth = probability[labelled].astype(np.float64), truth[labelled]
    temperature = fit_temperature(given, truth)
    scaled = at_temperature(given, temperature)
    confidence, right = scaled.max(1), scaled.argmax(1) == truth
    threshold = confidence_threshold(confidence, right, target_precision)
    certain = confidence >= threshold
    return Calibration(
        temperature=temperature,
        threshold=threshold,
        target_precision=target_precision,
        precision=float(right[certain].mean()) if certain.any() else float("nan"),
        coverage=float(certain.mean()),
        error=expected_calibration_error(scaled, truth),
        error_before=expected_calibration_error(given, truth),
        loss=_log_loss(scaled, truth),
        loss_before=_log_loss(given, truth),
        utterances=len(truth),
    )


def fit_temperature(probability: np.ndarray, truth: np.ndarray) -> float:
    """The temperature T > 0 of the lowest negative log-likelihood (Guo et al. 2017), by L-BFGS on log T.

    Within 0.05..20: a model that is always right, or no better than chance, has no optimum.

    Args:
        probability: (n, C); log p is the logits up to a constant, which softmax does not see.
        truth: (n,) class indices.
    """
    logits = torch.from_numpy(np.log(np.clip(probability, 1e-12, None)))
    labels = torch.from_numpy(truth)
    log_temperature = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([log_temperature], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = torch.nn.functional.cross_entropy(logits / log_temperature.exp(), labels)
        value.backward()
        return value

    optimiser.step(loss)
    return float(log_temperature.detach().exp().clamp(0.05, 20.0).nan_to_num(1.0))


def at_temperature(probability: np.ndarray, temperature: float) -> np.ndarray:
    """softmax(log p / T): the same order of classes, softer for T above 1.

    Args:
        probability: (n, C).
    """
    if temperature == 1.0:
        return probability
    logits = np.log(np.clip(probability, 1e-12, None)) / temperature
    raised = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(raised / raised.sum(1, keepdims=True))


def reliability(probability: np.ndarray, truth: np.ndarray, bins: int = BINS) -> list[tuple[float, float, int]]:
    """(mean confidence, share of right labels, utterances) of every bin of confidence that is not empty.

    Bins have equal width over 0..1; confidence is the probability of the label.
    """
    confidence, right = probability.max(1), probability.argmax(1) == truth
    place = confidence_bin(confidence, bins)
    return [
        (float(confidence[at].mean()), float(right[at].mean()), int(at.sum()))
        for at in (place == number for number in np.unique(place))
    ]


def confidence_bin(confidence: np.ndarray, bins: int = BINS) -> np.ndarray:
    """(n,) which of the bins of equal width over 0..1 each confidence falls into."""
    return np.minimum((confidence * bins).astype(int), bins - 1)


def expected_calibration_error(probability: np.ndarray, truth: np.ndarray, bins: int = BINS) -> float:
    """Mean distance between confidence and share of right labels, weighted by the utterances of each bin; 0..1.

    That of the label's probability (top-label ECE) with 15 bins of equal width, as in Guo et al. 2017.
    """
    return sum(abs(stated - found) * count for stated, found, count in reliability(probability, truth, bins)) / len(
        truth
    )


def confidence_threshold(confidence: np.ndarray, right: np.ndarray, target: float) -> float:
    """The lowest confidence from which on the predictions together reach the target precision.

    At least `FEWEST` of them: precision over a handful reaches anything by chance.

    Returns:
        0 where all predictions together reach the target, 1 where nothing does.
    """
    from sklearn.metrics import precision_recall_curve

    if right.mean() >= target:
        return 0.0
    if not right.any():
        return 1.0
    precision, _, thresholds = precision_recall_curve(right, confidence)
    enough = np.searchsorted(np.sort(confidence), thresholds, side="left") <= len(confidence) - FEWEST
    reached = thresholds[enough & (precision[:-1] >= target)]
    return float(reached[0]) if len(reached) else 1.0


def _log_loss(probability: np.ndarray, truth: np.ndarray) -> float:
    return float(-np.log(np.clip(probability[np.arange(len(truth)), truth], 1e-12, None)).mean())
