"""The dialogues that decide a promotion: the only reader of the gate split.

Where there is no gate split, or too small a one, the test split decides, and the look is written down.
"""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from hbaf.corpus.schema import GATE, Corpus, Split
from hbaf.model.batch import UNLABELLED
from hbaf.training.data import Vectors, make_dialogues
from hbaf.training.evaluate import SplitPredictions, evaluate_final, predict
from hbaf.training.package import ModelPackage
from hbaf.training.quality.calibration import BINS, at_temperature, confidence_bin


@dataclass(frozen=True)
class Difference:
    """Weighted F1, one emotion's F1 or the calibration error of one model minus that of another on the same dialogues,
    with its interval."""

    value: float
    low: float
    high: float
    dialogues: int


def gate_split(corpus: Corpus, fewest: int) -> Split:
    """Which split decides: `gate` if it holds at least `fewest` labelled dialogues, else `test` if that has more."""
    rows = corpus.utterances[corpus.utterances["emotion"].notna()]
    labelled = corpus.splits[corpus.splits["dialogue_id"].isin(rows["dialogue_id"])]
    counts = labelled["split"].value_counts()
    set_aside = counts.get(GATE, 0)
    return GATE if set_aside and (set_aside >= fewest or set_aside >= counts.get("test", 0)) else "test"


def gate_predictions(package: ModelPackage, corpus: Corpus, vectors: Vectors, split: Split) -> SplitPredictions:
    """Calibrated predictions of a candidate on the split that decides.

    Raises:
        SplitError: the test split is asked for and there is none, or the model was trained with other splits.
    """
    if split == "test":
        found = evaluate_final(package, corpus, vectors, reason="promotion")
    else:
        dialogues = make_dialogues(corpus, vectors, package.representation, corpus.in_split(GATE))
        found = predict(package.system, dialogues, package.facts.emotions)
    return calibrated(found, package)


def predictions_beside(
    package: ModelPackage,
    corpus: Corpus,
    vectors: Vectors,
    candidate: SplitPredictions,
    *,
    system: nn.Module | None = None,
) -> SplitPredictions:
    """Calibrated predictions of another model on the utterances that the candidate was asked about.

    Args:
        corpus: holds these utterances, in any order and with any others.
        system: predicts in place of the package's own, from the same inputs, uncalibrated.
    """
    rows = corpus.utterances[corpus.utterances["utterance_id"].isin(candidate.utterance_ids)]
    dialogues = make_dialogues(corpus, vectors, package.representation, rows)
    if system is not None:
        return predict(system, dialogues, package.facts.emotions)
    return calibrated(predict(package.system, dialogues, package.facts.emotions), package)


def calibrated(predictions: SplitPredictions, package: ModelPackage) -> SplitPredictions:
    return replace(
        predictions, probability=at_temperature(predictions.probability, package.facts.calibration.temperature)
    )


def of_dialogues(predictions: SplitPredictions, wanted: Collection[str]) -> SplitPredictions:
    """The predictions of some dialogues."""
    at = np.isin(np.asarray(predictions.dialogue_ids), list(wanted))
    return SplitPredictions(
        utterance_ids=tuple(np.asarray(predictions.utterance_ids, object)[at]),
        dialogue_ids=tuple(np.asarray(predictions.dialogue_ids, object)[at]),
        probability=predictions.probability[at],
        truth=predictions.truth[at],
        emotions=predictions.emotions,
    )


def paired_difference(
    candidate: SplitPredictions, other: SplitPredictions, *, level: float = 0.95, draws: int = 2000, seed: int = 0
) -> Difference:
    """Difference of weighted F1 with a paired bootstrap over dialogues: both models answer for the same draw, so what
    makes a draw hard for both does not count.

    Args:
        other: of the same utterances.
        level: of the two-sided percentile interval.
    """
    drawn, dialogues = _paired_counts(candidate, other, draws, seed)
    values = weighted_f1_of(drawn[0]) - weighted_f1_of(drawn[1])
    return _difference(values, level, dialogues)


def paired_class_differences(
    candidate: SplitPredictions, other: SplitPredictions, *, level: float = 0.95, draws: int = 2000, seed: int = 0
) -> dict[str, Difference]:
    """The same for the F1 of each emotion that occurs; a draw without an emotion says nothing of it."""
    drawn, dialogues = _paired_counts(candidate, other, draws, seed)
    occurs = drawn[0].sum(-1) > 0
    values = np.where(occurs, class_f1_of(drawn[0]) - class_f1_of(drawn[1]), np.nan)
    return {
        emotion: _difference(values[:, at], level, dialogues)
        for at, emotion in enumerate(candidate.emotions)
        if occurs[0, at]
    }


def paired_calibration_difference(
    candidate: SplitPredictions, other: SplitPredictions, *, level: float = 0.95, draws: int = 2000, seed: int = 0
) -> Difference:
    """The same for the expected calibration error: on few dialogues it is mostly chance too."""
    labelled, dialogue, times = _drawn_dialogues(candidate, other, draws, seed)
    errors = []
    for model in (candidate, other):
        confidence = model.probability[labelled].max(1)
        right = model.probability[labelled].argmax(1) == candidate.truth[labelled]
        # Of each dialogue and bin: what confidence adds up to beyond the right labels.
        excess = np.zeros((times.shape[1], BINS))
        np.add.at(excess, (dialogue, confidence_bin(confidence)), confidence - right)
        utterances = times @ np.bincount(dialogue, minlength=times.shape[1])
        errors.append(np.abs(times @ excess).sum(1) / utterances)
    return _difference(errors[0] - errors[1], level, times.shape[1])


def _paired_counts(
    candidate: SplitPredictions, other: SplitPredictions, draws: int, seed: int
) -> tuple[list[np.ndarray], int]:
    """Confusion matrices (1 + draws, C, C) of both models, of all dialogues first and then of each draw; how many
    labelled dialogues there are."""
    labelled, dialogue, times = _drawn_dialogues(candidate, other, draws, seed)
    classes, truth = len(candidate.emotions), candidate.truth[labelled]
    drawn = []
    for model in (candidate, other):
        counts = np.zeros((times.shape[1], classes, classes))
        np.add.at(counts, (dialogue, truth, model.probability.argmax(1)[labelled]), 1)
        # A draw's confusion matrix is the weighted sum of those of its dialogues.
        drawn.append((times @ counts.reshape(len(counts), -1)).reshape(-1, classes, classes))
    return drawn, times.shape[1]


def _drawn_dialogues(
    candidate: SplitPredictions, other: SplitPredictions, draws: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n,) bool, labelled utterances; the dialogue of each of these; (1 + draws, dialogues) how often each dialogue is
    in a draw, the first being all of them once."""
    assert candidate.utterance_ids == other.utterance_ids, "paired predictions must be of the same utterances"
    labelled = candidate.truth != UNLABELLED
    names, dialogue = np.unique(np.asarray(candidate.dialogue_ids)[labelled], return_inverse=True)
    times = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    return labelled, dialogue, np.vstack([np.ones(len(names), times.dtype), times])


def _difference(values: np.ndarray, level: float, dialogues: int) -> Difference:
    """Of all dialogues, with the percentile interval of the draws that follow."""
    low, high = np.nanquantile(values[1:], [(1 - level) / 2, (1 + level) / 2])
    return Difference(float(values[0]), float(low), float(high), dialogues)


def weighted_f1_of(counts: np.ndarray) -> np.ndarray:
    """Weighted F1 from confusion matrices.

    Args:
        counts: (..., C, C), rows are the truth.
    """
    support = counts.sum(-1)
    return np.asarray((class_f1_of(counts) * support).sum(-1) / np.maximum(support.sum(-1), 1))


def class_f1_of(counts: np.ndarray) -> np.ndarray:
    """F1 of each class (..., C) from confusion matrices (..., C, C), rows are the truth."""
    hits, support, guesses = np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(-1), counts.sum(-2)
    return np.asarray(2 * hits / np.maximum(support + guesses, 1))


def utterances_per_second(package: ModelPackage, corpus: Corpus, vectors: Vectors, ids: Sequence[str]) -> float:
    """Speed of the model alone on this machine, features ready: the best of passes that take half a second or more."""
    rows = corpus.utterances[corpus.utterances["utterance_id"].isin(ids)]
    dialogues = make_dialogues(corpus, vectors, package.representation, rows)
    best, spent = float("inf"), 0.0
    while spent < 0.5:
        began = time.perf_counter()
        predict(package.system, dialogues, package.facts.emotions)
        seconds = time.perf_counter() - began
        best, spent = min(best, seconds), spent + seconds
    return len(rows) / best
