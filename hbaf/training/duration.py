"""About how long a training takes, from a timed batch."""

import time
from collections.abc import Callable, Sequence

import torch
from torch import nn

from hbaf.baselines.contract import total_loss
from hbaf.parameters import TrainingParameters
from hbaf.training.data import Dialogue, LengthBuckets, collate

OF_A_STEP = 1 / 3  # what a batch costs that nothing is learned from


def longest(
    build: Callable[[], nn.Module], train: Sequence[Dialogue], dev: Sequence[Dialogue], training: TrainingParameters
) -> float:
    """Minutes that training takes at most, all members: a member ends earlier where dev does not improve.

    Times the second of two steps on a batch of middling length; nothing of it stays.

    Args:
        build: makes one member.
    """
    if training.threads is not None:
        torch.set_num_threads(training.threads)
    device = "cuda" if training.device != "cpu" and torch.cuda.is_available() else "cpu"
    batches = sorted(
        LengthBuckets([len(d) for d in train], training.batch_dialogues, seed=training.seed),
        key=lambda batch: len(batch) * max(len(train[i]) for i in batch),
    )
    system = build().to(device).train()
    optimizer = torch.optim.Adam(system.parameters())
    batch = collate([train[i] for i in batches[len(batches) // 2]]).to(torch.device(device))
    seconds = 0.0
    for _ in range(2):
        began = time.perf_counter()
        optimizer.zero_grad()
        loss = total_loss(system(batch), batch)
        loss.backward()
        optimizer.step()
        loss.item()  # waits for a GPU
        seconds = time.perf_counter() - began
    asked = -(-len(dev) // training.batch_dialogues) * OF_A_STEP
    return seconds * (len(batches) + asked) * training.max_epochs * training.members / 60


def in_words(minutes: float, training: TrainingParameters) -> str:
    """What a person reads before training starts."""
    about = "less than a minute" if minutes < 1 else f"about {minutes:.0f} minute{'s' * (round(minutes) != 1)}"
    members = f"{training.members} members of " if training.members > 1 else ""
    return (
        f"training: at most {about}, {members}up to {training.max_epochs} epochs; it ends earlier when dev has not "
        f"improved for {training.patience}"
    )
