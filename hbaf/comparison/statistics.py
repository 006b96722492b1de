"""What differences are worth: intervals and paired tests over dialogues, corrected for the number of comparisons.

Turns of a dialogue depend on each other, so dialogues are what is drawn. D dialogues, S seeds, C emotions. A system's
predictions are held as counts (S, D, C, C): a confusion matrix per seed and dialogue, rows the truth; the F1 of any
draw of dialogues follows from a sum of them.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

DRAWS = 2000
LEVEL = 0.95


def counts_by_dialogue(seeds: Sequence[pd.DataFrame], emotions: Sequence[str]) -> np.ndarray:
    """(S, D, C, C) of one system's prediction tables, one per seed; dialogues in the order of their ids.

    Raises:
        ValueError: the tables are not of the same dialogues.
    """
    index = {emotion: number for number, emotion in enumerate(emotions)}
    dialogues = sorted(seeds[0]["dialogue_id"].unique())
    place = {dialogue: number for number, dialogue in enumerate(dialogues)}
    counts = np.zeros((len(seeds), len(dialogues), len(emotions), len(emotions)))
    for seed, table in enumerate(seeds):
        if set(table["dialogue_id"]) != set(dialogues):
            raise ValueError("predictions of one system are of other dialogues with another seed.")
        labelled = table[table["truth"].notna()]
        at = (
            labelled["dialogue_id"].map(place).to_numpy(),
            labelled["truth"].map(index).to_numpy(),
            labelled["label"].map(index).to_numpy(),
        )
        np.add.at(counts[seed], at, 1)
    return counts


def weighted_f1(counts: np.ndarray) -> np.ndarray:
    """(..., C, C) confusion matrices -> (...) weighted F1, 0..1."""
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    support, guesses = counts.sum(-1), counts.sum(-2)
    f1 = 2 * hits / np.maximum(support + guesses, 1)
    weighted: np.ndarray = (f1 * support).sum(-1) / np.maximum(support.sum(-1), 1)
    return weighted


def interval(counts: np.ndarray, *, draws: int = DRAWS, level: float = LEVEL, seed: int = 0) -> tuple[float, float]:
    """Bootstrap over dialogues of the mean weighted F1 over seeds; every draw takes the same dialogues of all seeds."""
    values = drawn(counts, draws, seed).mean(1)
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def drawn(counts: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """(draws, S) weighted F1 of dialogues drawn with replacement; the same dialogues for the same seed."""
    dialogues = counts.shape[1]
    times = np.random.default_rng(seed).multinomial(dialogues, np.full(dialogues, 1 / dialogues), draws)  # (draws, D)
    return weighted_f1(_sums(times, counts))


def paired_test(ours: np.ndarray, theirs: np.ndarray, *, draws: int = DRAWS, seed: int = 0) -> float:
    """Two-sided p of the difference in mean weighted F1, by approximate randomisation (Noreen 1989; Yeh 2000).

    If the systems were equal, it would not matter which of the two a dialogue's predictions came from: each draw swaps
    them for a random half of the dialogues, in all seeds alike. It speaks of other dialogues, not of other seeds.

    Args:
        ours, theirs: (S, D, C, C) of the same dialogues and seeds.

    Raises:
        ValueError: they are not.
    """
    if ours.shape != theirs.shape or not np.array_equal(ours.sum(-1), theirs.sum(-1)):
        raise ValueError("a paired test needs the same dialogues and seeds on both sides.")
    observed = abs(weighted_f1(ours.sum(1)).mean() - weighted_f1(theirs.sum(1)).mean())
    swap = np.random.default_rng(seed).integers(0, 2, (draws, ours.shape[1]))
    difference = ours - theirs
    first = _sums(swap, difference)  # what theirs gains and ours loses
    mixed = weighted_f1(ours.sum(1) - first).mean(-1) - weighted_f1(theirs.sum(1) + first).mean(-1)
    return float((1 + (np.abs(mixed) >= observed - 1e-12).sum()) / (1 + draws))


def holm(p: Sequence[float]) -> list[float]:
    """p-values corrected for their number, Holm 1979: the chance of a single false claim among all stays as said."""
    order = np.argsort(p, kind="stable")
    corrected = np.empty(len(p))
    largest = 0.0
    for rank, number in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - rank) * p[number]))
        corrected[number] = largest
    return [float(value) for value in corrected]


def _sums(weights: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """weights (draws, D), counts (S, D, C, C) -> (draws, S, C, C)."""
    seeds, dialogues, classes, _ = counts.shape
    flat = counts.transpose(1, 0, 2, 3).reshape(dialogues, -1)
    return (weights.astype(float) @ flat).reshape(len(weights), seeds, classes, classes)
