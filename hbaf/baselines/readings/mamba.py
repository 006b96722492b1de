"""Mamba-style: selective state spaces, broad enhancement nodes, the surer modality leads. Our reading.

B dialogues, U utterances (padded), D = dim, E = 2D channels of a block, N numbers of state per channel.
"""

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hbaf.baselines.inputs import present, streams
from hbaf.baselines.objectives import labelled_cross_entropy
from hbaf.baselines.selective_scan import selective_scan
from hbaf.model.batch import DialogueBatch, SystemOutput
from hbaf.model.turns import backwards


class Mamba(nn.Module):
    """Per modality a bidirectional state-space block and enhancement nodes; weighted by each one's probabilities.

    Source: Shou et al., 2024, "Revisiting multi-modal emotion learning with broad state space models and
    probability-guidance fusion" (arXiv 2404.17858); the block is that of Gu and Dao, 2023. No code found, so a
    reading; sizes are ours.
    Simplified to audio + text. Enhancement nodes are tanh of fixed random combinations, never trained, as in broad
    learning. A modality's weight is its highest class probability, over the sum of both; a missing one has none.

    Args:
        state: N.
        enhancement: number of enhancement nodes; `dim` unless given.
        unimodal_weight: of the modalities' own cross-entropies.
    """

    reading: ClassVar[bool] = True
    source: ClassVar[str] = "Shou et al., 2024 (arXiv 2404.17858)"

    def __init__(
        self,
        *,
        audio_dim: int,
        text_dim: int,
        commonsense_dim: int | None,
        emotions: int,
        dim: int = 128,
        dropout: float = 0.3,
        state: int = 16,
        enhancement: int | None = None,
        unimodal_weight: float = 0.5,
    ) -> None:
        super().__init__()
        self.unimodal_weight = unimodal_weight
        nodes = enhancement or dim
        names = ("audio", "text")
        self.project = nn.ModuleDict({"audio": nn.Linear(audio_dim, dim), "text": nn.Linear(text_dim, dim)})
        self.blocks = nn.ModuleDict({name: BidirectionalBlock(dim, state, dropout) for name in names})
        self.enhance = nn.ModuleDict({name: EnhancementNodes(dim, nodes) for name in names})
        self.classifiers = nn.ModuleDict({name: nn.Linear(dim + nodes, emotions) for name in names})
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Linear(dim + nodes, dim)
        self.classifier = nn.Linear(dim, emotions)

    def forward(self, batch: DialogueBatch) -> SystemOutput:
        """Logits; losses `audio`, `text`; view `gate_audio` (B, U, 1), audio's weight."""
        there = present(batch)
        h, own, losses = [], [], {}
        for name, x, has in zip(("audio", "text"), streams(batch), there, strict=True):
            x = self.project[name](x)
            x = self.blocks[name](x, batch.mask, has)
            x = self.dropout(self.enhance[name](x))  # (B, U, D + nodes)
            h.append(x)
            own.append(self.classifiers[name](x))
            losses[name] = self.unimodal_weight * labelled_cross_entropy(own[-1], batch.label, has)
        weights = probability_guidance(torch.stack(own, 2), torch.stack(there, 2))  # (B, U, 2)
        fused = (weights[..., None].to(h[0].dtype) * torch.stack(h, 2)).sum(2)
        logits = self.classifier(self.dropout(torch.relu(self.hidden(fused))))
        return SystemOutput(logits, losses, views={"gate_audio": weights[..., :1].detach()})


class BidirectionalBlock(nn.Module):
    """LayerNorm(x + forward block + backward block), the latter over the dialogue in reverse."""

    def __init__(self, dim: int, state: int, dropout: float) -> None:
        super().__init__()
        self.forwards, self.backwards = SelectiveBlock(dim, state), SelectiveBlock(dim, state)
        self.norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor, there: Tensor) -> Tensor:
        """x (B, U, D), mask and there (B, U) bool -> (B, U, D)."""
        ahead = self.forwards(x, there)
        back = backwards(self.backwards(backwards(x, mask), backwards(there, mask)), mask)
        return self.norm(x + self.dropout(ahead + back))


class SelectiveBlock(nn.Module):
    """Expand, short causal convolution, selective scan, gate, contract (Gu and Dao, 2023, Fig. 3).

    Args:
        dim: D; E = 2D. state: N.
        kernel: of the convolution, turns.
    """

    def __init__(self, dim: int, state: int, kernel: int = 4) -> None:
        super().__init__()
        channels, self.rank, self.state = 2 * dim, max(dim // 16, 1), state
        self.expand = nn.Linear(dim, 2 * channels, bias=False)
        self.conv = nn.Conv1d(channels, channels, kernel, groups=channels, padding=kernel - 1)
        self.select = nn.Linear(channels, self.rank + 2 * state, bias=False)
        self.step = nn.Linear(self.rank, channels)
        self.log_A = nn.Parameter(torch.arange(1, state + 1).float().log().expand(channels, -1).clone())
        self.D = nn.Parameter(torch.ones(channels))
        self.contract = nn.Linear(channels, dim, bias=False)
        # Steps start between 0.001 and 0.1, as in the publication: memories of ten to a thousand turns.
        start = torch.exp(torch.rand(channels) * math.log(100) + math.log(1e-3))
        with torch.no_grad():
            self.step.bias.copy_(torch.log(torch.expm1(start)))  # the inverse of softplus

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        """x (B, U, D), there (B, U) bool -> (B, U, D); a turn that is not there leaves the state as it was."""
        u, gate = self.expand(torch.where(there[..., None], x, 0.0)).chunk(2, -1)  # (B, U, E)
        u = F.silu(self.conv(u.transpose(1, 2))[..., : x.shape[1]].transpose(1, 2))
        rank, B, C = self.select(u).split([self.rank, self.state, self.state], -1)
        delta = F.softplus(self.step(rank)) * there[..., None]
        y = selective_scan(u, delta, -self.log_A.exp(), B, C) + self.D * u
        return self.contract(y * F.silu(gate))


class EnhancementNodes(nn.Module):
    """[Z ; tanh(Z R + b)], Z = tanh(x): R orthogonal columns and b uniform, drawn once and never trained."""

    R: Tensor
    b: Tensor

    def __init__(self, dim: int, nodes: int) -> None:
        super().__init__()
        self.register_buffer("R", nn.init.orthogonal_(torch.empty(dim, nodes)))
        self.register_buffer("b", torch.empty(nodes).uniform_(-1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(..., dim) -> (..., dim + nodes)."""
        Z = torch.tanh(x)
        return torch.cat([Z, torch.tanh(Z @ self.R + self.b)], -1)


def probability_guidance(logits: Tensor, there: Tensor) -> Tensor:
    """Weights of the modalities: each one's highest class probability over their sum; a missing one weighs 0.

    Args:
        logits: (B, U, 2, C), of the modalities' own classifiers; no gradient goes to them from here.
        there: (B, U, 2) bool.

    Returns:
        (B, U, 2), summing to 1, or to 0 where neither is there.
    """
    sure = logits.detach().float().softmax(-1).amax(-1) * there
    return sure / sure.sum(-1, keepdim=True).clamp(min=1e-9)
