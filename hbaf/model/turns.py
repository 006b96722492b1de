"""Order of turns within padded dialogues. B dialogues, U utterances."""

import torch
from torch import Tensor


def backwards(x: Tensor, mask: Tensor) -> Tensor:
    """x (B, U, ...) with the real turns of each dialogue in reverse order and the padding where it was, last.

    Applied twice it gives x back.

    Args:
        mask: (B, U) bool, True on real utterances, which come first in each row.
    """
    turn = torch.arange(mask.shape[1], device=mask.device)
    lengths = mask.sum(1, keepdim=True)
    order = torch.where(turn < lengths, lengths - 1 - turn, turn)  # (B, U)
    return x[torch.arange(len(x), device=x.device)[:, None], order]
