"""Text context network (Fig. 3b, Eq. 1-6): words, what was said before, and what common sense adds.

B dialogues, U utterances, D model dimension. Causal: H_l at turn t depends on turns up to t, unless the direction is
`both`.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from hbaf.model.attention import attend
from hbaf.model.turns import backwards

ContextAttention = Literal["query", "scalar", "elementwise"]
TextDirection = Literal["causal", "both"]
RELATIONS = ("external", "internal", "purpose")

NO_WEIGHT = -1e30  # a score that vanishes beside any real one, yet finite: -inf would make the gradient NaN


class TextContextNetwork(nn.Module):
    """Soft attention over earlier turns, then a GRU per commonsense relation, joined and projected.

    Without commonsense features there is nothing that tells three states apart, so one GRU remains.

    Args:
        text_dim: numbers per utterance that come in.
        commonsense_dim: numbers per relation, or None for a corpus without commonsense features.
        dim: D.
        current_utterance: True: a GRU reads [l_t^r ; l_t^c ; commonsense_t]; False: l_t^c alone, as printed, and the
            commonsense features are not read.
        context_attention: reading of Eq. 1-2, see `ContextAttention` in docs/method.md.
        direction: `both` adds a second GRU to each state, which reads the dialogue from its end; not in the paper.
        split_context: the context is [that of the speaker's own turns ; that of everybody else's]; not in the paper.
            Asks for the reading `query`.
        dropout: chance, on the joined states.
    """

    def __init__(
        self,
        text_dim: int,
        commonsense_dim: int | None,
        dim: int = 512,
        *,
        current_utterance: bool = True,
        context_attention: ContextAttention = "query",
        direction: TextDirection = "causal",
        split_context: bool = False,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if split_context and context_attention != "query":
            raise ValueError(
                f"split_context asks for the context attention `query`; `{context_attention}` has one weight per turn, "
                "whoever reads it."
            )
        self.split_context = split_context
        self.text = nn.Linear(text_dim, dim)
        self.context = SoftContextAttention(dim, context_attention)
        self.current_utterance = current_utterance
        self.reads_commonsense = commonsense_dim is not None and current_utterance
        states = RELATIONS if commonsense_dim is not None else ("context",)
        self.commonsense = nn.ModuleDict()
        if commonsense_dim is not None and current_utterance:
            self.commonsense.update({name: nn.Linear(commonsense_dim, dim) for name in RELATIONS})
        width = dim * (1 + split_context + current_utterance + self.reads_commonsense)
        self.states = nn.ModuleDict({name: nn.GRU(width, dim, batch_first=True) for name in states})
        self.dropout = nn.Dropout(dropout)
        directions = 2 if direction == "both" else 1
        self.out = nn.Linear(directions * len(states) * dim, dim)
        # After everything that the paper has: its weights are drawn as if this were not here.
        self.backward_states = (
            nn.ModuleDict({name: nn.GRU(width, dim, batch_first=True) for name in states})
            if direction == "both"
            else None
        )

    def forward(
        self,
        text: Tensor,
        commonsense: Tensor | None,
        keys: Tensor,
        speaker: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        turns_of: Tensor | None = None,
    ) -> Tensor:
        """H_l.

        Args:
            text: (B, U, text_dim).
            commonsense: (B, U, 3, commonsense_dim) in the order of `RELATIONS`; not read if the network has none.
            keys: (B, U) bool, True on utterances whose words later turns may attend to: real, with text.
            speaker: (B, U, D) what is added to l_t^r to tell who speaks; None adds nothing.
            mask: (B, U) bool, True on real utterances; read where the direction is `both`.
            turns_of: (B, U) int64, who speaks; read where the context is split.

        Returns:
            (B, U, D), finite everywhere and meaningless on padding, which is last and so reaches nothing.
        """
        l_r = self.text(text) if speaker is None else self.text(text) + speaker  # (B, U, D)
        read = self._context(l_r, keys, turns_of)
        if self.current_utterance:
            read = [l_r, *read]
        states = []
        for place, (name, gru) in enumerate(self.states.items()):
            parts = read
            if self.reads_commonsense and commonsense is not None:
                parts = [*read, self.commonsense[name](commonsense[:, :, place])]
            joined = torch.cat(parts, -1)
            states.append(gru(joined)[0])  # (B, U, D)
            if self.backward_states is not None and mask is not None:
                back = self.backward_states[name](backwards(joined, mask))[0]
                states.append(backwards(back, mask))
        return self.out(self.dropout(torch.cat(states, -1)))

    def _context(self, l_r: Tensor, keys: Tensor, turns_of: Tensor | None) -> list[Tensor]:
        """l_t^c (B, U, D), or one for the speaker's own turns and one for everybody else's."""
        if not self.split_context or turns_of is None:
            return [self.context(l_r, keys)]
        own = turns_of[:, :, None] == turns_of[:, None, :]  # (B, U, U)
        return [self.context(l_r, keys, among) for among in (own, ~own)]


class SoftContextAttention(nn.Module):
    """The context l_t^c: a weighted mean of the turns before t, zero where there is none. Eq. 1-2.

    u_i = tanh(W_s l_i + b_s) of each earlier turn i is turned into a weight in one of three ways:
    `query` softmax_i(u_i . l_t / sqrt(D)), `scalar` softmax_i of a single number u_i, `elementwise` a softmax_i for
    every feature. Only the first depends on t otherwise than through which turns are earlier.
    """

    def __init__(self, dim: int, reading: ContextAttention = "query") -> None:
        super().__init__()
        self.reading = reading
        self.W_s = nn.Linear(dim, 1 if reading == "scalar" else dim)

    def forward(self, l_r: Tensor, keys: Tensor, among: Tensor | None = None) -> Tensor:
        """(B, U, D), (B, U) bool -> (B, U, D); turns that are not keys carry no weight.

        Args:
            among: (B, U, U) bool, for `query` alone: the turns that each turn's context may come from.
        """
        u = torch.tanh(self.W_s(l_r))  # (B, U, D) or (B, U, 1), in (-1, 1)
        if self.reading == "query":
            turns = l_r.shape[1]
            earlier = torch.ones(turns, turns, dtype=torch.bool, device=l_r.device).tril(-1)
            allowed = earlier & keys[:, None, :]
            return attend(l_r, u, l_r, allowed if among is None else allowed & among)[0]
        return running_average(u, l_r, keys)


def running_average(scores: Tensor, values: Tensor, keys: Tensor) -> Tensor:
    """Softmax-weighted mean of all strictly earlier values, for every turn at once in O(U).

    The sums run in the logarithm, where scores of any size neither overflow nor vanish beside a later, larger one.
    Values are split into two parts that are at least 1, so their logarithms exist.

    Args:
        scores: (B, U, D), or (B, U, 1) for one weight per turn.
        values: (B, U, D).
        keys: (B, U) bool, True on turns that count.

    Returns:
        (B, U, D) in float32 or wider; zero at the first turn and wherever no earlier turn counts.
    """
    wide = torch.promote_types(values.dtype, torch.float32)
    scores = scores.to(wide).masked_fill(~keys[..., None], NO_WEIGHT)
    values = values.to(wide)
    total = scores.logcumsumexp(1)
    # `where`, not relu: the slope of the two parts must add up to 1 at a value of exactly zero too.
    above = 1 + torch.where(values >= 0, values, 0.0)
    below = 1 + torch.where(values < 0, -values, 0.0)
    mean = ((scores + above.log()).logcumsumexp(1) - total).exp() - (
        (scores + below.log()).logcumsumexp(1) - total
    ).exp()
    mean = torch.where(keys.cumsum(1)[..., None] > 0, mean, 0.0)
    return torch.cat([torch.zeros_like(mean[:, :1]), mean[:, :-1]], 1)
