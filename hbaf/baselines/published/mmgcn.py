"""MMGCN: one graph over a dialogue whose nodes are (utterance, modality), deep graph convolution.

B dialogues, U utterances, D = dim, V = 2U nodes: audio 0..U-1, text U..2U-1.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from hbaf.baselines.inputs import present, streams
from hbaf.baselines.similarity import cosines
from hbaf.model.audio_context import bidirectional
from hbaf.model.batch import DialogueBatch, SystemOutput

SPEAKERS = 9  # speakers with an embedding of their own; later ones share the last


class MMGCN(nn.Module):
    """Modality encoders, speaker embedding, four GCNII layers over the multimodal graph, classifier.

    Source: Hu et al., ACL 2021: 4 layers, alpha 0.2, lambda 0.5; text through a BiLSTM, audio through a linear layer.
    Simplified to audio + text: two modalities instead of three. A node whose modality is missing has no edge but to
    itself. Width and dropout of the published script: 200 and 0.4; its focal loss is a setting of the training.

    Args:
        dim: D, even (the BiLSTM has half of it per direction).
        layers: of graph convolution.
        alpha: share of the first layer's input in each layer, 0..1.
        identity: lambda, how much each layer's weight departs from the identity.
    """

    reading: ClassVar[bool] = False
    source: ClassVar[str] = "Hu et al., ACL 2021"

    def __init__(
        self,
        *,
        audio_dim: int,
        text_dim: int,
        commonsense_dim: int | None,
        emotions: int,
        dim: int = 200,
        dropout: float = 0.4,
        layers: int = 4,
        alpha: float = 0.2,
        identity: float = 0.5,
    ) -> None:
        super().__init__()
        if dim % 2:
            raise ValueError(f"dim must be even, half of it per direction of the LSTM; it is {dim}.")
        self.alpha, self.identity = alpha, identity
        self.audio = nn.Linear(audio_dim, dim)
        self.text_in = nn.Linear(text_dim, dim)
        self.text = nn.LSTM(dim, dim // 2, batch_first=True, bidirectional=True)
        self.speaker = nn.Embedding(SPEAKERS, dim)
        self.input = nn.Linear(dim, dim)
        self.layers = nn.ModuleList(nn.Linear(dim, dim, bias=False) for _ in range(layers))
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(4 * dim, emotions)

    def forward(self, batch: DialogueBatch) -> SystemOutput:
        """Logits; view `edges` (B, 1, 2U, 2U), the normalised weights."""
        audio, text = streams(batch)
        who = self.speaker(batch.speaker.clamp(max=SPEAKERS - 1))
        h_a = self.audio(audio) + who  # (B, U, D)
        h_l = bidirectional(self.text, self.text_in(text), batch.mask.sum(1).clamp(min=1)) + who
        nodes = torch.cat([h_a, h_l], 1)  # (B, V, D)
        P = normalised(edge_weights(nodes, edges(*present(batch))))
        H = self._convolve(nodes, P)
        turns = batch.mask.shape[1]
        read = torch.cat([H[:, :turns], h_a, H[:, turns:], h_l], -1)  # (B, U, 4D)
        return SystemOutput(self.classifier(self.dropout(read)), views={"edges": P[:, None].detach()})

    def _convolve(self, nodes: Tensor, P: Tensor) -> Tensor:
        """GCNII: H <- ReLU(S + beta_k (S W_k - S)), S = (1 - alpha) P H + alpha H_0, beta_k = ln(lambda / k + 1)."""
        H = H_0 = torch.relu(self.input(self.dropout(nodes)))
        for number, W in enumerate(self.layers, 1):
            beta = math.log(self.identity / number + 1)
            S = (1 - self.alpha) * (P.to(H.dtype) @ self.dropout(H)) + self.alpha * H_0
            H = torch.relu((1 - beta) * S + beta * W(S))
        return self.dropout(H)


def edges(has_audio: Tensor, has_text: Tensor) -> Tensor:
    """(B, U) bool each -> (B, 2U, 2U) bool: all utterances of one modality, both modalities of one utterance, itself.

    A missing node, and padding, is joined to itself alone.
    """
    there = torch.cat([has_audio, has_text], 1)
    turns = has_audio.shape[1]
    node = torch.arange(2 * turns, device=there.device)
    same_modality = (node[:, None] < turns) == (node[None, :] < turns)
    same_utterance = node[:, None] % turns == node[None, :] % turns
    joined = (same_modality | same_utterance) & there[:, :, None] & there[:, None, :]
    return joined | torch.eye(2 * turns, dtype=torch.bool, device=there.device)


def edge_weights(nodes: Tensor, joined: Tensor) -> Tensor:
    """1 - arccos(cos(a, b)) / pi where `joined`, else 0: 1 for equal directions, 0.5 for right angles; (B, V, V)."""
    # arccos is infinitely steep at -1 and 1.
    cosine = cosines(nodes, nodes).clamp(-1 + 1e-5, 1 - 1e-5)
    itself = torch.eye(nodes.shape[1], dtype=torch.bool, device=nodes.device)
    return torch.where(itself, 1.0, torch.where(joined, 1 - cosine.arccos() / math.pi, 0.0))


def normalised(weights: Tensor) -> Tensor:
    """D^-1/2 A D^-1/2 with the degrees D = sum of a row; a row is never empty, for each node is joined to itself."""
    scale = weights.sum(-1).rsqrt()
    return scale[:, :, None] * weights * scale[:, None, :]
