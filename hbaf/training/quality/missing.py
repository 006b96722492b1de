"""Which modalities a corpus has, how well a model does without one, and whether it was trained to."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from torch import nn

from hbaf.corpus.schema import Corpus
from hbaf.features.imported.facts import is_imported
from hbaf.parameters import FeatureParameters, ModelParameters
from hbaf.training.data import Dialogue
from hbaf.training.evaluate import predict
from hbaf.training.package import misses_by_settings

MODALITIES = ("audio", "text")
OFTEN = 0.05  # share of train utterances without a modality from which on a model has learned to do without it


def only_modality(corpus: Corpus, features: FeatureParameters) -> Literal["audio", "text"] | None:
    """The one modality that the train split has; None where it has both, or neither.

    Args:
        features: published ones count as there, though the corpus has neither sound nor words of its own then.
    """
    train = corpus.in_split("train")
    heard = is_imported(features.audio) or bool(train["audio_problem"].isna().any())
    read = is_imported(features.text) or bool(train["text_problem"].isna().any())
    if heard == read:
        return None
    return "audio" if heard else "text"


def without(dialogues: Sequence[Dialogue], modality: str) -> list[Dialogue]:
    """The same dialogues as if that modality were missing everywhere."""
    return [
        replace(
            dialogue,
            **{
                modality: np.zeros_like(getattr(dialogue, modality)),
                f"has_{modality}": np.zeros_like(getattr(dialogue, f"has_{modality}")),
            },
        )
        for dialogue in dialogues
    ]


def missing_scores(system: nn.Module, dialogues: Sequence[Dialogue], emotions: Sequence[str]) -> dict[str, float]:
    """`{"audio": ..., "text": ...}`: weighted F1 with that modality missing everywhere, 0..1."""
    return {modality: predict(system, without(dialogues, modality), emotions).weighted_f1() for modality in MODALITIES}


def trained_to_miss(model: ModelParameters, train: Sequence[Dialogue]) -> dict[str, bool]:
    """Modality -> whether a prediction without it is more than a guess.

    So where training dropped it (`modality_dropout`), where at least 5 % of the train utterances lacked it, or where
    the variant never reads it.
    """
    lacking = {m: 1 - np.concatenate([getattr(dialogue, f"has_{m}") for dialogue in train]).mean() for m in MODALITIES}
    return {m: by_settings or bool(lacking[m] >= OFTEN) for m, by_settings in misses_by_settings(model).items()}
