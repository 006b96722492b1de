"""DialogueRNN: a global state, a state for each party, an emotion state; both directions of the dialogue.

B dialogues, U utterances (padded), H = dim, E = emotion_dim; tensors of the recurrence begin with 2, the directions.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from hbaf.baselines.attention import MatchingAttention
from hbaf.baselines.gru_steps import DIRECTIONS, DirectedLinear, PartyMemory, gru_step
from hbaf.baselines.inputs import joined
from hbaf.baselines.turns import back_in_order, both_directions
from hbaf.model.batch import DialogueBatch, SystemOutput
from hbaf.model.turns import backwards


class PartyRecurrence(nn.Module):
    """What must be computed turn by turn.

    g_t = GRU_g(g_{t-1}; [u_t ; q_{s(t),t-1}]),  c_t = sum_{i<t} softmax_i(g_i . W u_t) g_i,
    q_{s(t),t} = GRU_p(q_{s(t),t-1}; [u_t ; c_t]); listeners keep their state.

    Args:
        inputs: numbers per utterance. dim: H, of g and q.
        dropout: chance, on each new g and q while training.
    """

    def __init__(self, inputs: int, dim: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dim = dim
        self.global_input = DirectedLinear(inputs, 3 * dim)
        self.global_state = DirectedLinear(dim, 3 * dim)
        self.party_input = DirectedLinear(inputs, 3 * dim)
        self.party_context = DirectedLinear(dim, 3 * dim, bias=False)
        self.party_state = DirectedLinear(dim, 6 * dim)  # into both cells: one product instead of two
        self.query = DirectedLinear(inputs, dim, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, u: Tensor, speaker: Tensor, mask: Tensor) -> Tensor:
        """q of who speaks at each turn, in the order in which each direction comes to the turns.

        Args:
            u: (B, U, inputs). speaker: (B, U) int64. mask: (B, U) bool.

        Returns:
            (2, B, U, H), the second direction as `backwards` has it.
        """
        dialogues, turns = mask.shape
        # All that depends on the utterance alone, for all turns at once and for real ones only.
        real = u[mask].expand(DIRECTIONS, -1, -1)  # (2, N, inputs)
        to_global = laid_out(self.global_input(real), mask).unbind(2)  # U of (2, B, 3H)
        to_party = laid_out(self.party_input(real), mask).unbind(2)
        queries = laid_out(self.query(real), mask).flatten(0, 1).unsqueeze(2).unbind(1)  # U of (2B, 1, H)

        parties = PartyMemory(both_directions(speaker * mask, mask), self.dim, to_global[0])
        g = to_global[0].new_zeros(DIRECTIONS, dialogues, self.dim)
        keep = self._dropout_masks(turns, g)
        c = torch.zeros_like(g)
        heard = g.new_zeros(DIRECTIONS * dialogues, 0, self.dim)  # g of the turns so far
        states = []
        for turn in range(turns):
            q = parties.read(turn)
            of_party = self.party_state(q)  # (2, B, 6H)
            if turn:
                weights = (queries[turn] @ heard.transpose(1, 2)).softmax(-1)
                c = (weights.to(heard.dtype) @ heard).view_as(g)
            g = gru_step(to_global[turn] + of_party[..., : 3 * self.dim], self.global_state(g), g)
            q = gru_step(to_party[turn] + self.party_context(c), of_party[..., 3 * self.dim :], q)
            if keep is not None:
                g, q = g * keep[turn, 0], q * keep[turn, 1]
            parties.write(turn, q)
            heard = torch.cat([heard, g.reshape(-1, 1, self.dim)], 1)
            states.append(q)
        return torch.stack(states, 2)

    def _dropout_masks(self, turns: int, g: Tensor) -> Tensor | None:
        """For g and q, drawn for all turns at once: (U, 2, 2, B, H); None where nothing is dropped."""
        if not self.training or self.dropout.p == 0:
            return None
        return self.dropout(g.new_ones(turns, 2, *g.shape))


def laid_out(real: Tensor, mask: Tensor) -> Tensor:
    """What was computed of the N real utterances, (2, N, D) -> (2, B, U, D), the second direction backwards."""
    ahead, back = (x.new_zeros(*mask.shape, x.shape[-1]).index_put(mask.nonzero(as_tuple=True), x) for x in real)
    return torch.stack([ahead, backwards(back, mask)])


class DialogueRNN(nn.Module):
    """Party recurrence, a GRU over the party states, attention over all turns, classifier.

    Source: Majumder et al., AAAI 2019: bidirectional, general attention to the global states, "general2" attention
    over all emotion states. Sizes of its MELD script: 150 and 100.
    Simplified to audio + text: [audio ; text] goes in. Listeners keep their state (no listener GRU). The emotion
    state depends on the party states and never acts back, so its GRU runs after the loop; hence its dropout is on
    its output, not inside its recurrence.

    Args:
        dim: units of global and party states.
        emotion_dim: units of the emotion state and of the last hidden layer; two thirds of `dim` unless given.
        recurrent_dropout: chance, on each new global and party state.
        matching_attention: False: the classifier reads a turn's own emotion state, which learns faster.
    """

    reading: ClassVar[bool] = False
    source: ClassVar[str] = "Majumder et al., AAAI 2019"

    def __init__(
        self,
        *,
        audio_dim: int,
        text_dim: int,
        commonsense_dim: int | None,
        emotions: int,
        dim: int = 150,
        dropout: float = 0.1,
        emotion_dim: int | None = None,
        recurrent_dropout: float = 0.1,
        matching_attention: bool = True,
    ) -> None:
        super().__init__()
        emotion_dim = emotion_dim or max(2 * dim // 3, 1)
        self.parties = PartyRecurrence(audio_dim + text_dim, dim, recurrent_dropout)
        self.emotion = nn.ModuleList(nn.GRU(dim, emotion_dim, batch_first=True) for _ in range(2))
        self.attention = MatchingAttention(2 * emotion_dim) if matching_attention else None
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Linear(2 * emotion_dim, emotion_dim)
        self.classifier = nn.Linear(emotion_dim, emotions)

    def forward(self, batch: DialogueBatch) -> SystemOutput:
        """Logits; view `attention` (B, 1, U, U) where it is built."""
        q = self.parties(joined(batch), batch.speaker, batch.mask)
        e = torch.stack([gru(q[way])[0] for way, gru in enumerate(self.emotion)])  # (2, B, U, E)
        e = self.dropout(back_in_order(e, batch.mask))
        views = {}
        if self.attention is not None:
            e, weights = self.attention(e, batch.mask)
            views["attention"] = weights[:, None].detach()
        return SystemOutput(self.classifier(self.dropout(torch.relu(self.hidden(e)))), views=views)
