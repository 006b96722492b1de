"""Order of turns: backwards within each dialogue, and by speaker. B dialogues, U utterances, D width."""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from hbaf.model.turns import backwards


def both_directions(x: Tensor, mask: Tensor) -> Tensor:
    """(B, U, ...) -> (2, B, U, ...): as it is, and backwards."""
    return torch.stack([x, backwards(x, mask)])


def back_in_order(x: Tensor, mask: Tensor) -> Tensor:
    """(2, B, U, D), the second direction backwards -> (B, U, 2D), both in the order of the dialogue."""
    return torch.cat([x[0], backwards(x[1], mask)], -1)


def run_packed(rnn: nn.RNNBase, x: Tensor, mask: Tensor) -> Tensor:
    """A (bidirectional) LSTM or GRU over x (B, U, D), packed: its backward direction would else start in padding.

    For systems of one's own (docs/own-systems.md); an LSTM is quicker by `hbaf.model.audio_context.bidirectional`.
    """
    lengths = mask.sum(1).clamp(min=1).cpu()
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    return pad_packed_sequence(rnn(packed)[0], batch_first=True, total_length=mask.shape[1])[0]


class SpeakerTurns:
    """The turns of each speaker of each dialogue as a sequence of their own, so that an RNN can run over all at once.

    G speakers of all dialogues, L the most turns that one of them has, N real utterances.

    Args:
        speaker: (B, U) int64 from 0, any number of speakers. mask: (B, U) bool.
    """

    def __init__(self, speaker: Tensor, mask: Tensor) -> None:
        self.mask = mask
        dialogue = torch.arange(len(mask), device=mask.device)[:, None]
        key = (dialogue * (int(speaker.max()) + 1) + speaker)[mask]  # (N)
        _, self.group, count = key.unique(return_inverse=True, return_counts=True)
        by_group = self.group.argsort(stable=True)  # stable: turns stay in order
        place = torch.arange(len(key), device=key.device)
        self.rank = torch.empty_like(place)
        self.rank[by_group] = place - (count.cumsum(0) - count)[self.group[by_group]]
        self.shape = (len(count), int(count.max()) if len(count) else 0)

    def split(self, x: Tensor) -> Tensor:
        """(B, U, D) -> (G, L, D), zero beyond a speaker's last turn."""
        sequences = x.new_zeros(*self.shape, x.shape[-1])
        return sequences.index_put((self.group, self.rank), x[self.mask])

    def merge(self, sequences: Tensor) -> Tensor:
        """(G, L, D) -> (B, U, D), zero on padding."""
        x = sequences.new_zeros(*self.mask.shape, sequences.shape[-1])
        return x.index_put((self.mask.nonzero(as_tuple=True)), sequences[self.group, self.rank])
