"""Scores of a split with intervals, per emotion and per slice of the utterances: what a model card tells.

n utterances, C emotions.
"""

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from hbaf.corpus.schema import Corpus
from hbaf.model.batch import UNLABELLED
from hbaf.training.evaluate import SplitPredictions, metrics
from hbaf.training.quality.gate import weighted_f1_of

# What is cut into slices -> upper bounds of all slices but the last.
BOUNDS: dict[str, tuple[float, ...]] = {
    "turns in the dialogue": (5, 10, 20),
    "turn": (1, 4, 10),
    "seconds": (1, 2, 5),
    "words": (2, 7, 15),
}
FEWEST = 10  # labelled utterances of a slice below which a score would only be noise


def scores_with_intervals(
    predictions: SplitPredictions, *, level: float = 0.95, draws: int = 1000, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Metric -> value, low, high, from a bootstrap over dialogues; for `f1/<emotion>` also precision, recall, support.

    An emotion that a draw lacks is left out of that draw's quantiles.
    """
    labelled = predictions.truth != UNLABELLED
    truth, guess = predictions.truth[labelled], predictions.probability.argmax(1)[labelled]
    names, dialogue = np.unique(np.asarray(predictions.dialogue_ids)[labelled], return_inverse=True)
    classes = len(predictions.emotions)
    counts = np.zeros((len(names), classes, classes))
    np.add.at(counts, (dialogue, truth, guess), 1)
    random = np.random.default_rng(seed)
    times = random.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    drawn = (times @ counts.reshape(len(names), -1)).reshape(draws, classes, classes)
    whole = metrics(truth, guess, predictions.emotions)
    ends = [(1 - level) / 2, (1 + level) / 2]

    def interval(values: np.ndarray) -> dict[str, float]:
        low, high = np.nanquantile(values, ends) if np.isfinite(values).any() else (np.nan, np.nan)
        return {"low": float(low), "high": float(high)}

    hits, support, guesses = np.diagonal(drawn, axis1=1, axis2=2), drawn.sum(2), drawn.sum(1)
    # Only where neither truth nor guess is there, the denominator is 0.
    f1 = np.where(support > 0, 2 * hits / np.maximum(support + guesses, 1), np.nan)
    found = {
        "weighted_f1": {"value": whole["weighted_f1"], **interval(weighted_f1_of(drawn))},
        "accuracy": {"value": whole["accuracy"], **interval(hits.sum(1) / drawn.sum((1, 2)))},
        "macro_f1": {"value": whole["macro_f1"], **interval(_mean(f1))},
        "uar": {"value": whole["uar"], **interval(_mean(np.where(support > 0, hits / np.maximum(support, 1), np.nan)))},
    }
    total = counts.sum(0)
    for c, emotion in enumerate(predictions.emotions):
        found[f"f1/{emotion}"] = {
            "value": whole[f"f1/{emotion}"],
            **interval(f1[:, c]),
            "precision": float(total[c, c] / max(total[:, c].sum(), 1)),
            "recall": float(total[c, c] / max(total[c].sum(), 1)),
            "support": float(total[c].sum()),
        }
    return found


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the classes that a draw has. (draws, C) -> (draws,)."""
    there = np.isfinite(values)
    return np.asarray(np.where(there, values, 0).sum(1) / np.maximum(there.sum(1), 1))


def slices(predictions: SplitPredictions, corpus: Corpus) -> dict[str, list[dict[str, Any]]]:
    """What is sliced -> its slices in order: `slice`, labelled `utterances`, `weighted_f1` (None for fewer than 10)."""
    rows = corpus.utterances.set_index("utterance_id").loc[list(predictions.utterance_ids)]
    heard, read = rows["audio_problem"].isna(), rows["text_problem"].isna()
    values = {
        "turns in the dialogue": rows.groupby("dialogue_id")["turn"].transform("size").to_numpy(float),
        "turn": rows["turn"].to_numpy(float) + 1,
        "seconds": rows["seconds"].to_numpy(float) if "seconds" in rows else np.full(len(rows), np.nan),
        "words": rows["text"].fillna("").map(lambda text: len(text.split())).where(read).to_numpy(float),
    }
    cut = {what: _slice_names(values[what], bounds, counted=what != "seconds") for what, bounds in BOUNDS.items()}
    both = np.select([heard & read, heard, read], ["audio and text", "no text", "no audio"], "neither")
    cut["modality"] = pd.Categorical(both, ["audio and text", "no text", "no audio", "neither"])
    return {what: _scored(predictions, names) for what, names in cut.items()}


def _slice_names(values: np.ndarray, bounds: tuple[float, ...], *, counted: bool) -> pd.Categorical:
    edges = [-np.inf, *bounds, np.inf]
    labels = [f"up to {bounds[0]:g}"]
    labels += [f"{low + counted:g} to {high:g}" for low, high in pairwise(bounds)]  # the lower bound is the former's
    return pd.cut(values, edges, labels=[*labels, f"above {bounds[-1]:g}"])


def _scored(predictions: SplitPredictions, names: pd.Categorical) -> list[dict[str, Any]]:
    truth, guess = predictions.truth, predictions.probability.argmax(1)
    found = []
    for number, name in enumerate(names.categories):
        at = (names.codes == number) & (truth != UNLABELLED)
        if at.any():
            score = metrics(truth[at], guess[at], predictions.emotions)["weighted_f1"] if at.sum() >= FEWEST else None
            found.append({"slice": str(name), "utterances": int(at.sum()), "weighted_f1": score})
    return found
