"""Made-up dialogues: a few turns, any number of speakers, what is missing on request."""

from collections.abc import Callable, Iterator

import pytest
import torch

from hbaf.baselines.contract import made_up
from hbaf.model.batch import DialogueBatch


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two threads on such small products spend their time waiting for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def make_batch() -> Callable[..., DialogueBatch]:
    return made_up
