"""Five members trained in turn and side by side, beside one: seconds by the clock, recipe `demo`, made-up dialogues.

Of equal threads, so that the weights must be equal; what a person gets who sets nothing is measured too.

    make bench BENCH=side_by_side
"""

import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from hbaf.model.build import build_hbaf
from hbaf.parameters import from_recipe
from hbaf.processes import cores
from hbaf.training.members import train_members
from hbaf.training.run_log import SilentRunLog
from tests.benchmarks.test_training import AUDIO, EMOTIONS, TEXT, dialogue

MEMBERS, EPOCHS, DIALOGUES = 5, 10, 224


@pytest.mark.benchmark
@pytest.mark.timeout(3600)
def test_five_members_side_by_side(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    train, dev = ([dialogue(int(random.integers(6, 13)), random) for _ in range(n)] for n in (DIALOGUES, 48))
    _, model, training = from_recipe("demo")
    build = partial(build_hbaf, model, audio_dim=AUDIO, text_dim=TEXT, commonsense_dim=None, emotions=len(EMOTIONS))
    took: dict[str, float] = {}
    weights: dict[str, dict[str, torch.Tensor]] = {}
    for name, members, workers, threads in (
        ("warming up", 1, 1, None),
        ("one", 1, 1, None),
        ("five in turn", MEMBERS, 1, None),
        ("five in turn, one thread", MEMBERS, 1, 1),
        (f"five, {cores()} at a time", MEMBERS, cores(), 1),
    ):
        epochs = {"max_epochs": EPOCHS, "patience": EPOCHS}  # as many in every run
        own = training.model_copy(update={"members": members, "threads": threads, **epochs})
        torch.set_num_threads(threads or cores())
        began = time.perf_counter()
        whole = train_members(
            build, train, dev, emotions=EMOTIONS, training=own, folder=tmp_path / name, log=SilentRunLog(),
            workers=workers,
        )  # fmt: skip
        took[name], weights[name] = time.perf_counter() - began, whole.system.state_dict()
    *_, in_turn, beside = weights.values()
    assert all(torch.equal(value, beside[name]) for name, value in in_turn.items())
    del took["warming up"]
    for name, seconds in took.items():
        print(f"\n{name}: {seconds:.1f} s, {seconds / took['one']:.2f} times one", end="")
