"""SDT: transformers within and across modalities, gates at two levels, and self-distillation.

B dialogues, U utterances, D = dim, C emotions.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from hbaf.baselines.attention import EncoderLayer, masked_softmax
from hbaf.baselines.inputs import present, streams
from hbaf.baselines.objectives import distillation, labelled_cross_entropy
from hbaf.model.batch import DialogueBatch, SystemOutput

SPEAKERS = 9  # speakers with an embedding of their own; later ones share the last


class SDT(nn.Module):
    """Each modality becomes a view of itself and of the other; gated, joined, gated again across modalities.

    Source: Ma et al., IEEE Transactions on Multimedia 2023: width 1024, 8 heads, one layer, all loss weights 1.
    Simplified to audio + text: two transformers within and two across instead of three and six. The fused prediction
    teaches each modality's own and takes no gradient from it. A modality that is missing is no key and gets no
    share of the fusion.

    Args:
        heads: a divisor of `dim`.
        feedforward: width in the transformers; `dim` unless given.
        temperature: of the self-distillation.
        unimodal_weight, distillation_weight: of the modalities' cross-entropies and of the distillation.
    """

    reading: ClassVar[bool] = False
    source: ClassVar[str] = "Ma et al., IEEE TMM 2023"

    def __init__(
        self,
        *,
        audio_dim: int,
        text_dim: int,
        commonsense_dim: int | None,
        emotions: int,
        dim: int = 1024,
        dropout: float = 0.5,
        heads: int = 8,
        feedforward: int | None = None,
        temperature: float = 1.0,
        unimodal_weight: float = 1.0,
        distillation_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.unimodal_weight, self.distillation_weight = unimodal_weight, distillation_weight
        # A convolution of kernel 1 is a linear map of each utterance.
        self.project = nn.ModuleDict({"audio": nn.Linear(audio_dim, dim), "text": nn.Linear(text_dim, dim)})
        self.speaker = nn.Embedding(SPEAKERS, dim)
        names = ("audio", "text")
        wide = feedforward or dim
        self.within = nn.ModuleDict({name: EncoderLayer(dim, heads, wide, dropout) for name in names})
        self.across = nn.ModuleDict({name: EncoderLayer(dim, heads, wide, dropout) for name in names})
        self.gate_within = nn.ModuleDict({name: UnimodalGate(dim) for name in names})
        self.gate_across = nn.ModuleDict({name: UnimodalGate(dim) for name in names})
        self.reduce = nn.ModuleDict({name: nn.Linear(2 * dim, dim) for name in names})
        self.classifiers = nn.ModuleDict({name: nn.Linear(dim, emotions) for name in names})
        self.fusion = MultimodalGate(dim)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(dim, emotions)

    def forward(self, batch: DialogueBatch) -> SystemOutput:
        """Logits; losses `audio`, `text` and `audio_distilled`, `text_distilled`; view `gate_audio` (B, U, D)."""
        keys = dict(zip(("audio", "text"), present(batch), strict=True))
        x = dict(zip(("audio", "text"), streams(batch), strict=True))
        placed = self.speaker(batch.speaker.clamp(max=SPEAKERS - 1))
        placed = placed + positions(batch.mask.shape[1], placed.shape[-1], placed.device)
        x = {name: self.project[name](value) + placed for name, value in x.items()}
        h = {}
        for name, other in (("audio", "text"), ("text", "audio")):
            own = self.gate_within[name](self.within[name](x[name], keys[name]))
            foreign = self.gate_across[name](self.across[name](x[name], keys[other], x[other]))
            h[name] = self.reduce[name](torch.cat([own, foreign], -1))  # (B, U, D)
        fused, shares = self.fusion(torch.stack([h["audio"], h["text"]], 2), torch.stack(list(keys.values()), 2))
        logits = self.classifier(self.dropout(fused))
        losses = {}
        for name in h:
            alone = self.classifiers[name](self.dropout(torch.relu(h[name])))
            kl = distillation(alone, logits, keys[name], self.temperature)
            losses[name] = self.unimodal_weight * labelled_cross_entropy(alone, batch.label, keys[name])
            losses[f"{name}_distilled"] = self.distillation_weight * kl
        return SystemOutput(logits, losses, views={"gate_audio": shares[:, :, 0].detach()})


class UnimodalGate(nn.Module):
    """sigmoid(W x) * x: lets through, number by number, what a stream is sure of."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.W = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, U, D) -> (B, U, D)."""
        return self.W(x).sigmoid() * x


class MultimodalGate(nn.Module):
    """sum_m softmax_m(W h_m) * h_m, number by number, over the modalities that are there."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.W = nn.Linear(dim, dim, bias=False)

    def forward(self, h: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """h (B, U, 2, D), there (B, U, 2) bool -> fused (B, U, D), zero with neither; shares (B, U, 2, D) in [0, 1]."""
        scores = self.W(h).transpose(2, 3)  # (B, U, D, 2)
        shares = masked_softmax(scores, there[:, :, None]).transpose(2, 3)
        return (shares.to(h.dtype) * h).sum(2), shares


def positions(turns: int, dim: int, device: torch.device) -> Tensor:
    """Sinusoidal position embedding (U, D): sine in the first half of the numbers, cosine in the second."""
    rate = torch.exp(torch.arange(0, dim, 2, device=device) * (-torch.log(torch.tensor(10000.0)) / dim))
    angle = torch.arange(turns, device=device)[:, None] * rate  # (U, D / 2)
    return torch.cat([angle.sin(), angle.cos()], -1)[:, :dim]
