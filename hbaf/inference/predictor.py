"""A trained model + utterances -> predictions: the one path that scoring and the registered model both take."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from hbaf.corpus.schema import Corpus
from hbaf.features.columns import Columns
from hbaf.model.batch import SystemOutput
from hbaf.model.each_way import each_way
from hbaf.training.data import Dialogue, Vectors, collate, make_dialogues, read_vectors
from hbaf.training.package import ModelPackage

SHOWN = 0.02  # a turn with a smaller share of the attention is not shown
SHARD_BYTES = 16 * 2**20  # of raw vectors that are in memory at a time; a longer dialogue is one shard
# Turns of one batch, padding included. Below a thousand a CPU spends more on calling operations than on computing; a
# larger batch gains nothing (docs/benchmarks.md).
BATCH_TURNS = 4096


class Predictor:
    """What both modalities, audio alone and text alone suggest for every utterance, as calibrated probabilities.

    Args:
        attention: to how many other turns of the dialogue each prediction looked most is given too; 0: none.
    """

    def __init__(self, package: ModelPackage, *, attention: int = 0):
        self.package = package
        self.attention = attention

    @classmethod
    def load(cls, folder: Path, device: str = "auto", *, attention: int = 0) -> "Predictor":
        """The predictor of a model package."""
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        return cls(ModelPackage.load(folder, device), attention=attention)

    @property
    def emotions(self) -> tuple[str, ...]:
        """Emotions in the order of the probabilities."""
        return self.package.facts.emotions

    def predict(self, corpus: Corpus, vectors: Vectors, rows: pd.DataFrame | None = None) -> pd.DataFrame:
        """Predictions for rows of a corpus (all of them by default).

        Args:
            vectors: of the whole corpus, in the order of its table.

        Returns:
            One row per utterance in table order: utterance_id, label, confidence, uncertain (the confidence is below
            the threshold that training set by its target precision), p_<emotion> ..., audio_label,
            audio_confidence, text_label, text_confidence (missing where that modality is absent), gate_audio,
            gate_text (mean over the model's dimensions, 0..1; absent for models without gates); where asked for,
            attention (JSON: turn -> share of the attention, mean over heads and streams, most first; absent for models
            without attention).
        """
        wanted = corpus.utterances if rows is None else rows
        if not len(wanted):
            return pd.DataFrame({"utterance_id": pd.Series(dtype="str")})
        dialogues = make_dialogues(corpus, vectors, self.package.representation, wanted, self.emotions)
        parts: list[pd.DataFrame] = []
        with torch.inference_mode():
            for batch in batches_of([len(d) for d in dialogues], BATCH_TURNS):
                parts.append(self._predict_batch([dialogues[i] for i in batch]))
        predicted = pd.concat(parts, ignore_index=True).set_index("utterance_id")
        return predicted.loc[wanted["utterance_id"]].reset_index()

    def predict_in_shards(self, corpus: Corpus, columns: Columns, utterances: int | None = None) -> pd.DataFrame:
        """As `predict`, with the vectors read for some whole dialogues at a time: memory does not grow with them.

        Args:
            utterances: whose vectors are in memory at a time; default: as many as fill `SHARD_BYTES`.
        """
        if utterances is None:
            utterances = SHARD_BYTES // (4 * sum(column.dim for column in columns.by_modality().values()))
        parts = [self.predict(part, read_vectors(part, columns)) for part in in_shards(corpus, utterances)]
        return pd.concat(parts, ignore_index=True)

    def _predict_batch(self, dialogues: Sequence[Dialogue]) -> pd.DataFrame:
        system = self.package.system
        batch = collate(dialogues).to(next(system.parameters()).device)
        keep = batch.mask.cpu().numpy()
        output, *alone = each_way(system, batch)
        calibration = self.package.facts.calibration
        both = _probability(output, calibration.temperature)[keep]
        columns: dict[str, object] = {
            "utterance_id": [u for d in dialogues for u in d.utterance_ids],
            "label": self._names(both),
            "confidence": both.max(1),
            "uncertain": both.max(1) < calibration.threshold,
            **{f"p_{emotion}": both[:, c] for c, emotion in enumerate(self.emotions)},
        }
        for modality, prediction, there in zip(
            ("audio", "text"), alone, (batch.has_audio, batch.has_text), strict=True
        ):
            probability, present = _probability(prediction, calibration.temperature)[keep], there.cpu().numpy()[keep]
            columns[f"{modality}_label"] = [
                name if here else None for name, here in zip(self._names(probability), present, strict=True)
            ]
            columns[f"{modality}_confidence"] = np.where(present, probability.max(1), np.nan).astype(np.float32)
            gate = output.views.get(f"gate_{modality}")
            if gate is not None:
                columns[f"gate_{modality}"] = gate.float().mean(-1).cpu().numpy()[keep]
        if self.attention and (attention := _attention(output)) is not None:
            columns["attention"] = [
                described
                for dialogue, weights in zip(dialogues, attention, strict=True)
                for described in _looked_at(weights[: len(dialogue), : len(dialogue)], dialogue, self.attention)
            ]
        return pd.DataFrame(columns)

    def _names(self, probability: np.ndarray) -> np.ndarray:
        return np.asarray(self.emotions, dtype=object)[probability.argmax(1)]


def batches_of(lengths: Sequence[int], turns: int) -> Iterator[list[int]]:
    """Dialogues in batches of like length: as many as fit into so many turns with padding, at least one."""
    batch: list[int] = []
    for place in np.argsort(np.asarray(lengths), kind="stable").tolist():
        if batch and (len(batch) + 1) * lengths[place] > turns:  # lengths ascend: this one is the longest
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def in_shards(corpus: Corpus, utterances: int) -> Iterator[Corpus]:
    """The corpus in parts of whole dialogues, in table order; one part, without rows, of one without rows."""
    table = corpus.utterances
    begins = np.flatnonzero((table["dialogue_id"] != table["dialogue_id"].shift()).to_numpy())
    start = 0
    for begin in begins[1:]:
        if begin - start >= utterances:
            yield corpus.with_utterances(table.iloc[start:begin].reset_index(drop=True))
            start = int(begin)
    yield corpus.with_utterances(table.iloc[start:].reset_index(drop=True))


def _probability(output: SystemOutput, temperature: float) -> np.ndarray:
    """(B, U, C) float32."""
    return (output.logits.float() / temperature).softmax(-1).cpu().numpy()


def _attention(output: SystemOutput) -> np.ndarray | None:
    """(B, U, U) share of its attention that each turn pays to each; None for a model without attention."""
    maps = [view.mean(1) for name, view in output.views.items() if name.startswith("attention_")]
    if not maps:
        return None
    both = torch.stack(maps).sum(0)  # a stream without anything to look at adds nothing
    return (both / both.sum(-1, keepdim=True).clamp(min=1e-9)).cpu().numpy()


def _looked_at(weights: np.ndarray, dialogue: Dialogue, most: int) -> Iterator[str]:
    """The other turns that each turn of a dialogue looked at most, as JSON."""
    turns = [utterance_id.rpartition("/")[2] for utterance_id in dialogue.utterance_ids]
    others = np.where(np.eye(len(turns), dtype=bool), 0, weights)
    for shares, first in zip(others, np.argsort(-others, axis=1)[:, :most], strict=True):
        yield json.dumps({turns[turn]: round(float(shares[turn]), 3) for turn in first if shares[turn] >= SHOWN})
