"""Cosine similarity of all pairs."""

import torch
import torch.nn.functional as F
from torch import Tensor


def cosines(x: Tensor, y: Tensor) -> Tensor:
    """(..., N, D), (..., M, D) -> (..., N, M) in [-1, 1], float32 also under autocast; 0 for a zero vector.

    bf16 keeps two to three digits, which a temperature, or arccos, would magnify.
    """
    with torch.autocast(x.device.type, enabled=False):
        return F.normalize(x.float(), dim=-1) @ F.normalize(y.float(), dim=-1).transpose(-1, -2)
