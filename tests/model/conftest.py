"""Small dialogues and a narrow model: 16 wide, two or three dialogues of a few turns."""

from collections.abc import Callable, Sequence

import pytest
import torch

from hbaf.model.batch import UNLABELLED, DialogueBatch
from hbaf.model.build import build_hbaf
from hbaf.model.hbaf import HBAF
from hbaf.parameters import ModelParameters

AUDIO_DIM, TEXT_DIM, COMMONSENSE_DIM, EMOTIONS = 6, 7, 5, 4

BatchMaker = Callable[..., DialogueBatch]
ModelMaker = Callable[..., HBAF]


@pytest.fixture
def make_batch() -> BatchMaker:
    def make(
        lengths: Sequence[int] = (5, 3),
        *,
        no_audio: Sequence[tuple[int, int]] = (),
        no_text: Sequence[tuple[int, int]] = (),
        commonsense: bool = True,
        seed: int = 0,
    ) -> DialogueBatch:
        """`no_audio` and `no_text` list (dialogue, turn); values on padding and on what is missing are zero."""
        draw = torch.Generator().manual_seed(seed)
        rows, turns = len(lengths), max(lengths)
        mask = torch.arange(turns)[None, :] < torch.tensor(lengths)[:, None]
        has_audio, has_text = mask.clone(), mask.clone()
        for dialogue, turn in no_audio:
            has_audio[dialogue, turn] = False
        for dialogue, turn in no_text:
            has_text[dialogue, turn] = False
        label = torch.randint(EMOTIONS, (rows, turns), generator=draw).masked_fill(~mask, UNLABELLED)
        sense = torch.randn(rows, turns, 3, COMMONSENSE_DIM, generator=draw) * has_text[..., None, None]
        return DialogueBatch(
            audio=torch.randn(rows, turns, AUDIO_DIM, generator=draw) * has_audio[..., None],
            text=torch.randn(rows, turns, TEXT_DIM, generator=draw) * has_text[..., None],
            commonsense=sense if commonsense else None,
            mask=mask,
            has_audio=has_audio,
            has_text=has_text,
            speaker=torch.zeros(rows, turns, dtype=torch.int64),
            label=label,
        )

    return make


@pytest.fixture
def make_model() -> ModelMaker:
    def make(**settings: object) -> HBAF:
        """A narrow model in eval mode, the same weights for the same settings."""
        sizes = {
            "audio_dim": AUDIO_DIM,
            "text_dim": TEXT_DIM,
            "commonsense_dim": COMMONSENSE_DIM,
            "emotions": EMOTIONS,
        }
        sizes |= {name: settings.pop(name) for name in list(settings) if name in sizes}
        narrow: dict[str, object] = {
            "dim": 16,
            "heads": 4,
            "encoder_layers": 2,
            "feedforward": 24,
            "conv_channels": 8,
            "dropout": 0.0,
        }
        torch.manual_seed(1)
        return build_hbaf(ModelParameters(**{**narrow, **settings}), **sizes).eval()  # type: ignore[arg-type]

    return make
