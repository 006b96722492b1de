"""Reading the model: what it kept of each modality and where it looked, turn by turn of one dialogue.

U utterances. Everything comes from the pass that gave the logits (`SystemOutput.views`); nothing is computed anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from hbaf.model.batch import UNLABELLED, DialogueBatch, SystemOutput
from hbaf.training.data import Dialogue, collate


@dataclass(frozen=True)
class Reading:
    """One dialogue, read.

    Attributes:
        utterance_ids: (U).
        speaker: (U,) rank of first appearance.
        truth: (U) emotion, None without a label.
        both, audio, text: (U) emotion said from both modalities and from each alone; None where that one is missing.
        gates: `audio` and `text` -> (U,) mean over dimensions, 0..1: 1 keeps the stream's own view, 0 takes the cross
            view. Empty for a model without gates.
        attention: `audio`, `text` (self), `audio_to_text`, `text_to_audio` -> (U, U), mean over heads; a row adds up to
            1, or 0 where there was nothing to look at. Empty for a model without attention.
    """

    utterance_ids: tuple[str, ...]
    speaker: np.ndarray
    truth: tuple[str | None, ...]
    both: tuple[str | None, ...]
    audio: tuple[str | None, ...]
    text: tuple[str | None, ...]
    gates: Mapping[str, np.ndarray]
    attention: Mapping[str, np.ndarray]


def read(system: torch.nn.Module, dialogue: Dialogue, emotions: tuple[str, ...]) -> Reading:
    """What a system in evaluation mode makes of a dialogue."""
    batch = collate([dialogue]).to(next(system.parameters()).device)
    with torch.inference_mode():
        output: SystemOutput = system(batch)
        alone = {kept: system(batch.without(other)) for kept, other in (("audio", "text"), ("text", "audio"))}
    views = {name: view.cpu().numpy() for name, view in output.views.items()}
    return Reading(
        utterance_ids=dialogue.utterance_ids,
        speaker=dialogue.speaker,
        truth=tuple(None if label == UNLABELLED else emotions[label] for label in dialogue.label),
        both=_read(output, batch, emotions, "mask"),
        audio=_read(alone["audio"], batch, emotions, "has_audio"),
        text=_read(alone["text"], batch, emotions, "has_text"),
        gates={name.removeprefix("gate_"): v[0].mean(-1) for name, v in views.items() if name.startswith("gate_")},
        attention={
            name.removeprefix("attention_"): view[0].mean(0)
            for name, view in views.items()
            if name.startswith("attention_")
        },
    )


def _read(
    output: SystemOutput, batch: DialogueBatch, emotions: tuple[str, ...], present: str
) -> tuple[str | None, ...]:
    there = getattr(batch, present)[0].tolist()
    return tuple(
        emotions[label] if is_there else None
        for label, is_there in zip(output.logits[0].argmax(-1).tolist(), there, strict=True)
    )
