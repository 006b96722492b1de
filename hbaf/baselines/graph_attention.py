"""Graph attention over the utterances of a dialogue, with dense masks for edges. B dialogues, V nodes, D width."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hbaf.baselines.attention import masked_softmax


class GraphAttention(nn.Module):
    """softmax_j(LeakyReLU(a . W h_i + b . W h_j)) over the neighbours j of i, by head, with a residual.

    Veličković et al., ICLR 2018. A node without neighbours keeps what it has.

    Args:
        dim: D, divisible by `heads`.
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim must be divisible by heads; {dim} is not by {heads}.")
        self.heads = heads
        self.W = nn.Linear(dim, dim, bias=False)
        self.a = nn.Parameter(torch.randn(heads, dim // heads) * (dim // heads) ** -0.5)
        self.b = nn.Parameter(torch.randn(heads, dim // heads) * (dim // heads) ** -0.5)
        self.norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
        """h (B, V, D), edges (B, V, V) bool (to, from) -> (B, V, D), weights (B, heads, V, V)."""
        x = self.W(h).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, V, d)
        to = (x * self.a[:, None]).sum(-1)[..., :, None]
        from_ = (x * self.b[:, None]).sum(-1)[..., None, :]
        weights = masked_softmax(F.leaky_relu(to + from_, 0.2), edges[:, None])
        read = (self.dropout(weights).to(x.dtype) @ x).transpose(1, 2).flatten(2)
        return self.norm(h + F.elu(read)), weights


def near(mask: Tensor, window: int) -> Tensor:
    """(B, U) bool -> (B, U, U) bool: pairs of real utterances at most `window` turns apart, each with itself."""
    turn = torch.arange(mask.shape[1], device=mask.device)
    close = (turn[:, None] - turn[None, :]).abs() <= window
    return close & mask[:, :, None] & mask[:, None, :]


def two_modalities(audio: Tensor, text: Tensor, has_audio: Tensor, has_text: Tensor) -> Tensor:
    """Edges over 2U nodes, audio first: those within each modality, and between both nodes of one utterance.

    Args:
        audio, text: (B, U, U) bool. has_audio, has_text: (B, U) bool.

    Returns:
        (B, 2U, 2U) bool.
    """
    both = torch.diag_embed(has_audio & has_text)
    return torch.cat([torch.cat([audio, both], 2), torch.cat([both, text], 2)], 1)
