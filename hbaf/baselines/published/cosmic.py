"""COSMIC: DialogueRNN's parties with what common sense infers of each utterance: internal, external, intent states.

B dialogues, U utterances (padded), H = dim, E = emotion_dim; tensors of the recurrence begin with 2, the directions.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from hbaf.baselines.attention import MatchingAttention
from hbaf.baselines.gru_steps import DirectedLinear, PartyMemory, gru_step
from hbaf.baselines.inputs import commonsense, joined
from hbaf.baselines.turns import SpeakerTurns, back_in_order, both_directions
from hbaf.model.batch import DialogueBatch, SystemOutput


class CommonsenseRecurrence(nn.Module):
    """What must be computed turn by turn, s the speaker of turn t.

    g_t = GRU_g([u ; q_s ; r_s], g_{t-1}),  c_t = sum_{i<t} softmax_i(w . g_i) g_i,
    r_s = GRU_r([u ; external ; c_t], r_s),  q_s = GRU_q([internal ; c_t], q_s); listeners keep their states.

    Args:
        utterance: width of u. external, internal: widths of what those cells read beside c_t.
        dim: H.
    """

    def __init__(self, utterance: int, external: int, internal: int, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.global_input = DirectedLinear(utterance, 3 * dim)
        self.global_parties = DirectedLinear(2 * dim, 3 * dim, bias=False)  # [q ; r]
        self.global_state = DirectedLinear(dim, 3 * dim)
        self.score = DirectedLinear(dim, 1, bias=False)
        self.external_input = DirectedLinear(external, 3 * dim)
        self.internal_input = DirectedLinear(internal, 3 * dim)
        self.context = DirectedLinear(dim, 6 * dim, bias=False)  # c_t into the external and the internal cell
        self.external_state = DirectedLinear(dim, 3 * dim)
        self.internal_state = DirectedLinear(dim, 3 * dim)

    def forward(self, u: Tensor, external: Tensor, internal: Tensor, speaker: Tensor) -> tuple[Tensor, Tensor]:
        """(2, B, U, ...) each, speaker (2, B, U) -> q and r of who speaks at each turn, (2, B, U, H) each."""
        H = self.dim
        to_global = self.global_input(u).unbind(2)  # U of (2, B, 3H)
        to_external, to_internal = self.external_input(external).unbind(2), self.internal_input(internal).unbind(2)
        parties = PartyMemory(speaker, 2 * H, to_global[0])  # [q ; r] of everyone
        g = to_global[0].new_zeros(*u.shape[:2], H)
        # The attention's scores do not depend on t: numerator and denominator of the mean are carried along.
        top = g.new_full((*u.shape[:2], 1), -torch.inf)
        over, under = torch.zeros_like(g), torch.zeros_like(g[..., :1])
        c = torch.zeros_like(g)
        states = []
        for turn in range(u.shape[2]):
            both = parties.read(turn)
            q, r = both.split(H, -1)
            of_context = self.context(c)
            new_g = gru_step(to_global[turn] + self.global_parties(both), self.global_state(g), g)
            new_r = gru_step(to_external[turn] + of_context[..., : 3 * H], self.external_state(r), r)
            new_q = gru_step(to_internal[turn] + of_context[..., 3 * H :], self.internal_state(q), q)
            both = torch.cat([new_q, new_r], -1)
            parties.write(turn, both)
            states.append(both)
            g = new_g
            score = self.score(g).to(g.dtype)
            higher = torch.maximum(top, score.detach())
            shrink, weight = (top - higher).exp(), (score - higher).exp()
            over, under, top = over * shrink + weight * g, under * shrink + weight, higher
            c = over / under
        q, r = torch.stack(states, 2).split(H, -1)
        return q, r


class COSMIC(nn.Module):
    """Commonsense recurrence, intent and emotion GRUs, attention over all turns on request, classifier.

    Source: Ghosal et al., EMNLP Findings 2020: internal state from xEffect, external from xReact, intent from
    xIntent; "simple" context attention; states 150, utterance and emotion 100.
    Simplified to audio + text: [audio ; text] goes through its linear input layer, which it has for text alone; no
    listener update, whose relations a batch does not carry; no BatchNorm, which ran over padding. Intent and emotion
    never act back on the recurrence, so their GRUs run after the loop. Without commonsense features the utterance
    stands in for each of the three inferences, which makes it a DialogueRNN with more states.

    Args:
        dim: units of the global, internal, external and intent states.
        emotion_dim: width of the utterance and of the emotion state; two thirds of `dim` unless given.
        matching_attention: attention over all turns before the classifier; the publication has it on IEMOCAP alone,
            and it learns more slowly with it.
    """

    reading: ClassVar[bool] = False
    source: ClassVar[str] = "Ghosal et al., EMNLP Findings 2020"

    def __init__(
        self,
        *,
        audio_dim: int,
        text_dim: int,
        commonsense_dim: int | None,
        emotions: int,
        dim: int = 150,
        dropout: float = 0.25,
        emotion_dim: int | None = None,
        matching_attention: bool = False,
    ) -> None:
        super().__init__()
        E = emotion_dim or max(2 * dim // 3, 1)
        self.reads_commonsense = commonsense_dim is not None
        inference = commonsense_dim if commonsense_dim is not None else E
        self.project = nn.Linear(audio_dim + text_dim, E)
        external = E + inference if self.reads_commonsense else E
        self.parties = CommonsenseRecurrence(E, external, inference, dim)
        self.intent = nn.ModuleList(nn.GRU(inference + dim, dim, batch_first=True) for _ in range(2))
        self.emotion = nn.ModuleList(nn.GRU(E + 3 * dim, E, batch_first=True) for _ in range(2))
        self.attention = MatchingAttention(2 * E) if matching_attention else None
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Linear(2 * E, E)
        self.classifier = nn.Linear(E, emotions)

    def forward(self, batch: DialogueBatch) -> SystemOutput:
        """Logits; view `attention` (B, 1, U, U) where it is built.

        Raises:
            ValueError: built for commonsense features and the batch has none.
        """
        mask = batch.mask
        u = both_directions(self.dropout(self.project(joined(batch))), mask)  # (2, B, U, E)
        speaker = both_directions(batch.speaker * mask, mask)
        if self.reads_commonsense:
            inferred = both_directions(commonsense(batch), mask)  # (2, B, U, 3, commonsense_dim)
            external, internal, purpose = inferred.unbind(3)
            external = torch.cat([u, external], -1)
        else:
            external = internal = purpose = u
        q, r = self.parties(u, external, internal, speaker)
        i = self._intent(torch.cat([purpose, q], -1), speaker, mask)
        read = torch.cat([u, q, r, i], -1)
        e = torch.stack([gru(self.dropout(read[way]))[0] for way, gru in enumerate(self.emotion)])
        e = self.dropout(back_in_order(e, mask))  # (B, U, 2E)
        views = {}
        if self.attention is not None:
            e, weights = self.attention(e, mask)
            views["attention"] = weights[:, None].detach()
        return SystemOutput(self.classifier(self.dropout(torch.relu(self.hidden(e)))), views=views)

    def _intent(self, x: Tensor, speaker: Tensor, mask: Tensor) -> Tensor:
        """i_s = GRU_i([purpose ; q_s], i_s), over each speaker's own turns: (2, B, U, ...) -> (2, B, U, H)."""
        states = []
        for way, gru in enumerate(self.intent):
            turns = SpeakerTurns(speaker[way], mask)
            states.append(turns.merge(gru(turns.split(x[way]))[0]))
        return torch.stack(states)
