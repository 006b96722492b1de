"""What goes into a system and what comes out of it: the contract that HBAF and every compared system keep.

B dialogues, U utterances (padded), D model dimension, C emotions.
"""

from dataclasses import dataclass, field, fields, replace

import torch
from torch import Tensor

UNLABELLED = -1


@dataclass(frozen=True)
class DialogueBatch:
    """Padded dialogues. Padding is zero in every float and False in every mask.

    Attributes:
        audio: (B, U, audio_dim) scaled audio vectors; zero where `has_audio` is False.
        text: (B, U, text_dim) text vectors; zero where `has_text` is False.
        commonsense: (B, U, 3, commonsense_dim) external, internal, purpose; None when the corpus has none.
        mask: (B, U) bool, True on real utterances.
        has_audio: (B, U) bool, True where the utterance has usable audio.
        has_text: (B, U) bool, True where the utterance has usable text.
        speaker: (B, U) int64, rank of first appearance in the dialogue, from 0.
        label: (B, U) int64 class index, `UNLABELLED` without label and on padding.
    """

    audio: Tensor
    text: Tensor
    commonsense: Tensor | None
    mask: Tensor
    has_audio: Tensor
    has_text: Tensor
    speaker: Tensor
    label: Tensor

    def to(self, device: torch.device | str) -> "DialogueBatch":
        """A copy on another device; without waiting where memory is pinned."""
        moved = {
            item.name: value.to(device, non_blocking=True)
            for item in fields(self)
            if (value := getattr(self, item.name)) is not None
        }
        return replace(self, **moved)

    def rows(self, which: Tensor) -> "DialogueBatch":
        """Some of the dialogues, as padded as they are: `which` (n,) int64."""
        some = {i.name: value[which] for i in fields(self) if (value := getattr(self, i.name)) is not None}
        return replace(self, **some)

    def without(self, modality: str) -> "DialogueBatch":
        """The same dialogues with one modality missing everywhere: `"audio"` or `"text"`."""
        if modality == "audio":
            return replace(self, has_audio=torch.zeros_like(self.has_audio))
        if modality == "text":
            return replace(self, has_text=torch.zeros_like(self.has_text))
        raise ValueError(f'modality must be "audio" or "text", not {modality!r}')


@dataclass(frozen=True)
class SystemOutput:
    """What a system says of a batch.

    Attributes:
        logits: (B, U, C); padding holds arbitrary finite numbers.
        losses: named scalar terms, already weighted, that training adds to the cross-entropy.
        terms: named scalar values that are logged and not added, such as each contrastive term unweighted.
        views: named tensors for people to look at: gates (B, U, D), attention maps (B, heads, U, U).
    """

    logits: Tensor
    losses: dict[str, Tensor] = field(default_factory=dict)
    terms: dict[str, Tensor] = field(default_factory=dict)
    views: dict[str, Tensor] = field(default_factory=dict)
