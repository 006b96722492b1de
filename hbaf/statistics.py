"""Scores from counts, and what differences are worth: intervals and paired tests over dialogues.

Turns of a dialogue depend on each other, so dialogues are what is drawn. D dialogues, C classes; `...` may be seeds.
Predictions are held as counts (..., D, C, C): a confusion matrix per dialogue, rows the truth. Every score of a draw of
dialogues follows from a sum of them. Counts may be expected ones, below 1.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

DRAWS = 2000
LEVEL = 0.95  # of two-sided percentile intervals

Score = Callable[[np.ndarray], np.ndarray]  # (..., C, C) -> (...)


def confusion(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """(C, C) counts of (n,) class indices, rows the truth."""
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (truth, predicted), 1)
    return counts


def counts_by(
    groups: Sequence[object] | np.ndarray, truth: np.ndarray, predicted: np.ndarray, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """A confusion matrix per group of utterances, such as its dialogue.

    Args:
        groups: (n,) of each utterance; sortable.
        truth: (n,) class indices, below 0 where there is no label: such utterances are left out.
        predicted: (n,) class indices.

    Returns:
        (G,) the groups that have a label, sorted, and their (G, C, C) counts, rows the truth.
    """
    labelled = truth >= 0
    names, group = np.unique(np.asarray(groups)[labelled], return_inverse=True)
    counts = np.zeros((len(names), classes, classes), np.int64)
    np.add.at(counts, (group, truth[labelled], predicted[labelled]), 1)
    return names, counts


def counts_by_dialogue(table: pd.DataFrame, emotions: Sequence[str]) -> np.ndarray:
    """(D, C, C) of a table with `dialogue_id`, `truth` (may be missing) and `label`; dialogues in order of their ids.

    Raises:
        ValueError: a truth or a label is none of the emotions.
    """
    labelled = table[table["truth"].notna()]
    for name in ("truth", "label"):
        if unknown := sorted(set(labelled[name]) - set(emotions)):
            raise ValueError(f"column {name}: {', '.join(map(repr, unknown))} is none of {', '.join(emotions)}.")
    truth, label = (pd.Index(emotions).get_indexer(pd.Index(labelled[name])) for name in ("truth", "label"))
    return counts_by(labelled["dialogue_id"].to_numpy(), truth, label, len(emotions))[1]


def weighted_f1(counts: np.ndarray) -> np.ndarray:
    """(..., C, C) -> (...) mean F1 of the classes, weighted by how often each is true, 0..1; NaN of no utterance."""
    support = counts.sum(-1)
    return _share((class_f1(counts) * support).sum(-1), support.sum(-1), np.nan)


def class_f1(counts: np.ndarray) -> np.ndarray:
    """(..., C, C) -> (..., C) F1 of each class, 0..1; 0 of a class that is neither true nor predicted."""
    return _share(2 * _hits(counts), counts.sum(-1) + counts.sum(-2), 0.0)


def macro_f1(counts: np.ndarray) -> np.ndarray:
    """(..., C, C) -> (...) mean F1 of the classes that are true somewhere; others would only dilute it."""
    return _mean_of_true(class_f1(counts), counts)


def uar(counts: np.ndarray) -> np.ndarray:
    """(..., C, C) -> (...) unweighted average recall of the classes that are true somewhere."""
    return _mean_of_true(_share(_hits(counts), counts.sum(-1), 0.0), counts)


def accuracy(counts: np.ndarray) -> np.ndarray:
    """(..., C, C) -> (...) share of right labels."""
    return _share(_hits(counts).sum(-1), counts.sum((-1, -2)), np.nan)


def coincidences(groups: Sequence[object] | np.ndarray, votes: np.ndarray) -> np.ndarray:
    """How often two annotators say one thing and another of the same utterance, in every group of utterances.

    Args:
        groups: (n,) of each utterance; sortable.
        votes: (n, C) how many annotators chose each class. An utterance that one alone labelled says nothing.

    Returns:
        (G, C, C) coincidences by sorted group; each utterance of m annotators counts m.
    """
    several = votes.sum(1) > 1
    names, group = np.unique(np.asarray(groups)[several], return_inverse=True)
    votes = votes[several].astype(float)
    pairs = votes[:, :, None] * votes[:, None, :]
    pairs -= np.eye(votes.shape[1]) * votes[:, :, None]  # nobody is held against himself
    found = np.zeros((len(names), *pairs.shape[1:]))
    np.add.at(found, group, pairs / (votes.sum(1) - 1)[:, None, None])
    return found


def krippendorff_alpha(counts: np.ndarray) -> np.ndarray:
    """(..., C, C) coincidences -> (...) alpha of nominal data: 1 is agreement, 0 chance, below 0 worse (2011).

    NaN where nothing could have disagreed: no pair of annotations, or one class alone.
    """
    each = counts.sum(-1)
    total = each.sum(-1)
    observed = total - _hits(counts).sum(-1)
    expected = total**2 - (each**2).sum(-1)
    return 1 - _share((total - 1) * observed, expected, np.nan)


def draw_dialogues(
    dialogues: int, draws: int, seed: int | np.random.Generator = 0, *, size: int | None = None
) -> np.ndarray:
    """The bootstrap: (draws, D) how often each dialogue is in a draw with replacement.

    Args:
        size: dialogues of a draw; None: as many as there are.
    """
    random = np.random.default_rng(seed)
    return random.multinomial(dialogues if size is None else size, np.full(dialogues, 1 / dialogues), draws)


def drawn(counts: np.ndarray, *, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """(..., D, C, C) -> (draws, ..., C, C) of drawn dialogues: the same ones in all seeds, and for any two systems."""
    return _sums(draw_dialogues(counts.shape[-3], draws, seed), counts)


def percentile_interval(values: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Between which a share of `level` of the drawn values lies. Draws that say nothing (NaN) do not count."""
    if not np.isfinite(values).any():
        return float("nan"), float("nan")
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def interval(
    counts: np.ndarray, score: Score = weighted_f1, *, draws: int = DRAWS, level: float = LEVEL, seed: int = 0
) -> tuple[float, float]:
    """Bootstrap interval over dialogues of a score, the mean over seeds. `counts` (..., D, C, C)."""
    return percentile_interval(_mean_over_seeds(score(drawn(counts, draws=draws, seed=seed))), level)


@dataclass(frozen=True)
class Difference:
    """A score of one system minus that of another on the same dialogues, with its interval."""

    value: float
    low: float
    high: float
    dialogues: int


def paired_difference(
    ours: np.ndarray, theirs: np.ndarray, *, draws: int = DRAWS, level: float = LEVEL, seed: int = 0
) -> Difference:
    """Difference of weighted F1, the mean over seeds, with a paired bootstrap over dialogues.

    Both systems answer for the same draw, so what makes a draw hard for both does not count.

    Args:
        ours, theirs: (..., D, C, C) of the same dialogues and seeds.

    Raises:
        ValueError: they are not.
    """
    return mean_difference([(ours, theirs)], draws=draws, level=level, seed=seed)


def mean_difference(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], *, draws: int = DRAWS, level: float = LEVEL, seed: int = 0
) -> Difference:
    """The same, the mean over corpora with a pair each, whose dialogues are drawn independently of each other's."""
    gaps = []
    for number, (ours, theirs) in enumerate(pairs):
        _check_paired(ours, theirs)
        of_each = [_mean_over_seeds(weighted_f1(drawn(a, draws=draws, seed=seed + number))) for a in (ours, theirs)]
        gaps.append(of_each[0] - of_each[1])
    value = float(np.mean([_gap(ours, theirs) for ours, theirs in pairs]))
    return Difference(value, *percentile_interval(np.mean(gaps, 0), level), sum(ours.shape[-3] for ours, _ in pairs))


def paired_class_differences(
    ours: np.ndarray, theirs: np.ndarray, *, draws: int = DRAWS, level: float = LEVEL, seed: int = 0
) -> dict[int, Difference]:
    """Class -> the same for its F1, of (D, C, C) each, for classes that are true somewhere.

    A draw without the class says nothing of it.
    """
    _check_paired(ours, theirs)
    a, b = (drawn(counts, draws=draws, seed=seed) for counts in (ours, theirs))
    gaps = np.where(a.sum(-1) > 0, class_f1(a) - class_f1(b), np.nan)  # (draws, C)
    whole = class_f1(ours.sum(0)) - class_f1(theirs.sum(0))
    return {
        int(c): Difference(float(whole[c]), *percentile_interval(gaps[:, c], level), len(ours))
        for c in np.flatnonzero(ours.sum((0, 2)))
    }


def paired_test(ours: np.ndarray, theirs: np.ndarray, *, draws: int = DRAWS, seed: int = 0) -> float:
    """Two-sided p of the difference in mean weighted F1, by approximate randomisation (Noreen 1989; Yeh 2000).

    If the systems were equal, it would not matter which of the two a dialogue's predictions came from: each draw swaps
    them for a random half of the dialogues, in all seeds alike. It speaks of other dialogues, not of other seeds.

    Args:
        ours, theirs: (..., D, C, C) of the same dialogues and seeds.

    Raises:
        ValueError: they are not.
    """
    _check_paired(ours, theirs)
    swap = np.random.default_rng(seed).integers(0, 2, (draws, ours.shape[-3]))
    moved = _sums(swap, ours - theirs)  # what theirs gains and ours loses
    mixed = _mean_over_seeds(weighted_f1(ours.sum(-3) - moved)) - _mean_over_seeds(weighted_f1(theirs.sum(-3) + moved))
    return float((1 + (np.abs(mixed) >= abs(_gap(ours, theirs)) - 1e-12).sum()) / (1 + draws))


def holm(p: Sequence[float]) -> list[float]:
    """p-values corrected for their number, Holm 1979: the chance of a single false claim among all stays as said."""
    order = np.argsort(p, kind="stable")
    corrected = np.empty(len(p))
    largest = 0.0
    for rank, number in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - rank) * p[number]))
        corrected[number] = largest
    return [float(value) for value in corrected]


def _hits(counts: np.ndarray) -> np.ndarray:
    return np.diagonal(counts, axis1=-2, axis2=-1)


def _share(part: np.ndarray, whole: np.ndarray, otherwise: float) -> np.ndarray:
    return np.divide(part, whole, out=np.full(np.shape(whole), otherwise), where=np.asarray(whole) > 0)


def _mean_of_true(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(..., C) -> (...) over the classes that are true somewhere."""
    true = counts.sum(-1) > 0
    return _share((values * true).sum(-1), true.sum(-1), np.nan)


def _mean_over_seeds(scores: np.ndarray) -> np.ndarray:
    """(draws, ...) -> (draws,)."""
    return np.asarray(scores.reshape(len(scores), -1).mean(1))


def _gap(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(weighted_f1(ours.sum(-3)).mean() - weighted_f1(theirs.sum(-3)).mean())


def _check_paired(ours: np.ndarray, theirs: np.ndarray) -> None:
    if ours.shape != theirs.shape or not np.array_equal(ours.sum(-1), theirs.sum(-1)):
        raise ValueError("a paired comparison needs the same dialogues and seeds on both sides.")


def _sums(weights: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """weights (draws, D), counts (..., D, C, C) -> (draws, ..., C, C)."""
    return np.tensordot(weights.astype(float), counts.astype(float), axes=(1, counts.ndim - 3))
