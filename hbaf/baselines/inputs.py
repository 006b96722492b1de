"""What a compared system reads of a batch. B dialogues, U utterances (padded)."""

import torch
from torch import Tensor

from hbaf.model.batch import DialogueBatch


def present(batch: DialogueBatch) -> tuple[Tensor, Tensor]:
    """(B, U) bool each: real utterances with audio, real utterances with text."""
    return batch.mask & batch.has_audio, batch.mask & batch.has_text


def streams(batch: DialogueBatch) -> tuple[Tensor, Tensor]:
    """Audio (B, U, audio_dim) and text (B, U, text_dim): exactly zero on padding and where the modality is missing.

    What a batch holds there does not matter; `DialogueBatch.without` changes the masks alone.
    """
    has_audio, has_text = present(batch)
    return zero_outside(batch.audio, has_audio), zero_outside(batch.text, has_text)


def joined(batch: DialogueBatch) -> Tensor:
    """[audio ; text], (B, U, audio_dim + text_dim), zero as in `streams`."""
    return torch.cat(streams(batch), -1)


def commonsense(batch: DialogueBatch) -> Tensor:
    """(B, U, 3, commonsense_dim), zero where the words are missing that it was inferred from.

    Raises:
        ValueError: the batch has no commonsense features.
    """
    if batch.commonsense is None:
        raise ValueError(
            "the system was built for commonsense features and the batch has none. "
            "Extract them for this corpus, or build the system with commonsense_dim=None."
        )
    return zero_outside(batch.commonsense, present(batch)[1])


def zero_outside(x: Tensor, keep: Tensor) -> Tensor:
    """x (B, U, ...) where `keep` (B, U) is True, zero elsewhere, whatever x holds there, NaN included."""
    return torch.where(keep.reshape(*keep.shape, *[1] * (x.dim() - 2)), x, 0.0)
