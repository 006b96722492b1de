"""About how long a training takes, from a timed batch."""

import time
from collections.abc import Callable, Sequence

import torch
from torch import nn

from hbaf.baselines.contract import total_loss
from hbaf.parameters import TrainingParameters
from hbaf.processes import cores
from hbaf.training.data import Dialogue, LengthBuckets, collate

OF_A_STEP = 1 / 3  # what a batch costs that nothing is learned from
SHORT = 1.0  # minutes of training, all members, for which no process is started: its imports take seconds


def longest(
    build: Callable[[], nn.Module], train: Sequence[Dialogue], dev: Sequence[Dialogue], training: TrainingParameters
) -> float:
    """Minutes that training takes at most, all members in turn: a member ends earlier where dev does not improve.

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


def side_by_side(training: TrainingParameters, minutes: float) -> int:
    """Members to train at a time: as many as are asked for, else one for each core where a CPU trains for long.

    Args:
        minutes: see `longest`.
    """
    asked = training.workers
    if asked is None:
        on_gpu = training.device != "cpu" and torch.cuda.is_available()
        asked = 1 if on_gpu or minutes < SHORT else cores()
    return min(asked, training.members)


def in_words(minutes: float, training: TrainingParameters, workers: int = 1) -> str:
    """What a person reads before training starts.

    Args:
        minutes: see `longest`.
        workers: members that are trained at a time.
    """
    minutes *= -(-training.members // workers) / training.members
    about = "less than a minute" if minutes < 1 else f"about {minutes:.0f} minute{'s' * (round(minutes) != 1)}"
    members = f"{training.members} members of " if training.members > 1 else ""
    members = f"{workers} at a time of {members}" if workers > 1 else members
    return (
        f"training: at most {about}, {members}up to {training.max_epochs} epochs; it ends earlier when dev has not "
        f"improved for {training.patience}"
    )
