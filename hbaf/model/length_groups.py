"""Dialogues of one batch computed in groups of like length, so that little of the work is padding.

B dialogues, U utterances of the longest. The batch stays one batch: its loss and its contrast see all dialogues.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from hbaf.model.batch import DialogueBatch


class GroupCosts(NamedTuple):
    """What computing a batch in groups costs beside its utterances, forward and backward, each in utterances.

    Attributes:
        turn: one more turn of a group: recurrences go turn by turn, whatever the number of dialogues.
        group: one more group: the gradient of every weight is written once more.
    """

    turn: float
    group: float

    @classmethod
    def on_cpu(cls, weights: int) -> "GroupCosts":
        """As measured on two cores (docs/benchmarks.md); a narrow model is hardly ever worth a second group."""
        return cls(60e6 / weights, 50)


ONE_GROUP = GroupCosts(math.inf, 0)


def length_groups(lengths: Sequence[int], costs: GroupCosts) -> list[list[int]]:
    """Places in groups of like length, the longest first, such that padding, turns and groups cost least together.

    A group of n dialogues whose longest has u turns costs n * u utterances, u turns and itself.

    Args:
        lengths: of the dialogues, 1 or more each.
    """
    order = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    least, begins = [0.0], [0]  # of the first n dialogues in this order
    for end in range(1, len(order) + 1):
        sums = [least[begin] + (end - begin + costs.turn) * lengths[order[begin]] + costs.group for begin in range(end)]
        begins.append(min(range(end), key=sums.__getitem__))
        least.append(sums[begins[-1]])
    groups = []
    end = len(order)
    while end:
        groups.append(order[begins[end] : end])
        end = begins[end]
    return groups[::-1]


def in_groups(
    compute: Callable[[DialogueBatch], dict[str, Tensor]], batch: DialogueBatch, costs: GroupCosts
) -> dict[str, Tensor]:
    """`compute` on groups of the batch, joined again; what it finds is zero on padding that it never saw.

    Args:
        compute: returns tensors (B, U, ...), and (B, heads, U, U) where there are four axes. It may not mix dialogues.
    """
    turns = batch.mask.shape[1]
    # A GPU computes the padding of a batch in less time than it starts another group in.
    on_cpu = batch.mask.device.type == "cpu"
    lengths = batch.mask.sum(1).clamp(min=1).tolist() if on_cpu else [turns] * len(batch.mask)
    groups = length_groups(lengths, costs) if on_cpu else [list(range(len(lengths)))]
    if len(groups) == 1:
        return compute(batch)
    parts = [compute(batch.cut(torch.tensor(rows), max(lengths[row] for row in rows))) for rows in groups]
    place = torch.tensor([row for rows in groups for row in rows]).argsort()
    return {name: torch.cat([_padded(part[name], turns) for part in parts]).index_select(0, place) for name in parts[0]}


def _padded(x: Tensor, turns: int) -> Tensor:
    more = turns - x.shape[-2]
    return F.pad(x, (0, more, 0, more) if x.dim() == 4 else (0, 0, 0, more))
