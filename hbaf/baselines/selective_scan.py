"""The selective scan of a state-space model in logarithmic depth. B dialogues, U turns, E channels, N states."""

import torch
from torch import Tensor


def linear_scan(a: Tensor, b: Tensor) -> Tensor:
    """h_t = a_t h_{t-1} + b_t with h_{-1} = 0, for all t at once.

    Two neighbouring steps make one step of half the sequence, (a' a, a' b + b'); its result gives every second h,
    from which the others follow: O(U) work in O(log U) rounds (Blelloch, 1990).

    Args:
        a, b: (B, U, ...) of one shape.
    """
    turns = a.shape[1]
    if turns == 1:
        return b
    if turns % 2:
        # One idle step more; only its absence at the end matters.
        a, b = (torch.cat([x, torch.zeros_like(x[:, :1])], 1) for x in (a, b))
    a_even, a_odd, b_even, b_odd = a[:, ::2], a[:, 1::2], b[:, ::2], b[:, 1::2]
    h_odd = linear_scan(a_odd * a_even, a_odd * b_even + b_odd)
    before = torch.cat([torch.zeros_like(h_odd[:, :1]), h_odd[:, :-1]], 1)
    h_even = a_even * before + b_even
    return torch.stack([h_even, h_odd], 2).flatten(1, 2)[:, :turns]


def selective_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t, y_t = C_t . h_t (Gu and Dao, 2023, Eq. 2-4, Alg. 2).

    Args:
        u, delta: (B, U, E); delta >= 0, and 0 leaves the state as it was.
        A: (E, N), negative. B, C: (B, U, N), what is written and read, chosen by the input.

    Returns:
        y (B, U, E), in float32: products of many factors near 1 lose their meaning in fewer digits.
    """
    with torch.autocast(u.device.type, enabled=False):
        u, delta, A, B, C = (x.float() for x in (u, delta, A, B, C))
        decay = torch.exp(delta[..., None] * A)  # (B, U, E, N)
        written = (delta * u)[..., None] * B[:, :, None]
        return (linear_scan(decay, written) * C[:, :, None]).sum(-1)
