"""Scores of a split with intervals, per emotion and per slice of the utterances: what a model card tells.

n utterances, C emotions.
"""

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from hbaf.corpus.schema import Corpus
from hbaf.statistics import class_f1, counts_by, drawn, percentile_interval, weighted_f1
from hbaf.training.evaluate import SCORES, SplitPredictions

# What is cut into slices -> upper bounds of all slices but the last.
BOUNDS: dict[str, tuple[float, ...]] = {
    "turns in the dialogue": (5, 10, 20),
    "turn": (1, 4, 10),
    "seconds": (1, 2, 5),
    "words": (2, 7, 15),
}
FEWEST = 10  # labelled utterances of a slice below which a score would only be noise


def scores_with_intervals(predictions: SplitPredictions) -> dict[str, dict[str, float]]:
    """Metric -> value, low, high, from a bootstrap over dialogues; for `f1/<emotion>` also precision, recall, support.

    An emotion that a draw lacks is left out of that draw's quantiles.
    """
    counts = predictions.counts()
    whole, samples = counts.sum(0), drawn(counts)
    found = {name: _with_interval(score(whole), score(samples)) for name, score in SCORES.items()}
    classes = np.where(samples.sum(-1) > 0, class_f1(samples), np.nan)  # (draws, C)
    for c, emotion in enumerate(predictions.emotions):
        found[f"f1/{emotion}"] = {
            **_with_interval(class_f1(whole)[c], classes[:, c]),
            "precision": float(whole[c, c] / max(whole[:, c].sum(), 1)),
            "recall": float(whole[c, c] / max(whole[c].sum(), 1)),
            "support": float(whole[c].sum()),
        }
    return found


def _with_interval(value: np.ndarray, samples: np.ndarray) -> dict[str, float]:
    low, high = percentile_interval(samples)
    return {"value": float(value), "low": low, "high": high}


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
    at = names.codes >= 0
    guess = predictions.probability.argmax(1)
    codes, counts = counts_by(names.codes[at], predictions.truth[at], guess[at], len(predictions.emotions))
    sizes = counts.sum((1, 2)).tolist()
    return [
        {"slice": str(names.categories[code]), "utterances": size, "weighted_f1": f1 if size >= FEWEST else None}
        for code, size, f1 in zip(codes, sizes, weighted_f1(counts).tolist(), strict=True)
    ]
