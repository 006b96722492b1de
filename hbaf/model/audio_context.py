"""Audio context network (Fig. 3a): low-level audio vectors learn what was said before and after.

B dialogues, U utterances, D model dimension.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from hbaf.model.attention import join_heads, split_heads

KERNEL = 3  # utterances that the convolution sees: the one before, itself, the one after
LSTM_LAYERS = 2


class AudioContextNetwork(nn.Module):
    """Convolution over utterances, bidirectional LSTM, Transformer encoder.

    One vector per utterance is the only sequence there is, so the convolution runs over utterances. No positional
    encoding: the LSTM already orders.

    Args:
        audio_dim: numbers per utterance that come in.
        dim: D, divisible by 2 (the LSTM has D/2 units per direction) and by `heads`.
        heads, encoder_layers, feedforward: of the Transformer encoder.
        conv_channels: channels of the convolution.
        dropout: chance, between the LSTM layers and in the encoder.
        pre_norm: encoder layers normalise what they read, and the last one's sum is normalised, see `EncoderLayer`.
    """

    def __init__(
        self,
        audio_dim: int,
        dim: int = 512,
        *,
        heads: int = 8,
        encoder_layers: int = 3,
        feedforward: int = 2048,
        conv_channels: int = 64,
        dropout: float = 0.1,
        pre_norm: bool = False,
    ) -> None:
        super().__init__()
        if dim % 2:
            raise ValueError(f"dim must be even, half of it per direction of the LSTM; it is {dim}.")
        self.conv = nn.Conv1d(audio_dim, conv_channels, KERNEL, stride=1, padding=KERNEL // 2)
        self.lstm = nn.LSTM(conv_channels, dim // 2, LSTM_LAYERS, batch_first=True, dropout=dropout, bidirectional=True)
        self.encoder = nn.ModuleList(
            EncoderLayer(dim, heads, feedforward, dropout, pre_norm) for _ in range(encoder_layers)
        )
        self.norm = nn.LayerNorm(dim) if pre_norm else None

    def forward(self, audio: Tensor, mask: Tensor, keys: Tensor, speaker: Tensor | None = None) -> Tensor:
        """H_a.

        Args:
            audio: (B, U, audio_dim); what it holds on padding does not matter.
            mask: (B, U) bool, True on real utterances, which come first in each row.
            keys: (B, U) bool, True on utterances that the encoder may attend to: real, with audio.
            speaker: (B, U, D) what is added to tell who speaks, before the encoder; None adds nothing.

        Returns:
            (B, U, D), finite everywhere and meaningless on padding.
        """
        # The convolution reads one step beyond the end of a dialogue, so padding is made exactly zero before it.
        x = audio.masked_fill(~mask[..., None], 0.0)
        x = F.relu(self.conv(x.transpose(1, 2))).transpose(1, 2)  # (B, U, conv_channels)
        x = bidirectional(self.lstm, x, mask.sum(1).clamp(min=1))  # (B, U, D)
        if speaker is not None:
            x = x + speaker
        for layer in self.encoder:
            x = layer(x, keys)
        return x if self.norm is None else self.norm(x)


def bidirectional(lstm: nn.LSTM, x: Tensor, lengths: Tensor) -> Tensor:
    """Both directions over each dialogue's own turns: (B, U, in), (B) -> (B, U, 2 units), meaningless on padding."""
    lengths = lengths.cpu()
    if x.device.type != "cpu":
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(lstm(packed)[0], batch_first=True, total_length=x.shape[1])[0]
    # On a CPU torch computes all turns in one kernel, forward and backward, where a sequence is not packed: so the
    # backward direction reads dialogues that are turned round, each at its own end.
    turn = torch.arange(x.shape[1])
    turned = torch.where(turn < lengths[:, None], lengths[:, None] - 1 - turn, turn)[..., None]  # (B, U, 1)
    with torch.autocast("cpu", enabled=False):  # the kernel that learns is a float32 one
        x = x.to(lstm.all_weights[0][0].dtype)
        for layer in range(lstm.num_layers):
            onwards, backwards = lstm.all_weights[2 * layer : 2 * layer + 2]
            back = _one_way(backwards, x.gather(1, turned.expand_as(x)), lstm.training)
            x = torch.cat([_one_way(onwards, x, lstm.training), back.gather(1, turned.expand_as(back))], -1)
            if layer + 1 < lstm.num_layers and lstm.training and lstm.dropout > 0:
                x = _drop_packed(x, lengths, lstm.dropout)
    return x


def _one_way(weights: Sequence[Tensor], x: Tensor, training: bool) -> Tensor:
    start = x.new_zeros(1, len(x), weights[1].shape[1])
    states: Tensor = torch.lstm(x, (start, start), list(weights), True, 1, 0.0, training, False, True)[0]
    return states


def _drop_packed(x: Tensor, lengths: Tensor, chance: float) -> Tensor:
    """Dropout on the turns in the order of a packed sequence: what is drawn depends on no padding."""
    place = torch.arange(x.shape[0] * x.shape[1]).view(x.shape[:2])
    rows = pack_padded_sequence(place, lengths, batch_first=True, enforce_sorted=False).data
    flat = x.flatten(0, 1)
    return torch.zeros_like(flat).index_copy(0, rows, F.dropout(flat[rows], chance)).view_as(x)


class AudioProjection(nn.Module):
    """In place of the audio context network ("w/o ACN", Table 2): one linear layer, each utterance by itself."""

    def __init__(self, audio_dim: int, dim: int = 512) -> None:
        super().__init__()
        self.linear = nn.Linear(audio_dim, dim)

    def forward(self, audio: Tensor, mask: Tensor, keys: Tensor, speaker: Tensor | None = None) -> Tensor:
        """(B, U, audio_dim) -> (B, U, D); the masks are taken for the sake of one signature."""
        return self.linear(audio) if speaker is None else self.linear(audio) + speaker


class EncoderLayer(nn.Module):
    """Transformer encoder layer, ReLU, normalised after each sub-layer, or before it (`pre_norm`).

    torch's own layer returns NaN, or something else in its inference path, where a dialogue has no key at all; here
    the attention is then zero and the residual carries on.
    """

    def __init__(self, dim: int, heads: int, feedforward: int, dropout: float, pre_norm: bool = False) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim must be divisible by heads; {dim} is not by {heads}.")
        self.heads = heads
        self.pre_norm = pre_norm
        self.chance = dropout
        self.query_key_value = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.feedforward = nn.Sequential(
            nn.Linear(dim, feedforward), nn.ReLU(), nn.Dropout(dropout), nn.Linear(feedforward, dim)
        )
        self.norm2 = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, keys: Tensor) -> Tensor:
        """(B, U, D) -> (B, U, D); `keys` (B, U) bool as in `AudioContextNetwork.forward`."""
        if self.pre_norm:
            x = x + self.dropout(self._attention(self.norm1(x), keys))
            return x + self.dropout(self.feedforward(self.norm2(x)))
        x = self.norm1(x + self.dropout(self._attention(x, keys)))
        return self.norm2(x + self.dropout(self.feedforward(x)))

    def _attention(self, x: Tensor, keys: Tensor) -> Tensor:
        Q, K, V = (split_heads(part, self.heads) for part in self.query_key_value(x).chunk(3, -1))
        # The fused kernels differ in what they make of a row without keys: open such rows, then blank what comes out.
        some = keys.any(1)[:, None, None]  # (B, 1, 1)
        allowed = (keys[:, None, :] | ~some)[:, None]  # (B, 1, 1, U)
        allowed = allowed.expand(-1, 1, x.shape[1], -1)
        attended = F.scaled_dot_product_attention(
            Q, K, V, attn_mask=allowed, dropout_p=self.chance if self.training else 0.0
        )
        return torch.where(some, self.out(join_heads(attended)), 0.0)
