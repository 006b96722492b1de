"""A GRU cell taken apart, for recurrences that nn.GRU cannot express: forward and backward direction in one step.

The part of each gate that depends on the input alone is computed for all turns before the loop; what is left in a
step are the products with states. Directions are an axis of size 2 with weights of their own.
B dialogues, H units.
"""

import torch
from torch import Tensor, nn

DIRECTIONS = 2


class DirectedLinear(nn.Module):
    """A linear map for each direction: (2, ..., in) -> (2, ..., out)."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__()
        bound = inputs**-0.5
        self.weight = nn.Parameter(torch.empty(DIRECTIONS, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(DIRECTIONS, 1, outputs).uniform_(-bound, bound)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """x (directions, ..., I) -> (directions, ..., O)."""
        flat = x.reshape(DIRECTIONS, -1, x.shape[-1])
        mapped = flat @ self.weight if self.bias is None else torch.baddbmm(self.bias, flat, self.weight)
        return mapped.reshape(*x.shape[:-1], -1)


def gru_step(inputs: Tensor, states: Tensor, h: Tensor) -> Tensor:
    """h' = (1 - z) n + z h, n = tanh(W_n x + r (U_n h)), as nn.GRUCell has it.

    Args:
        inputs, states: (..., 3H) W x + b and U h + b of the gates r, z and the candidate n, in this order.
        h: (..., H) the state so far.
    """
    units = h.shape[-1]
    r, z = (inputs[..., : 2 * units] + states[..., : 2 * units]).sigmoid().chunk(2, -1)
    n = torch.tanh(inputs[..., 2 * units :] + r * states[..., 2 * units :])
    return n + z * (h - n)


class PartyMemory:
    """The states of all speakers during a loop over turns: read one's own, write one's own, batched.

    Args:
        speaker: (2, B, U) int64 from 0.
        units: H.
        like: a tensor of the dtype and device wanted.
    """

    def __init__(self, speaker: Tensor, units: int, like: Tensor) -> None:
        directions, dialogues, turns = speaker.shape
        self.parties = int(speaker.max()) + 1
        rows = torch.arange(directions * dialogues, device=speaker.device).view(directions, dialogues, 1)
        self.rows = (rows * self.parties + speaker).permute(2, 0, 1).reshape(turns, -1).unbind(0)  # U of (2B)
        self.states = like.new_zeros(directions * dialogues * self.parties, units)
        self.shape = (directions, dialogues, units)

    def read(self, turn: int) -> Tensor:
        """(2, B, H): the state of who speaks at this turn."""
        return self.states.index_select(0, self.rows[turn]).view(self.shape)

    def write(self, turn: int, state: Tensor) -> None:
        """Sets the state of who speaks; listeners keep theirs."""
        self.states = self.states.index_copy(0, self.rows[turn], state.reshape(-1, self.shape[-1]))
