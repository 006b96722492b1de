"""New conversations against the reference: what has changed, by how much, and whether that is more than chance.

A check is flagged beyond two bounds: what undisturbed conversations reach by chance, and what is too little to matter.
"""

from dataclasses import dataclass

import numpy as np

from hbaf.drift.observations import Observations
from hbaf.drift.reference import Reference
from hbaf.drift.statistics import LOSSES, SHARES, chance, distances, expected_confusion, joined
from hbaf.parameters import MonitorParameters
from hbaf.statistics import interval, weighted_f1

# Compared with dev alone: of train a model is surer than it will ever be of anything new, and its word pairs are those
# that are known.
HELD_OUT = ("label_mix", "confidence", "agreement", "expected_f1", "known_pairs")


@dataclass(frozen=True)
class Check:
    """One distance between new conversations and the reference.

    Attributes:
        name: as in `hbaf.drift.statistics.distances`.
        value: the distance; NaN where it could not be measured.
        usual: what it comes to in half of the undisturbed windows of this size.
        threshold: beyond which it is flagged; NaN likewise.
        before, now: the mean of what is compared, where one number says something; NaN otherwise.
    """

    name: str
    value: float
    usual: float
    threshold: float
    before: float = float("nan")
    now: float = float("nan")

    @property
    def flagged(self) -> bool:
        """Whether the value exceeds its bound."""
        return self.value > self.threshold


@dataclass(frozen=True)
class Findings:
    """What the monitor found in a window of conversations.

    Attributes:
        judged: False where there are too few dialogues to say anything; then there are no checks.
        expected_f1: weighted F1 that the calibrated probabilities promise, with its interval.
        reference_f1: the same of dev; `measured_f1` is what dev's labels said.
        labels_before, labels_now: emotion -> share of predicted labels.
    """

    dialogues: int
    utterances: int
    unscored: int
    judged: bool
    checks: tuple[Check, ...]
    expected_f1: float
    expected_f1_interval: tuple[float, float]
    reference_f1: float
    measured_f1: float
    labels_before: dict[str, float]
    labels_now: dict[str, float]

    @property
    def flagged(self) -> tuple[Check, ...]:
        """The checks whose values exceed their bounds."""
        return tuple(check for check in self.checks if check.flagged)


def compare(window: Observations, reference: Reference, parameters: MonitorParameters) -> Findings:
    """Holds a window of conversations against the reference."""
    known = reference.seen
    judged = window.dialogues >= parameters.min_dialogues
    expected, bounds = _expected_f1(window, parameters.draws)
    dev = known.rows(known.held_out)
    return Findings(
        dialogues=window.dialogues,
        utterances=len(window),
        unscored=int(np.isnan(window.probability).any(1).sum()),
        judged=judged,
        checks=tuple(_checks(window, known, parameters)) if judged else (),
        expected_f1=expected,
        expected_f1_interval=bounds,
        reference_f1=_f1(expected_confusion(dev.probability)),
        measured_f1=reference.measured_f1,
        labels_before=_mix(dev, reference.emotions),
        labels_now=_mix(window, reference.emotions),
    )


def _checks(window: Observations, known: Observations, parameters: MonitorParameters) -> list[Check]:
    both = joined(known, window)
    new = np.concatenate([np.zeros(len(known)), np.ones(len(window))])
    old, held_out = 1 - new, np.concatenate([known.held_out, np.zeros(len(window), bool)])
    measured = {
        name: distance(new, old * held_out if name in HELD_OUT else old) for name, distance in distances(both).items()
    }
    against = {name: known.held_out if name in HELD_OUT else np.ones(len(known), bool) for name in measured}
    # As many dialogues of ours as hold that many utterances; fewer where the new ones are short.
    alike = max(1, min(window.dialogues, round(len(window) * known.dialogues / len(known))))
    drawn = chance(known, against, alike, parameters.draws)
    # What the reference itself does not have (a corpus without sound) cannot be compared.
    by_chance = {name: values for name, values in drawn.items() if np.isfinite(values).mean() > 0.5}
    bounds = _bounds(by_chance, parameters.false_alarms)
    found = []
    for name in by_chance:
        before, now = _means(name, known.rows(against[name]), window)
        bound = max(bounds[name], parameters.tolerance_of(name))
        found.append(Check(name, measured[name], float(np.nanmedian(by_chance[name])), bound, before, now))
    return found


def _bounds(by_chance: dict[str, np.ndarray], false_alarms: float) -> dict[str, float]:
    """For each distance the value that it exceeds by chance so rarely that any of them does so in `false_alarms`.

    Distances depend on each other, so their ranks are drawn together: of each draw the most unusual distance counts
    (Westfall and Young 1993), measured from the median in units of the spread above it.
    """
    draws = np.stack(list(by_chance.values()))  # (checks, draws)
    middle = np.nanmedian(draws, 1, keepdims=True)
    spread = np.maximum(np.nanquantile(draws, 0.84, 1, keepdims=True) - middle, 1e-6)  # one deviation of a normal
    worst = np.nanmax((draws - middle) / spread, axis=0)
    factor = float(np.quantile(worst, 1 - false_alarms))
    return dict(zip(by_chance, (middle + factor * spread)[:, 0].tolist(), strict=True))


def _expected_f1(window: Observations, draws: int) -> tuple[float, tuple[float, float]]:
    """The expected weighted F1 and its interval from a bootstrap over dialogues."""
    _, number = np.unique(window.dialogue, return_inverse=True)
    counts = np.zeros((number.max(initial=0) + 1, *[window.probability.shape[1]] * 2))
    np.add.at(counts, number, expected_confusion(window.probability))
    return _f1(counts), interval(counts, draws=draws)


def _f1(counts: np.ndarray) -> float:
    return float(weighted_f1(counts.sum(0)))


def _means(name: str, known: Observations, window: Observations) -> tuple[float, float]:
    if name == "expected_f1":
        sides = [_f1(expected_confusion(side.probability)) for side in (known, window)]
        return sides[0], sides[1]
    if name not in known.measures:
        return float("nan"), float("nan")
    reduce = np.nanmean if name in (*SHARES, *LOSSES) else np.nanmedian
    measured = [side.measures[name] for side in (known, window)]
    before, now = (float(reduce(values)) if np.isfinite(values).any() else float("nan") for values in measured)
    return before, now


def _mix(seen: Observations, emotions: tuple[str, ...]) -> dict[str, float]:
    labels = seen.probability[np.isfinite(seen.probability).all(1)].argmax(1)
    counts = np.bincount(labels, minlength=len(emotions))
    return {emotion: float(count / max(1, counts.sum())) for emotion, count in zip(emotions, counts, strict=True)}
