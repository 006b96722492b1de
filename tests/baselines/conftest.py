"""Made-up dialogues: a few turns, any number of speakers, what is missing on request."""

from collections.abc import Callable, Iterator, Sequence

import pytest
import torch

from hbaf.model.batch import UNLABELLED, DialogueBatch

AUDIO_DIM, TEXT_DIM, COMMONSENSE_DIM, EMOTIONS = 6, 7, 5, 4


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two threads on such small products spend their time waiting for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def make_batch() -> Callable[..., DialogueBatch]:
    def make(
        lengths: Sequence[int] = (5, 3),
        *,
        speakers: int = 3,
        no_audio: Sequence[tuple[int, int]] = (),
        no_text: Sequence[tuple[int, int]] = (),
        unlabelled: Sequence[tuple[int, int]] = (),
        seed: int = 0,
    ) -> DialogueBatch:
        """`no_audio`, `no_text`, `unlabelled` list (dialogue, turn); turn t is spoken by t (mod speakers)."""
        draw = torch.Generator().manual_seed(seed)
        rows, turns = len(lengths), max(lengths)
        mask = torch.arange(turns)[None] < torch.tensor(lengths)[:, None]
        has_audio, has_text = mask.clone(), mask.clone()
        label = torch.randint(EMOTIONS, (rows, turns), generator=draw).masked_fill(~mask, UNLABELLED)
        for dialogue, turn in no_audio:
            has_audio[dialogue, turn] = False
        for dialogue, turn in no_text:
            has_text[dialogue, turn] = False
        for dialogue, turn in unlabelled:
            label[dialogue, turn] = UNLABELLED
        return DialogueBatch(
            audio=torch.randn(rows, turns, AUDIO_DIM, generator=draw) * has_audio[..., None],
            text=torch.randn(rows, turns, TEXT_DIM, generator=draw) * has_text[..., None],
            commonsense=torch.randn(rows, turns, 3, COMMONSENSE_DIM, generator=draw) * has_text[..., None, None],
            mask=mask,
            has_audio=has_audio,
            has_text=has_text,
            speaker=(torch.arange(turns) % speakers).expand(rows, -1).masked_fill(~mask, 0),
            label=label,
        )

    return make
