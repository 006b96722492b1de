"""Attention under masks, for the systems that attend over a dialogue. B dialogues, U utterances, D width."""

import torch
from torch import Tensor, nn


def masked_softmax(scores: Tensor, allowed: Tensor) -> Tensor:
    """Softmax over the last axis among the allowed entries; a row without any is zero, and its gradient too.

    Args:
        scores: (..., K). allowed: bool, broadcastable to it.
    """
    lowest = torch.finfo(scores.dtype).min
    return scores.masked_fill(~allowed, lowest).softmax(-1) * allowed


class MultiHeadAttention(nn.Module):
    """softmax(Q K^T / sqrt(d)) V by head, with queries, keys and values from where one likes.

    Args:
        dim: D, divisible by `heads`.
        value_dim: width of the values that come in; D unless told.
    """

    def __init__(self, dim: int, heads: int, dropout: float = 0.0, value_dim: int | None = None) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim must be divisible by heads; {dim} is not by {heads}.")
        self.heads = heads
        self.query = nn.Linear(dim, dim)
        # A key's bias adds the same to every score of a query: softmax would give it no gradient.
        self.key = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(value_dim or dim, dim)
        self.out = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
        """Attends.

        Args:
            query, key, value: (B, U, D).
            allowed: (B, U) or (B, U, U) bool, True on keys that may be attended to (by each query).

        Returns:
            (B, U, D), and the weights (B, heads, U, U). A query without a key gets zero weights.
        """
        Q, K, V = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, U, d)
            for part in (self.query(query), self.key(key), self.value(value))
        )
        scores = Q @ K.transpose(-1, -2) / Q.shape[-1] ** 0.5
        weights = masked_softmax(scores, allowed[:, None, None] if allowed.dim() == 2 else allowed[:, None])
        attended = (self.dropout(weights).to(V.dtype) @ V).transpose(1, 2).flatten(2)
        return self.out(attended), weights


class EncoderLayer(nn.Module):
    """Transformer encoder layer, normalised after each sub-layer; keys and values may be another stream's."""

    def __init__(self, dim: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(dim, heads, dropout)
        self.norm1 = nn.LayerNorm(dim)
        self.feedforward = nn.Sequential(
            nn.Linear(dim, feedforward), nn.ReLU(), nn.Dropout(dropout), nn.Linear(feedforward, dim)
        )
        self.norm2 = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, keys: Tensor, memory: Tensor | None = None) -> Tensor:
        """x (B, U, D) attends over `memory` (itself unless given), to the utterances where `keys` (B, U) is True."""
        memory = x if memory is None else memory
        x = self.norm1(x + self.dropout(self.attention(x, memory, memory, keys)[0]))
        return self.norm2(x + self.dropout(self.feedforward(x)))


class MatchingAttention(nn.Module):
    """Each turn reads all turns: softmax_i(tanh(e_i . (W e_t + b))) over real turns.

    DialogueRNN and COSMIC call it "general2".
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.W = nn.Linear(dim, dim)

    def forward(self, e: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """e (B, U, D), mask (B, U) -> attended (B, U, D), weights (B, U, U)."""
        weights = masked_softmax(torch.tanh(self.W(e) @ e.transpose(1, 2)), mask[:, None])
        return weights.to(e.dtype) @ e, weights
