"""HGraph-CL-style: a graph per modality, then one over both, each level with its contrastive loss. Our reading.

B dialogues, U utterances, D = dim.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from hbaf.baselines.graph_attention import GraphAttention, near, two_modalities
from hbaf.baselines.inputs import present, streams
from hbaf.baselines.objectives import info_nce
from hbaf.model.batch import DialogueBatch, SystemOutput


class HGraphCL(nn.Module):
    """Hierarchical graph contrastive learning with utterances as nodes.

    Source: Lin et al., COLING 2022; no code found, and its task is the sentiment of single clips, so a reading.
    Simplified to audio + text: each modality is a graph over the dialogue with edges between near turns and between
    turns of one speaker; two augmented views of it, edges and features dropped, are drawn together by InfoNCE. Then
    one graph over both modalities, with edges between both nodes of one utterance, and InfoNCE across modalities.
    Views are drawn while training only, so that a prediction is the same each time.

    Args:
        heads: a divisor of `dim`.
        window: turns to either side that are joined.
        drop: chance that an edge, and that a number of a node, is dropped in a view.
        tau: temperature.
        within_weight, across_weight: of the two contrastive losses.
    """

    reading: ClassVar[bool] = True
    source: ClassVar[str] = "Lin et al., COLING 2022"

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
        window: int = 5,
        drop: float = 0.2,
        tau: float = 0.2,
        within_weight: float = 0.1,
        across_weight: float = 0.1,
    ) -> None:
        super().__init__()
        self.window, self.drop, self.tau = window, drop, tau
        self.within_weight, self.across_weight = within_weight, across_weight
        self.project = nn.ModuleDict({"audio": nn.Linear(audio_dim, dim), "text": nn.Linear(text_dim, dim)})
        self.within = nn.ModuleDict({name: GraphAttention(dim, heads, dropout) for name in ("audio", "text")})
        self.across = GraphAttention(dim, heads, dropout)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(2 * dim, emotions)

    def forward(self, batch: DialogueBatch) -> SystemOutput:
        """Logits; losses `audio_views` and `text_views` (training only) and `across`; terms, unweighted."""
        there = dict(zip(("audio", "text"), present(batch), strict=True))
        h, edges, terms = {}, {}, {}
        for name, x in zip(there, streams(batch), strict=True):
            nodes = self.dropout(torch.relu(self.project[name](x)))
            edges[name] = speaker_edges(batch.speaker, there[name], self.window)
            h[name], _ = self.within[name](nodes, edges[name])
            if self.training:
                first, second = (self._view(name, nodes, edges[name])[there[name]] for _ in range(2))
                terms[f"{name}_views"] = info_nce(first, second, self.tau)
        near_edges = {name: near(there[name], self.window) for name in there}
        joined = two_modalities(near_edges["audio"], near_edges["text"], there["audio"], there["text"])
        nodes, weights = self.across(torch.cat([h["audio"], h["text"]], 1), joined)
        h_a, h_l = nodes.chunk(2, 1)
        both = there["audio"] & there["text"]
        terms["across"] = info_nce(h_a[both], h_l[both], self.tau)
        losses = {
            name: (self.across_weight if name == "across" else self.within_weight) * term
            for name, term in terms.items()
        }
        logits = self.classifier(self.dropout(torch.cat([h_a, h_l], -1)))
        shown = {f"contrastive_{name}": term.detach() for name, term in terms.items()}
        return SystemOutput(logits, losses, shown, {"attention": weights.detach()})

    def _view(self, name: str, nodes: Tensor, edges: Tensor) -> Tensor:
        """One augmented view of a modality's graph, through the same attention."""
        kept = edges & (torch.rand(edges.shape, device=edges.device) >= self.drop)
        itself = edges & torch.eye(edges.shape[1], dtype=torch.bool, device=edges.device)
        numbers = torch.rand(nodes.shape, device=nodes.device) >= self.drop
        return self.within[name](nodes * numbers, kept | itself)[0]


def speaker_edges(speaker: Tensor, there: Tensor, window: int) -> Tensor:
    """(B, U, U) bool: near turns, and all turns of one speaker, among the nodes that are there."""
    same = (speaker[:, :, None] == speaker[:, None, :]) & there[:, :, None] & there[:, None, :]
    return near(there, window) | same
