"""Attention that also returns its weights, over keys of which some, or all, are masked.

B dialogues, U utterances, D model dimension, d = D / heads.
"""

import torch
from torch import Tensor


def masked_softmax(scores: Tensor, keys: Tensor) -> Tensor:
    """Softmax over the last axis among the allowed keys.

    Args:
        scores: (..., U) real numbers.
        keys: bool, broadcastable to `scores`; True where a key may be attended to.

    Returns:
        (..., U) weights in [0, 1]. A row sums to 1, or to 0 where it has no allowed key: neither the value nor the
        gradient is ever NaN, which -inf in every score of a row would give.
    """
    weights = scores.masked_fill(~keys, torch.finfo(scores.dtype).min).softmax(-1)
    return weights * keys


def attend(queries: Tensor, keys: Tensor, values: Tensor, allowed: Tensor, heads: int = 1) -> tuple[Tensor, Tensor]:
    """softmax(Q K^T / sqrt(d)) V, by head.

    Args:
        queries, keys, values: (B, U, D).
        allowed: (B, U) or (B, U, U) bool, True on keys that may be attended to (by each query).
        heads: a divisor of D.

    Returns:
        attended (B, U, D), zero where a query has no allowed key; weights (B, heads, U, U), queries before keys.
    """
    Q, K, V = (split_heads(part, heads) for part in (queries, keys, values))  # (B, heads, U, d)
    scores = Q @ K.transpose(-1, -2) / Q.shape[-1] ** 0.5  # (B, heads, U, U)
    weights = masked_softmax(scores, allowed[:, None, None, :] if allowed.dim() == 2 else allowed[:, None])
    return join_heads(weights.to(V.dtype) @ V), weights


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, U, D) -> (B, heads, U, d)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """(B, heads, U, d) -> (B, U, D)."""
    return x.transpose(1, 2).flatten(2)
