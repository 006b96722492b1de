"""AGF-IB-style: modalities made alike by an adversary, joined in a graph, squeezed through a bottleneck. Our reading.

B dialogues, U utterances, D = dim, N utterances with a label.
"""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hbaf.baselines.graph_attention import GraphAttention, near, two_modalities
from hbaf.baselines.inputs import present, streams
from hbaf.baselines.similarity import cosines
from hbaf.model.batch import UNLABELLED, DialogueBatch, SystemOutput


class AGFIB(nn.Module):
    """Adversarial alignment, graph fusion, contrast between emotions, information bottleneck.

    Source: Shou et al., 2024, "Adversarial alignment and graph fusion via information bottleneck"; the code that
    goes by its name holds neither the contrastive loss nor the bottleneck, so a reading.
    Simplified to audio + text: one discriminator tells both modalities apart; gradient reversal in place of
    alternating steps. All weights below are ours.

    Args:
        heads: a divisor of `dim`.
        layers: of graph attention.
        window: turns to either side that are joined in the graph.
        adversarial_weight, contrast_weight, beta: of the discriminator's loss, the contrast, and the bottleneck's KL.
        tau: temperature of the contrast.
    """

    reading: ClassVar[bool] = True
    source: ClassVar[str] = "Shou et al., 2024 (AGF-IB)"

    def __init__(
        self,
        *,
        audio_dim: int,
        text_dim: int,
        commonsense_dim: int | None,
        emotions: int,
        dim: int = 256,
        dropout: float = 0.3,
        heads: int = 4,
        layers: int = 2,
        window: int = 8,
        adversarial_weight: float = 0.1,
        contrast_weight: float = 0.1,
        beta: float = 1e-3,
        tau: float = 0.2,
    ) -> None:
        super().__init__()
        self.window, self.tau = window, tau
        self.weights = {"adversarial": adversarial_weight, "contrast": contrast_weight, "bottleneck": beta}
        self.audio, self.text = _encoder(audio_dim, dim, dropout), _encoder(text_dim, dim, dropout)
        self.discriminator = nn.Sequential(nn.Linear(dim, dim), nn.LeakyReLU(0.2), nn.Linear(dim, 1))
        self.graph = nn.ModuleList(GraphAttention(dim, heads, dropout) for _ in range(layers))
        self.dropout = nn.Dropout(dropout)
        self.mu = nn.Linear(2 * dim, dim)
        self.log_variance = nn.Linear(2 * dim, dim)
        self.classifier = nn.Linear(dim, emotions)

    def forward(self, batch: DialogueBatch) -> SystemOutput:
        """Logits of a drawn code while training, of its mean otherwise; losses and terms by the names of `weights`."""
        audio, text = streams(batch)
        has_audio, has_text = present(batch)
        h_a, h_l = self.audio(audio), self.text(text)
        terms = {"adversarial": self._adversary(h_a[has_audio], h_l[has_text])}
        edges = two_modalities(near(has_audio, self.window), near(has_text, self.window), has_audio, has_text)
        nodes = torch.cat([h_a, h_l], 1)
        for layer in self.graph:
            nodes, _ = layer(nodes, edges)
        h = self.dropout(torch.cat(nodes.chunk(2, 1), -1))  # (B, U, 2D)
        mu, log_variance = self.mu(h), self.log_variance(h).clamp(-10.0, 10.0)
        z = mu + torch.randn_like(mu) * (log_variance / 2).exp() if self.training else mu
        at = batch.mask & (batch.label != UNLABELLED)
        terms["contrast"] = supervised_contrast(h[at], batch.label[at], self.tau)
        terms["bottleneck"] = gaussian_kl(mu[batch.mask], log_variance[batch.mask])
        losses = {name: self.weights[name] * term for name, term in terms.items()}
        return SystemOutput(self.classifier(z), losses, {name: term.detach() for name, term in terms.items()})

    def _adversary(self, h_a: Tensor, h_l: Tensor) -> Tensor:
        """Cross-entropy of "is this audio?"; the encoders get its gradient reversed. 0 where a modality is absent."""
        if not len(h_a) or not len(h_l):
            return (h_a.sum() + h_l.sum()) * 0.0
        guess = self.discriminator(reverse_gradient(torch.cat([h_a, h_l])))[:, 0].float()
        truth = torch.cat([torch.ones(len(h_a)), torch.zeros(len(h_l))]).to(guess)
        return F.binary_cross_entropy_with_logits(guess, truth)


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return -gradients[0]


def reverse_gradient(x: Tensor) -> Tensor:
    """x; what flows back is multiplied by -1, so that what makes x works against what reads it."""
    return _Reversal.apply(x)


def supervised_contrast(h: Tensor, label: Tensor, tau: float) -> Tensor:
    """Utterances of one emotion together, others apart (Khosla et al., NeurIPS 2020), by cosine similarity.

    Args:
        h: (N, D). label: (N) int64, all labelled.

    Returns:
        Mean over utterances that have another one of their emotion; 0 where none has.
    """
    others = ~torch.eye(len(h), dtype=torch.bool, device=h.device)
    alike = (label[:, None] == label[None, :]) & others
    anchors = alike.any(1)
    if not anchors.any():
        return h.sum() * 0.0
    scores = (cosines(h, h) / tau).masked_fill(~others, torch.finfo(torch.float32).min)
    log_probability = F.log_softmax(scores, -1)
    mean = torch.where(alike, log_probability, 0.0).sum(1)[anchors] / alike.sum(1)[anchors]
    return -mean.mean()


def gaussian_kl(mu: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mu, sigma^2) || N(0, 1)) = (mu^2 + sigma^2 - log sigma^2 - 1) / 2, summed over D, mean over N."""
    mu, log_variance = mu.float(), log_variance.float()
    return (mu.square() + log_variance.exp() - log_variance - 1).sum() / (2 * max(len(mu), 1))


def _encoder(inputs: int, dim: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, dim), nn.ReLU(), nn.Dropout(dropout), nn.Linear(dim, dim))
