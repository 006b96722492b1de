"""The dialogues that decide a promotion: the only reader of the gate split.

Where there is no gate split, or too small a one, the test split decides, and this use is written down.
"""

import time
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from torch import nn

from hbaf.corpus.schema import GATE, Corpus, Split
from hbaf.model.batch import UNLABELLED
from hbaf.statistics import DRAWS, LEVEL, Difference, draw_dialogues, percentile_interval
from hbaf.training.data import Vectors, make_dialogues
from hbaf.training.evaluate import SplitPredictions, evaluate_final, predict
from hbaf.training.package import ModelPackage
from hbaf.training.quality.calibration import BINS, at_temperature, confidence_bin


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
        dialogues = make_dialogues(
            corpus, vectors, package.representation, corpus.in_split(GATE), package.facts.emotions
        )
        found = predict(package.system, dialogues, package.facts.emotions)
    return _calibrated(found, package)


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
    dialogues = make_dialogues(corpus, vectors, package.representation, rows, package.facts.emotions)
    if system is not None:
        return predict(system, dialogues, package.facts.emotions)
    return _calibrated(predict(package.system, dialogues, package.facts.emotions), package)


def _calibrated(predictions: SplitPredictions, package: ModelPackage) -> SplitPredictions:
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


def paired_calibration_difference(
    candidate: SplitPredictions, other: SplitPredictions, *, level: float = LEVEL, draws: int = DRAWS, seed: int = 0
) -> Difference:
    """Difference of the expected calibration errors, candidate - other, with a paired bootstrap over dialogues.

    On few dialogues it is mostly chance, like the difference of the scores.

    Args:
        other: of the same utterances.
    """
    assert candidate.utterance_ids == other.utterance_ids, "paired predictions must be of the same utterances"
    labelled = candidate.truth != UNLABELLED
    names, dialogue = np.unique(np.asarray(candidate.dialogue_ids)[labelled], return_inverse=True)
    times = np.vstack([np.ones(len(names)), draw_dialogues(len(names), draws, seed)])  # all of them, then the draws
    errors = []
    for model in (candidate, other):
        confidence = model.probability[labelled].max(1)
        right = model.probability[labelled].argmax(1) == candidate.truth[labelled]
        # Of each dialogue and bin: what confidence adds up to beyond the right labels.
        excess = np.zeros((len(names), BINS))
        np.add.at(excess, (dialogue, confidence_bin(confidence)), confidence - right)
        errors.append(np.abs(times @ excess).sum(1) / (times @ np.bincount(dialogue)))
    gaps = errors[0] - errors[1]
    return Difference(float(gaps[0]), *percentile_interval(gaps[1:], level), len(names))


def utterances_per_second(package: ModelPackage, corpus: Corpus, vectors: Vectors, ids: Sequence[str]) -> float:
    """Speed of the model alone on this machine, features ready: the best of passes that take half a second or more."""
    rows = corpus.utterances[corpus.utterances["utterance_id"].isin(ids)]
    dialogues = make_dialogues(corpus, vectors, package.representation, rows, package.facts.emotions)
    best, spent = float("inf"), 0.0
    while spent < 0.5:
        began = time.perf_counter()
        predict(package.system, dialogues, package.facts.emotions)
        seconds = time.perf_counter() - began
        best, spent = min(best, seconds), spent + seconds
    return len(rows) / best
