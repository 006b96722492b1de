"""Inter-modal contrastive learning (Fig. 5, Eq. 18-21).

K utterances that have what a term compares, D model dimension. Padding never enters.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hbaf.model.batch import UNLABELLED

Anchor = Literal["equation", "prose"]
FusedView = Literal["projection", "zero_pad", "tile"]


def info_nce(
    anchor: Tensor,
    positive: Tensor,
    tau: float,
    negatives: Tensor | None = None,
    allowed: Tensor | None = None,
    others: Tensor | None = None,
) -> Tensor:
    """InfoNCE with cosine similarity: each anchor is to find its own positive among all of them.

    Args:
        anchor, positive: (K, D); row k of one belongs to row k of the other.
        tau: temperature, above 0.
        negatives: (N, D) further vectors in the denominator, beside the K - 1 other positives.
        allowed: (K, N) bool, False where a negative belongs to the anchor's own utterance. Default: all True.
        others: (K, K) bool, False where another utterance's positive is no negative; the diagonal does not matter.
            Default: all True.

    Returns:
        Scalar >= 0, the mean over anchors. Without `negatives`: log K when all vectors are equal, 0 for K = 1. 0 for
        K = 0, still joined to the graph.
    """
    if not len(anchor):
        return (anchor.sum() + positive.sum()) * 0.0
    # bf16 keeps two to three digits, which 1 / tau would magnify.
    with torch.autocast(anchor.device.type, enabled=False):
        logits = _cosine(anchor, positive) / tau  # (K, K)
        if others is not None:
            itself = torch.eye(len(anchor), dtype=torch.bool, device=anchor.device)
            logits = logits.masked_fill(~(others | itself), -torch.inf)
        if negatives is not None:
            further = _cosine(anchor, negatives) / tau  # (K, N)
            if allowed is not None:
                further = further.masked_fill(~allowed, -torch.inf)
            logits = torch.cat([logits, further], 1)
        return F.cross_entropy(logits, torch.arange(len(anchor), device=anchor.device))


def comparable_views(
    h_a: Tensor, h_l: Tensor, h_m: Tensor, fused_view: FusedView, projection: nn.Module | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Brings h_a, h_l (K, D) and h_m (K, 2D) to one width.

    Returns:
        Audio, text and fused views. `projection`: h_m through the given 2D -> D map. `zero_pad`: [h_a ; 0] and
        [0 ; h_l], each in its own half of h_m. `tile`: [h_a ; h_a] and [h_l ; h_l].
    """
    if fused_view == "projection":
        if projection is None:
            raise ValueError('the fused view "projection" needs the map from 2D to D')
        return h_a, h_l, projection(h_m)
    if fused_view == "zero_pad":
        return torch.cat([h_a, torch.zeros_like(h_a)], -1), torch.cat([torch.zeros_like(h_l), h_l], -1), h_m
    return torch.cat([h_a, h_a], -1), torch.cat([h_l, h_l], -1), h_m


def supervised_contrast(h: Tensor, label: Tensor, tau: float) -> Tensor:
    """Supervised contrastive loss (Khosla et al., NeurIPS 2020, L_out): each vector is to find those of its own label.

    Args:
        h: (K, D). label: (K,) class indices, all of them labels.
        tau: temperature, above 0.

    Returns:
        Scalar >= 0: the mean over vectors that have a fellow, of the mean over fellows of -log softmax of the cosine
        among the K - 1 others. log(K - 1) when all vectors are equal; 0 where nobody has a fellow, still in the graph.
    """
    itself = torch.eye(len(h), dtype=torch.bool, device=h.device)
    fellows = (label[:, None] == label[None, :]) & ~itself  # (K, K)
    count = fellows.sum(1)
    if not count.any():
        return h.sum() * 0.0
    with torch.autocast(h.device.type, enabled=False):
        logits = (_cosine(h, h) / tau).masked_fill(itself, -torch.inf)
        found = logits.log_softmax(1).masked_fill(~fellows, 0.0).sum(1)
    return -(found / count.clamp(min=1))[count > 0].mean()


class InterModalContrast(nn.Module):
    """mu * (lambda1 L_{a,m} + lambda2 L_{l,m} + lambda3 L_{a,l}), Eq. 21 and its share in Eq. 23.

    Args:
        dim: D.
        anchor: `equation`: h_a and h_l look for their h_m; `prose`: h_m looks for its h_a and its h_l among those of
            all other utterances, of both modalities. L_{a,l} is the same in both.
        fused_view: see `comparable_views`.
        mu, lambda1, lambda2, lambda3: weights; a term of weight 0 is not computed.
        tau: temperature.
        symmetric: each term is the mean of both directions: what was looked for looks for its anchor too.
        heads: compare projections of h_a, h_l and h_m by a hidden layer each (Chen et al., ICML 2020), which the
            classifier does not read, so that it keeps what alignment would take away. In place of `fused_view`.
        same_label_negatives: False: an utterance of the same emotion is no negative.
    """

    def __init__(
        self,
        dim: int = 512,
        *,
        anchor: Anchor = "equation",
        fused_view: FusedView = "projection",
        mu: float = 0.2,
        lambda1: float = 1.0,
        lambda2: float = 1.0,
        lambda3: float = 1.0,
        tau: float = 0.1,
        symmetric: bool = False,
        heads: bool = False,
        same_label_negatives: bool = True,
    ) -> None:
        super().__init__()
        self.symmetric = symmetric
        self.same_label_negatives = same_label_negatives
        self.anchor = anchor
        self.fused_view = fused_view
        self.tau = tau
        self.weights = {"audio_fused": mu * lambda1, "text_fused": mu * lambda2, "audio_text": mu * lambda3}
        compares_fused = self.weights["audio_fused"] > 0 or self.weights["text_fused"] > 0
        self.compares_fused = compares_fused
        # One map for both terms: with two, each could select its own half of h_m and nothing would be aligned.
        project = compares_fused and fused_view == "projection" and not heads
        self.projection = nn.Linear(2 * dim, dim, bias=False) if project else None
        widths = {"audio": dim, "text": dim} | ({"fused": 2 * dim} if compares_fused else {})
        self.heads = (
            nn.ModuleDict(
                {
                    name: nn.Sequential(nn.Linear(width, dim), nn.ReLU(), nn.Linear(dim, dim))
                    for name, width in widths.items()
                    # Without a term that reads it, nothing would teach it.
                    if name == "fused" or self.weights["audio_text"] > 0 or self.weights[f"{name}_fused"] > 0
                }
            )
            if heads
            else None
        )

    def forward(
        self,
        h_a: Tensor,
        h_l: Tensor,
        h_m: Tensor,
        has_audio: Tensor,
        has_text: Tensor,
        label: Tensor | None = None,
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Weighted losses and unweighted terms.

        Args:
            h_a, h_l: (B, U, D). h_m: (B, U, 2D).
            has_audio, has_text: (B, U) bool, True on real utterances with that modality.
            label: (B, U) with `UNLABELLED`, read where utterances of the same label are no negatives.

        Returns:
            losses by `audio_fused`, `text_fused`, `audio_text`; terms by the same names after `contrastive_`,
            detached. A term without a pair or without weight is absent from both.
        """
        terms = {
            name: term
            for name, term in self._terms(h_a, h_l, h_m, has_audio, has_text, label).items()
            if self.weights[name] > 0
        }
        losses = {name: self.weights[name] * term for name, term in terms.items()}
        return losses, {f"contrastive_{name}": term.detach() for name, term in terms.items()}

    def _terms(
        self, h_a: Tensor, h_l: Tensor, h_m: Tensor, has_audio: Tensor, has_text: Tensor, label: Tensor | None
    ) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = {}
        if self.heads is not None:
            h_a, h_l = (self.heads[n](h) if n in self.heads else h for n, h in (("audio", h_a), ("text", h_l)))
        both = has_audio & has_text
        if both.any():
            terms["audio_text"] = self._pairs(h_a[both], h_l[both], self._others(label, both))
        if not self.compares_fused:
            return terms
        if self.heads is not None:
            audio, text, fused = h_a, h_l, self.heads["fused"](h_m)
        else:
            audio, text, fused = comparable_views(h_a, h_l, h_m, self.fused_view, self.projection)
        for name, own, other, has_own, has_other in (
            ("audio_fused", audio, text, has_audio, has_text),
            ("text_fused", text, audio, has_text, has_audio),
        ):
            if not has_own.any():
                continue
            others = self._others(label, has_own)
            if self.anchor == "equation":
                terms[name] = self._pairs(own[has_own], fused[has_own], others)
            else:
                # h_l of the anchor's own utterance is no negative: it is the positive of the other term.
                place = torch.arange(has_own.numel(), device=own.device).view_as(has_own)
                allowed = place[has_own][:, None] != place[has_other][None, :]
                if (unlike := self._others(label, has_own, has_other)) is not None:
                    allowed &= unlike
                terms[name] = info_nce(fused[has_own], own[has_own], self.tau, other[has_other], allowed, others)
                if self.symmetric:
                    back = info_nce(own[has_own], fused[has_own], self.tau, others=others)
                    terms[name] = (terms[name] + back) / 2
        return terms

    def _others(self, label: Tensor | None, rows: Tensor, columns: Tensor | None = None) -> Tensor | None:
        """(K, N) bool, False where two utterances carry the same emotion; None where all count as negatives."""
        if self.same_label_negatives or label is None:
            return None
        row, column = label[rows], label[rows if columns is None else columns]
        return (row[:, None] != column[None, :]) | (row == UNLABELLED)[:, None]

    def _pairs(self, anchor: Tensor, positive: Tensor, others: Tensor | None) -> Tensor:
        there = info_nce(anchor, positive, self.tau, others=others)
        return (there + info_nce(positive, anchor, self.tau, others=others)) / 2 if self.symmetric else there


def _cosine(x: Tensor, y: Tensor) -> Tensor:
    wide = torch.promote_types(x.dtype, torch.float32)
    return F.normalize(x.to(wide), dim=-1) @ F.normalize(y.to(wide), dim=-1).T
