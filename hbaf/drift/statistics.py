"""Distances between two sets of utterances, and how large each grows by chance alone.

Every distance is a function of two weights per utterance, because turns of one dialogue depend on each other: chance is
drawn dialogue by dialogue (a bootstrap), and a draw is nothing but other weights. N utterances, C emotions, K columns.
"""

from collections.abc import Callable

import numpy as np

from hbaf.drift.observations import Observations
from hbaf.statistics import draw_dialogues, weighted_f1

Distance = Callable[[np.ndarray, np.ndarray], float]  # (N,) weights of one side, (N,) of the other -> 0 or more
LOSSES = ("known_pairs",)  # only less is worse
SHARES = ("agreement", "missing_audio", "missing_text")  # measures that are 0 or 1


def kolmogorov_smirnov(values: np.ndarray) -> Distance:
    """The two-sample Kolmogorov-Smirnov distance with weights, 0..1, averaged over the columns.

    It is the largest difference, over all x, between the shares of utterances whose value is at most x.

    Args:
        values: (N,) or (N, K); rows with NaN are left out. Where one side has no row, the distance is NaN.
    """
    columns = values.reshape(len(values), -1)
    rows = np.flatnonzero(np.isfinite(columns).all(1))
    order = np.argsort(columns[rows], axis=0, kind="stable")  # (n, K)
    ordered = np.take_along_axis(columns[rows], order, 0)
    # Between equal values the shares have not both been counted yet.
    last = np.vstack([ordered[1:] != ordered[:-1], np.ones((1, columns.shape[1]), bool)]) if len(rows) else order

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        weights = [side[rows] / total if (total := side[rows].sum()) > 0 else None for side in (a, b)]
        if weights[0] is None or weights[1] is None:
            return float("nan")
        difference = np.cumsum((weights[0] - weights[1])[order], axis=0)
        return float((np.abs(difference) * last).max(0).mean())

    return distance


def loss_of_mean(values: np.ndarray) -> Distance:
    """By how much the mean of the first side is below that of the second; below 0 where it is above."""
    known = np.isfinite(values)
    filled = np.where(known, values, 0)

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        with np.errstate(invalid="ignore", divide="ignore"):
            return float(b @ filled / (b @ known) - a @ filled / (a @ known))

    return distance


def difference_of_shares(values: np.ndarray) -> Distance:
    """|share of ones on one side - on the other|, 0..1; rows with NaN are left out."""
    loss = loss_of_mean(values)
    return lambda a, b: abs(loss(a, b))


def label_shift(probability: np.ndarray) -> Distance:
    """Total variation between the mixes of predicted labels, 0..1: the share that would need another label."""
    scored = np.isfinite(probability).all(1)
    labels = np.zeros_like(probability, dtype=np.float64)
    labels[scored, probability[scored].argmax(1)] = 1

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        with np.errstate(invalid="ignore"):
            mixes = [side @ labels / (side @ scored) for side in (a, b)]
        return float(np.abs(mixes[0] - mixes[1]).sum() / 2)

    return distance


def length_mismatch(seconds: np.ndarray, characters: np.ndarray) -> Distance:
    """By how much length of sound and length of text go less together on the first side, 0..1 as a rule.

    The correlations of their logarithms are compared: it is near 1 where every text belongs to its recording, whatever
    is said and however fast, and 0 where the texts of a corpus were exchanged.
    """
    rows = np.flatnonzero((seconds > 0) & (characters > 0))
    x, y = np.log(seconds[rows].astype(np.float64)), np.log(characters[rows].astype(np.float64))

    def correlation(weights: np.ndarray) -> float:
        total = weights.sum()
        if total <= 0:
            return float("nan")
        dx, dy = x - weights @ x / total, y - weights @ y / total
        spread = (weights @ dx**2) * (weights @ dy**2)
        return float(weights @ (dx * dy) / np.sqrt(spread)) if spread > 0 else float("nan")

    return lambda a, b: correlation(b[rows]) - correlation(a[rows])


def expected_f1_loss(probability: np.ndarray) -> Distance:
    """By how much the expected weighted F1 of the first side is below the second's; below 0 where it is better."""
    counts = expected_confusion(probability).reshape(len(probability), -1)
    classes = probability.shape[1]

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        window, reference = (float(weighted_f1((side @ counts).reshape(classes, classes))) for side in (a, b))
        return reference - window

    return distance


def expected_confusion(probability: np.ndarray) -> np.ndarray:
    """(N, C, C) expected counts, true class by predicted class, of each utterance.

    Where the probabilities are calibrated, an utterance is truly of class i with probability p_i, whatever was
    predicted; zero for utterances that were not scored.
    """
    scored = np.isfinite(probability).all(1)
    counts = np.zeros((*probability.shape, probability.shape[1]))
    counts[scored, :, probability[scored].argmax(1)] = probability[scored]
    return counts


def distances(seen: Observations) -> dict[str, Distance]:
    """Every distance that these observations allow, by name."""
    found: dict[str, Distance] = {
        "label_mix": label_shift(seen.probability),
        "expected_f1": expected_f1_loss(seen.probability),
    }
    if {"seconds", "characters"} <= set(seen.measures):
        found["length_mismatch"] = length_mismatch(seen.measures["seconds"], seen.measures["characters"])
    for name, values in seen.measures.items():
        if name in LOSSES:
            found[name] = loss_of_mean(values)
        elif name in SHARES:
            found[name] = difference_of_shares(values)
        elif name != "characters":  # it tells what is talked about, not how well it was caught
            found[name] = kolmogorov_smirnov(values)
    return found | {f"{name}_representation": kolmogorov_smirnov(values) for name, values in seen.sketches.items()}


def joined(a: Observations, b: Observations) -> Observations:
    """The rows of both, one after the other; what only one of them measured is left out."""
    measures = [name for name in a.measures if name in b.measures]
    sketches = [name for name in a.sketches if name in b.sketches]
    return Observations(
        np.concatenate([a.dialogue, b.dialogue + a.dialogue.max(initial=-1) + 1]),
        np.concatenate([a.held_out, b.held_out]),
        np.concatenate([a.probability, b.probability]),
        {name: np.concatenate([a.measures[name], b.measures[name]]) for name in measures},
        {name: np.concatenate([a.sketches[name], b.sketches[name]]) for name in sketches},
    )


def chance(
    reference: Observations, like: dict[str, np.ndarray], dialogues: int, draws: int, seed: int = 0
) -> dict[str, np.ndarray]:
    """What every distance comes to when nothing has changed, for a window of that many dialogues.

    The window is drawn from dialogues that the model has not learned from, since new conversations are such, too; the
    reference is drawn anew from all of its own. Both with replacement, dialogue by dialogue.

    Args:
        like: distance name -> (N,) bool, which rows of the reference it is compared with.
        dialogues: of the window.

    Returns:
        Distance name -> (draws,) values.
    """
    random = np.random.default_rng(seed)
    _, number = np.unique(reference.dialogue, return_inverse=True)
    total = int(number.max()) + 1
    new = np.unique(number[reference.held_out])
    measured = distances(reference)
    values = {name: np.empty(draws) for name in like}
    for draw in range(draws):
        of_new = np.zeros(total)
        of_new[new] = draw_dialogues(len(new), 1, random, size=dialogues)[0]
        window, known = of_new[number], draw_dialogues(total, 1, random)[0, number].astype(np.float64)
        for name, rows in like.items():
            values[name][draw] = measured[name](window, known * rows)
    return values
