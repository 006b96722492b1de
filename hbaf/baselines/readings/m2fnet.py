"""M2FNet-style: transformers per modality, then attention that reads text by how well its audio fits. Our reading.

B dialogues, U utterances, D = dim.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from hbaf.baselines.attention import EncoderLayer, MultiHeadAttention
from hbaf.baselines.inputs import present, streams
from hbaf.model.batch import DialogueBatch, SystemOutput


class M2FNet(nn.Module):
    """Encoders over the dialogue with a skip connection, stacked fusion attention, two fully connected layers.

    Source: Chudasama et al., CVPR Workshops 2022; no official code, so a reading. Queries come from text, keys from
    audio, values from text. Layer counts and width are ours.
    Simplified to audio + text: no video; the audio vectors are the batch's, not of its triplet-trained network.

    Args:
        heads: a divisor of `dim`.
        encoder_layers: per modality. fusion_layers: of fusion attention.
        feedforward: width in the encoders; twice `dim` unless given.
    """

    reading: ClassVar[bool] = True
    source: ClassVar[str] = "Chudasama et al., CVPR Workshops 2022"

    def __init__(
        self,
        *,
        audio_dim: int,
        text_dim: int,
        commonsense_dim: int | None,
        emotions: int,
        dim: int = 512,
        dropout: float = 0.3,
        heads: int = 8,
        encoder_layers: int = 2,
        fusion_layers: int = 3,
        feedforward: int | None = None,
    ) -> None:
        super().__init__()
        wide = feedforward or 2 * dim

        def encoder() -> nn.ModuleList:
            return nn.ModuleList(EncoderLayer(dim, heads, wide, dropout) for _ in range(encoder_layers))

        self.audio_in, self.text_in = nn.Linear(audio_dim, dim), nn.Linear(text_dim, dim)
        self.audio, self.text = encoder(), encoder()
        self.fusion = nn.ModuleList(FusionAttention(dim, heads, dropout) for _ in range(fusion_layers))
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Linear(2 * dim, dim)
        self.classifier = nn.Linear(dim, emotions)

    def forward(self, batch: DialogueBatch) -> SystemOutput:
        """Logits; view `attention`, of the last fusion layer, (B, heads, U, U)."""
        audio, text = streams(batch)
        has_audio, has_text = present(batch)
        h_a = _encode(self.audio, self.audio_in(audio), has_audio)
        h_l = _encode(self.text, self.text_in(text), has_text)
        fused = h_l
        views = {}
        for layer in self.fusion:
            # Both are needed: an utterance is found by its audio and read for its text.
            fused, weights = layer(fused, h_a, has_audio & has_text)
            views["attention"] = weights.detach()
        h = torch.relu(self.hidden(self.dropout(torch.cat([fused, h_a], -1))))
        return SystemOutput(self.classifier(self.dropout(h)), views=views)


class FusionAttention(nn.Module):
    """LayerNorm(text + attention(query text, key audio, value text))."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(dim, heads, dropout)
        self.norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, text: Tensor, audio: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        """text, audio (B, U, D), keys (B, U) bool -> text (B, U, D), weights (B, heads, U, U)."""
        attended, weights = self.attention(text, audio, text, keys)
        return self.norm(text + self.dropout(attended)), weights


def _encode(layers: nn.ModuleList, x: Tensor, keys: Tensor) -> Tensor:
    h = x
    for layer in layers:
        h = layer(h, keys)
    return x + h
