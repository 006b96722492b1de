"""What the monitor sees of scored conversations: numbers of each utterance, no word, no name and no id.

N utterances, C emotions, K components of a sketch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from hbaf.corpus.schema import is_missing
from hbaf.drift.sketch import Sketcher
from hbaf.drift.word_pairs import KnownPairs
from hbaf.training.data import Vectors

MODALITIES = ("audio", "text")
MEASURES = (
    "confidence", "agreement", "seconds", "loudness", "characters", "words_per_second", "known_pairs",
    "text_continuity", "missing_audio", "missing_text",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Observations:
    """One row per utterance.

    Attributes:
        dialogue: (N,) int64, which utterances belong together.
        held_out: (N,) bool, True where the model has not learned from this dialogue.
        probability: (N, C) float32, NaN rows for utterances that were not scored.
        measures: name of `MEASURES` -> (N,) float32, NaN where there is nothing to measure.
        sketches: modality -> (N, K + 1) float32, NaN rows where it is missing; a modality nobody kept is absent.
    """

    dialogue: np.ndarray
    held_out: np.ndarray
    probability: np.ndarray
    measures: Mapping[str, np.ndarray]
    sketches: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.dialogue)

    @property
    def dialogues(self) -> int:
        """Number of dialogues."""
        return len(np.unique(self.dialogue))

    def rows(self, chosen: np.ndarray) -> "Observations":
        """Those rows; (N,) bool or indices."""
        return Observations(
            self.dialogue[chosen],
            self.held_out[chosen],
            self.probability[chosen],
            {name: values[chosen] for name, values in self.measures.items()},
            {name: values[chosen] for name, values in self.sketches.items()},
        )


def observe(
    scores: pd.DataFrame,
    emotions: tuple[str, ...],
    *,
    vectors: Vectors | None,
    sketchers: Mapping[str, Sketcher],
    known_pairs: KnownPairs,
    held_out: np.ndarray | None = None,
) -> Observations:
    """Looks at scored utterances.

    Args:
        scores: `corpus`, `dialogue_id`, `turn`, `text`, `seconds`, `loudness`, `audio_problem`, `text_problem`, the
            predictions of `hbaf.inference.predictor`; measured facts that are absent stay unknown.
        vectors: the model's inputs in the order of the rows; None where nobody kept them.
        held_out: (N,) bool; default: all of them are.
    """
    rows = len(scores)
    dialogue = pd.factorize(scores["corpus"].astype(str) + "/" + scores["dialogue_id"].astype(str))[0]
    probability = scores[[f"p_{emotion}" for emotion in emotions]].to_numpy(np.float32)
    has_text = _present(scores, "text")
    seconds = _number(scores, "seconds")
    texts = [
        None if is_missing(text) or not there else str(text)
        for text, there in zip(scores["text"], has_text, strict=True)
    ]
    words, characters = (
        np.array([np.nan if text is None else len(count(text)) for text in texts], np.float32)
        for count in (str.split, str)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.where(seconds > 0, words / seconds, np.nan)
    alone = scores["audio_label"], scores["text_label"]
    both = alone[0].notna() & alone[1].notna()
    measures = {
        "confidence": np.where(np.isnan(probability).any(1), np.nan, _number(scores, "confidence")),
        "agreement": np.where(both, alone[0] == alone[1], np.nan),
        "seconds": seconds,
        "loudness": _number(scores, "loudness"),
        "characters": characters,
        "words_per_second": rate,
        "known_pairs": known_pairs.share(texts),
        "text_continuity": _continuity(scores, dialogue, vectors),
        "missing_audio": ~_present(scores, "audio"),
        "missing_text": ~has_text,
    }
    inputs = {} if vectors is None else {"audio": vectors.audio, "text": vectors.text}
    return Observations(
        dialogue=dialogue.astype(np.int64),
        held_out=np.ones(rows, bool) if held_out is None else held_out,
        probability=probability,
        measures={name: np.asarray(values, np.float32) for name, values in measures.items()},
        sketches={name: sketchers[name].apply(values) for name, values in inputs.items() if name in sketchers},
    )


def _continuity(scores: pd.DataFrame, dialogue: np.ndarray, vectors: Vectors | None) -> np.ndarray:
    """(N,) cosine between a turn's text vector and that of the turn before; NaN for a first turn.

    Words that no longer belong to their conversation look ordinary one by one; beside their neighbours they do not.
    """
    found = np.full(len(scores), np.nan, np.float32)
    if vectors is None or len(scores) < 2:
        return found
    order = np.lexsort((scores["turn"].to_numpy(), dialogue))
    text = vectors.text[order].astype(np.float32)
    length = np.linalg.norm(text, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        cosine = np.einsum("nw,nw->n", text[1:], text[:-1]) / (length[1:] * length[:-1])
    follows = dialogue[order][1:] == dialogue[order][:-1]
    found[order[1:]] = np.where(follows, cosine, np.nan)
    return found


def _number(scores: pd.DataFrame, name: str) -> np.ndarray:
    if name not in scores:
        return np.full(len(scores), np.nan, np.float32)
    return pd.to_numeric(scores[name]).to_numpy(np.float32, na_value=np.nan)


def _present(scores: pd.DataFrame, modality: str) -> np.ndarray:
    """(N,) bool: the utterance has this modality, and nothing is said against it."""
    return (scores[modality].notna() & scores[f"{modality}_problem"].isna()).to_numpy(bool)
