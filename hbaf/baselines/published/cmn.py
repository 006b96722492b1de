"""CMN: conversational memory network, several hops over the own and the others' history.

B dialogues, U utterances, D = dim.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from hbaf.baselines.attention import masked_softmax
from hbaf.baselines.inputs import joined
from hbaf.baselines.turns import SpeakerTurns
from hbaf.model.batch import DialogueBatch, SystemOutput

ROLES = 2  # who speaks now, and all others


class CMN(nn.Module):
    """Query q = the utterance; at each hop it reads the memories of who speaks and of the others: q <- tanh(q + o).

    Source: Hazarika et al., NAACL 2018; window of 40 turns, 3 hops, width 100. The last hop is read as it is:
    the classifier sees q + o.
    Simplified to audio + text: utterance vectors, [audio ; text] through one linear map. The publication has two
    speakers; here "others" is everyone else, each with a GRU state of their own. Its GRUs start anew in each window;
    here a speaker's GRU runs once over the dialogue and the window limits what is read, so that no turn is encoded
    twice. Output memory of one hop is input memory of the next (adjacent tying), so `hops` + 1 GRUs per role.
    """

    reading: ClassVar[bool] = False
    source: ClassVar[str] = "Hazarika et al., NAACL 2018"

    def __init__(
        self,
        *,
        audio_dim: int,
        text_dim: int,
        commonsense_dim: int | None,
        emotions: int,
        dim: int = 100,
        dropout: float = 0.3,
        hops: int = 3,
        window: int = 40,
    ) -> None:
        super().__init__()
        self.hops, self.window = hops, window
        self.project = nn.Linear(audio_dim + text_dim, dim)
        self.memories = nn.ModuleList(nn.GRU(dim, dim, batch_first=True) for _ in range(ROLES * (hops + 1)))
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(dim, emotions)

    def forward(self, batch: DialogueBatch) -> SystemOutput:
        """Logits; view `attention_own`, `attention_others` (B, hops, U, U)."""
        u = self.dropout(torch.tanh(self.project(joined(batch))))  # (B, U, D)
        turns = SpeakerTurns(batch.speaker, batch.mask)
        sequences = turns.split(u)
        # A padded tail follows a speaker's last turn, and a GRU in one direction does not look there.
        memories = [turns.merge(gru(sequences)[0]) for gru in self.memories]  # ROLES * (hops + 1) of (B, U, D)
        history = histories(batch, self.window)
        by_role = memories[: self.hops + 1], memories[self.hops + 1 :]
        read, weights = hop(u, by_role, history)
        views = {
            f"attention_{name}": torch.stack(part, 1).detach()
            for name, part in zip(("own", "others"), weights, strict=True)
        }
        return SystemOutput(self.classifier(self.dropout(read)), views=views)


def histories(batch: DialogueBatch, window: int) -> tuple[Tensor, Tensor]:
    """Which earlier turns are the speaker's own, and which the others', among the last `window`: (B, U, U) bool each.

    An utterance of which neither audio nor text is there is nobody's memory.
    """
    turn = torch.arange(batch.mask.shape[1], device=batch.mask.device)
    ago = turn[:, None] - turn[None, :]
    real = (batch.mask & (batch.has_audio | batch.has_text))[:, None]
    earlier = ((ago > 0) & (ago <= window))[None] & real
    own = batch.speaker[:, :, None] == batch.speaker[:, None, :]
    return earlier & own, earlier & ~own


def hop(
    q: Tensor, memories: tuple[list[Tensor], list[Tensor]], history: tuple[Tensor, Tensor]
) -> tuple[Tensor, tuple[list[Tensor], list[Tensor]]]:
    """All hops: m = softmax(M_r q), o = sum m M_{r+1}, summed over roles, q <- tanh(q + o); q + o at the end.

    Args:
        q: (B, U, D).
        memories: for each role M_0 ... M_hops, each (B, U, D).
        history: for each role the turns that may be read, (B, U, U) bool.

    Returns:
        (B, U, D) and for each role the weights of each hop, (B, U, U), zero where there is no history.
    """
    weights: tuple[list[Tensor], list[Tensor]] = ([], [])
    hops = len(memories[0]) - 1
    for number in range(hops):
        o = torch.zeros_like(q)
        for role in range(ROLES):
            M, M_next = memories[role][number], memories[role][number + 1]
            m = masked_softmax(q @ M.transpose(1, 2), history[role])
            weights[role].append(m)
            o = o + m.to(M_next.dtype) @ M_next
        q = q + o if number == hops - 1 else torch.tanh(q + o)
    return q, weights
