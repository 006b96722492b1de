"""Multi-modal fusion (Fig. 4, Eq. 7-17): bimodal attention, dynamic filter gate, residual.

B dialogues, U utterances, D model dimension. H_a, H_l are the streams, zeta_H what attention made of them.
"""

from typing import Literal

from torch import Tensor, nn

from hbaf.model.attention import attend

CrossDirection = Literal["literal", "crossed"]


class QueryKeyValue(nn.Module):
    """Q, K and V of one modality, without bias; self- and cross-attention share them."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.Q = nn.Linear(dim, dim, bias=False)
        self.K = nn.Linear(dim, dim, bias=False)
        self.V = nn.Linear(dim, dim, bias=False)


class BimodalAttention(nn.Module):
    """Self-attention of each stream and cross-attention in both directions, Eq. 7-9."""

    def __init__(self, dim: int, heads: int = 1) -> None:
        super().__init__()
        _check_heads(dim, heads)
        self.heads = heads
        self.audio = QueryKeyValue(dim)
        self.text = QueryKeyValue(dim)

    def forward(
        self, H_a: Tensor, H_l: Tensor, audio_keys: Tensor, text_keys: Tensor
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Four attended streams and their weights.

        Args:
            H_a, H_l: (B, U, D).
            audio_keys, text_keys: (B, U) bool, True where that stream may be attended to.

        Returns:
            zeta_H (B, U, D) and weights (B, heads, U, U), each by the names `audio`, `text` (self),
            `audio_to_text` (audio queries, text keys and values) and `text_to_audio`.
        """
        Q_a, K_a, V_a = self.audio.Q(H_a), self.audio.K(H_a), self.audio.V(H_a)
        Q_l, K_l, V_l = self.text.Q(H_l), self.text.K(H_l), self.text.V(H_l)
        both = {
            "audio": attend(Q_a, K_a, V_a, audio_keys, self.heads),
            "text": attend(Q_l, K_l, V_l, text_keys, self.heads),
            "audio_to_text": attend(Q_a, K_l, V_l, text_keys, self.heads),
            "text_to_audio": attend(Q_l, K_a, V_a, audio_keys, self.heads),
        }
        return {name: zeta for name, (zeta, _) in both.items()}, {name: weights for name, (_, weights) in both.items()}


class DynamicFilterGate(nn.Module):
    """How much each number of a stream keeps of its own view, Eq. 10-13."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.W_s = nn.Linear(dim, dim)  # its bias is b
        self.W_c = nn.Linear(dim, dim, bias=False)

    def forward(self, zeta: Tensor, cross: Tensor) -> tuple[Tensor, Tensor]:
        """Self view and cross view (B, U, D) -> H* (B, U, D) and the gate (B, U, D)."""
        G = (self.W_s(zeta) + self.W_c(cross)).sigmoid()  # in (0, 1): 1 keeps the stream's own view
        return G * zeta + (1 - G) * cross, G


class Residual(nn.Module):
    """Adds what fusion found to the stream, Eq. 14-17; the circled plus is addition.

    With `pre_norm` the two normalisations stand before what they feed instead of after the sums: fusion reads
    `before(H)`, and the feed-forward part norm2 of the first sum.
    """

    def __init__(self, dim: int, feedforward: int, dropout: float, pre_norm: bool = False) -> None:
        super().__init__()
        self.pre_norm = pre_norm
        self.norm1 = nn.LayerNorm(dim)
        self.feedforward = nn.Sequential(nn.Linear(dim, feedforward), nn.ReLU(), nn.Linear(feedforward, dim))
        self.norm2 = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, H: Tensor, H_star: Tensor) -> Tensor:
        """Stream H and fused H*, both (B, U, D) -> h (B, U, D)."""
        if self.pre_norm:
            H = H + self.dropout(H_star)
            return H + self.dropout(self.feedforward(self.norm2(H)))
        H_LN = self.norm1(H + self.dropout(H_star))
        return self.norm2(H_LN + self.dropout(self.feedforward(H_LN)))

    def before(self, H: Tensor) -> Tensor:
        """What fusion reads of the stream: itself, or normalised."""
        return self.norm1(H) if self.pre_norm else H


class MultiModalFusion(nn.Module):
    """Two streams in, two fused streams out.

    Args:
        dim: D, divisible by `heads`.
        heads: of the bimodal attention.
        feedforward, dropout, pre_norm: of the residual part.
        cross_direction: which cross view gates a stream. `literal`: for audio, audio values weighted by text queries
            (zeta_H_{l-a}); `crossed`: for audio, text values weighted by audio queries (zeta_H_{a-l}). Text mirrored.
        bimodal_attention: False: the stream itself is its self view, the other stream its cross view.
        gate: False: the mean of self and cross view.
        residual: False: h = H*.
    """

    def __init__(
        self,
        dim: int = 512,
        *,
        heads: int = 1,
        feedforward: int = 2048,
        dropout: float = 0.1,
        cross_direction: CrossDirection = "literal",
        bimodal_attention: bool = True,
        gate: bool = True,
        residual: bool = True,
        pre_norm: bool = False,
    ) -> None:
        super().__init__()
        self.cross_direction = cross_direction
        self.attention = BimodalAttention(dim, heads) if bimodal_attention else None
        self.gate_audio = DynamicFilterGate(dim) if gate else None
        self.gate_text = DynamicFilterGate(dim) if gate else None
        self.residual_audio = Residual(dim, feedforward, dropout, pre_norm) if residual else None
        self.residual_text = Residual(dim, feedforward, dropout, pre_norm) if residual else None

    def forward(
        self, H_a: Tensor, H_l: Tensor, audio_keys: Tensor, text_keys: Tensor
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """h_a, h_l (B, U, D) and the views: `gate_*` (B, U, D), `attention_*` (B, heads, U, U), as far as built."""
        views: dict[str, Tensor] = {}
        read_a = H_a if self.residual_audio is None else self.residual_audio.before(H_a)
        read_l = H_l if self.residual_text is None else self.residual_text.before(H_l)
        if self.attention is None:
            self_a, self_l, cross_a, cross_l = read_a, read_l, read_l, read_a
        else:
            zeta, weights = self.attention(read_a, read_l, audio_keys, text_keys)
            views = {f"attention_{name}": value for name, value in weights.items()}
            self_a, self_l = zeta["audio"], zeta["text"]
            cross_a, cross_l = zeta["text_to_audio"], zeta["audio_to_text"]
            if self.cross_direction == "crossed":
                cross_a, cross_l = cross_l, cross_a
        if self.gate_audio is None or self.gate_text is None:
            star_a, star_l = (self_a + cross_a) / 2, (self_l + cross_l) / 2
        else:
            star_a, views["gate_audio"] = self.gate_audio(self_a, cross_a)
            star_l, views["gate_text"] = self.gate_text(self_l, cross_l)
        if self.residual_audio is None or self.residual_text is None:
            return star_a, star_l, views
        return self.residual_audio(H_a, star_a), self.residual_text(H_l, star_l), views


class UniModalFusion(nn.Module):
    """What is left of fusion for a single stream: self-attention and residual, Eq. 7 and 14-17."""

    def __init__(
        self,
        dim: int = 512,
        *,
        heads: int = 1,
        feedforward: int = 2048,
        dropout: float = 0.1,
        bimodal_attention: bool = True,
        residual: bool = True,
        pre_norm: bool = False,
    ) -> None:
        super().__init__()
        _check_heads(dim, heads)
        self.heads = heads
        self.attention = QueryKeyValue(dim) if bimodal_attention else None
        self.residual = Residual(dim, feedforward, dropout, pre_norm) if residual else None

    def forward(self, H: Tensor, keys: Tensor) -> tuple[Tensor, Tensor | None]:
        """H (B, U, D), keys (B, U) bool -> h (B, U, D) and the weights (B, heads, U, U), None without attention."""
        read = H if self.residual is None else self.residual.before(H)
        zeta, weights = read, None
        if self.attention is not None:
            Q, K, V = self.attention.Q(read), self.attention.K(read), self.attention.V(read)
            zeta, weights = attend(Q, K, V, keys, self.heads)
        return (zeta if self.residual is None else self.residual(H, zeta)), weights


def _check_heads(dim: int, heads: int) -> None:
    if dim % heads:
        raise ValueError(f"dim must be divisible by fusion_heads; {dim} is not by {heads}.")
