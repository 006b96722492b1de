"""The label chain: labels persist, so what a speaker and the other one said last changes what a turn may be.

It stands behind any system: log-probabilities of single turns go in, log marginals of the whole dialogue come out.

The score of a dialogue's labels y is the product over its turns t of

    p(y_t | x)^a * (own[i, y_t] / prior[y_t])^b * (other[k, y_t] / prior[y_t])^c

with i the label of the speaker's own turn before t, and k that of the last turn by anybody else before t; a factor
whose turn does not exist is 1. B dialogues, U utterances, C emotions.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from hbaf.model.batch import DialogueBatch, SystemOutput

SWEEPS = 6  # of belief propagation between the speakers' chains
DAMPING = 0.3  # share of the old message that is kept, so that sweeps do not swing
LARGEST = 80.0  # of a factor's logarithm: its exponential and a sum of them stay within float32


class LabelChain(nn.Module):
    """Marginals of the labels of a dialogue.

    The chain of each speaker's own turns is decoded exactly, by forward-backward. The factor of the other speaker ties
    these chains into a graph with loops; between them messages are passed for a few sweeps of belief propagation, each
    with the chains solved exactly. So marginals are exact for c = 0, or where one person speaks alone, and approximate
    otherwise.

    `causal`: turn t knows the turns up to t alone. Its marginal follows from the filtered ones of its own and the
    other's last turn: exact for c = 0 likewise.

    Buffers: `own`, `other` (C, C), log p(label | the last one, in the row); `prior` (C), log p(label); `exponents`
    (a, b, c). As built it changes nothing.
    """

    own: Tensor
    other: Tensor
    prior: Tensor
    exponents: Tensor

    def __init__(self, emotions: int, *, causal: bool = False) -> None:
        super().__init__()
        self.causal = causal
        self.register_buffer("own", torch.zeros(emotions, emotions))
        self.register_buffer("other", torch.zeros(emotions, emotions))
        self.register_buffer("prior", torch.zeros(emotions))
        self.register_buffer("exponents", torch.tensor([1.0, 0.0, 0.0]))

    def forward(self, log_probability: Tensor, speaker: Tensor, mask: Tensor) -> Tensor:
        """Log marginals (B, U, C) in float32; zeros on padding.

        Args:
            log_probability: (B, U, C), up to a constant per turn.
            speaker: (B, U) int64, any numbers. mask: (B, U) bool.
        """
        a, b, c = self.exponents
        evidence = a * log_probability.float().log_softmax(-1)
        evidence = torch.where(mask[..., None], evidence, 0.0)
        own, other = (
            (weight * (table - self.prior)).clamp(-LARGEST, LARGEST).exp()
            for weight, table in ((b, self.own), (c, self.other))
        )
        before_own, before_other = previous_turns(speaker, mask)
        if self.causal:
            return _filtered(evidence, before_own, before_other, own, other)
        order, joined = _by_speaker(speaker, mask)
        if not bool(c > 0):
            return _normal(_chains(evidence, order, joined, own), mask)
        there = (before_other >= 0)[..., None]
        source = before_other.clamp(min=0)[..., None].expand_as(evidence)
        # Along each edge from the other's turn k to t: what k says to t, and what t says to k.
        to_t = to_k = torch.zeros_like(evidence)
        belief = evidence
        for _ in range(SWEEPS):
            heard = evidence + to_t + torch.zeros_like(evidence).scatter_add(1, source, to_k)
            belief = _chains(heard, order, joined, own)
            from_k = belief.gather(1, source) - to_k  # all that k knows, but for what t told it
            from_t = belief - to_t
            new_to_t = _sent(from_k, other).log_softmax(-1)
            new_to_k = _sent(from_t, other.T).log_softmax(-1)
            to_t = torch.where(there, DAMPING * to_t + (1 - DAMPING) * new_to_t, 0.0)
            to_k = torch.where(there, DAMPING * to_k + (1 - DAMPING) * new_to_k, 0.0)
        heard = evidence + to_t + torch.zeros_like(evidence).scatter_add(1, source, to_k)
        return _normal(_chains(heard, order, joined, own), mask)


class Chained(nn.Module):
    """Any system with a label chain behind it: its logits are the chain's log marginals, the rest passes through."""

    def __init__(self, system: nn.Module, chain: LabelChain) -> None:
        super().__init__()
        self.system = system
        self.chain = chain

    def forward(self, batch: DialogueBatch) -> SystemOutput:
        """The system's output with log marginals (B, U, C) in the place of its logits (B, U, C)."""
        output: SystemOutput = self.system(batch)
        return replace(output, logits=self.chain(output.logits, batch.speaker, batch.mask))


def previous_turns(speaker: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """(B, U) place of the last turn before t of the same speaker, and of anybody else; -1 where there is none."""
    turns = torch.arange(speaker.shape[1], device=speaker.device)
    earlier = (turns[None, :] < turns[:, None]) & mask[:, None, :] & mask[:, :, None]  # (B, t, before)
    same = speaker[:, :, None] == speaker[:, None, :]
    return (
        torch.where(earlier & same, turns, -1).amax(-1),
        torch.where(earlier & ~same, turns, -1).amax(-1),
    )


def _by_speaker(speaker: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The order that puts each speaker's turns one after another, and where a turn in it follows on the one before it.

    Returns:
        (B, U) int64 and (B, U) bool.
    """
    key = torch.where(mask, speaker, speaker.amax() + 1)  # padding comes last
    key, order = key.sort(dim=1, stable=True)
    joined = torch.zeros_like(mask)
    joined[:, 1:] = (key[:, 1:] == key[:, :-1]) & mask.gather(1, order)[:, 1:]
    return order, joined


def _sent(belief: Tensor, factor: Tensor) -> Tensor:
    """log sum_y exp(belief_y) factor[y, z] for each z, (..., C): one matrix product.

    Args:
        belief: (..., C) log of any scale; its greatest number is taken out, so that no exponential overflows.
        factor: (C, C), positive.
    """
    top = belief.amax(-1, keepdim=True)
    return top + ((belief - top).exp() @ factor).log()


def _chains(evidence: Tensor, order: Tensor, joined: Tensor, own: Tensor) -> Tensor:
    """Forward-backward over every speaker's own turns: log beliefs (B, U, C) up to a constant per turn."""
    index = order[..., None].expand_as(evidence)
    turns = evidence.gather(1, index).unbind(1)
    follows = [at[:, None] for at in joined.unbind(1)]
    forward, message = [turns[0]], torch.zeros_like(turns[0])
    for here, on in zip(turns[1:], follows[1:], strict=True):
        message = torch.where(on, _sent(forward[-1], own), 0.0)
        forward.append((message + here).log_softmax(-1))
    behind = [torch.zeros_like(turns[0])]
    for here, on in zip(turns[:0:-1], follows[:0:-1], strict=True):
        message = _sent(here + behind[-1], own.T).log_softmax(-1)
        behind.append(torch.where(on, message, 0.0))
    belief = torch.stack(forward, 1) + torch.stack(behind[::-1], 1)
    return torch.empty_like(belief).scatter(1, index, belief)


def _filtered(evidence: Tensor, before_own: Tensor, before_other: Tensor, own: Tensor, other: Tensor) -> Tensor:
    """Log marginals (B, U, C) of turn t from the turns up to t."""
    known, turns = torch.zeros_like(evidence), torch.arange(evidence.shape[1], device=evidence.device)[:, None]
    for turn in range(len(turns)):
        here = evidence[:, turn]
        for before, factor in ((before_own[:, turn], own), (before_other[:, turn], other)):
            place = before.clamp(min=0)[:, None, None].expand(-1, 1, evidence.shape[2])
            last = known.gather(1, place)[:, 0]  # (B, C)
            here = here + torch.where(before[:, None] >= 0, _sent(last, factor), 0.0)
        known = torch.where(turns == turn, here.log_softmax(-1)[:, None], known)
    return known


def _normal(belief: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask[..., None], belief.log_softmax(-1), 0.0)
