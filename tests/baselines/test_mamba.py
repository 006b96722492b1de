"""Mamba-style: the scan against its recurrence, the block's causality, enhancement nodes, probability guidance."""

import math

import pytest
import torch

from hbaf.baselines.readings.mamba import BidirectionalBlock, EnhancementNodes, SelectiveBlock, probability_guidance
from hbaf.baselines.selective_scan import linear_scan, selective_scan


def naive_scan(u, delta, A, B, C):
    """One turn after the other, as the state space is defined."""
    h = torch.zeros(u.shape[0], *A.shape, dtype=u.dtype)
    y = []
    for t in range(u.shape[1]):
        h = torch.exp(delta[:, t, :, None] * A) * h + (delta[:, t] * u[:, t])[..., None] * B[:, t, None]
        y.append((h * C[:, t, None]).sum(-1))
    return torch.stack(y, 1)


@pytest.mark.parametrize("turns", [1, 2, 3, 7, 8, 33, 110])
def test_scan_against_the_recurrence(turns):
    draw = torch.Generator().manual_seed(turns)
    u, B, C = (torch.randn(2, turns, width, generator=draw).requires_grad_() for width in (3, 4, 4))
    delta = torch.rand(2, turns, 3, generator=draw).requires_grad_()
    A = (-torch.rand(3, 4, generator=draw)).requires_grad_()
    fast, slow = selective_scan(u, delta, A, B, C), naive_scan(u, delta, A, B, C)
    torch.testing.assert_close(fast, slow, atol=1e-5, rtol=1e-4)
    weights = torch.randn(fast.shape, generator=draw)
    # At a single turn nothing decays, so A has no part in the result.
    gradients = [
        torch.autograd.grad((y * weights).sum(), (u, delta, A, B, C), materialize_grads=True) for y in (fast, slow)
    ]
    for ours, reference in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, reference, atol=1e-4, rtol=1e-4)


def test_scan_by_hand():
    """h = 1, then .5 * 1 + 2 = 2.5, then 0 * 2.5 - 1 = -1."""
    a, b = torch.tensor([[0.9, 0.5, 0.0]]), torch.tensor([[1.0, 2.0, -1.0]])
    assert linear_scan(a, b).tolist() == [[1.0, 2.5, -1.0]]


def test_scan_has_logarithmic_depth(monkeypatch):
    rounds = []
    whole = linear_scan.__globals__["linear_scan"]
    monkeypatch.setitem(linear_scan.__globals__, "linear_scan", lambda a, b: rounds.append(1) or whole(a, b))
    whole(torch.rand(1, 1000), torch.rand(1, 1000))
    assert len(rounds) == 10


def test_block_is_causal_and_a_missing_turn_leaves_the_state():
    torch.manual_seed(0)
    block, x = SelectiveBlock(8, 4), torch.randn(1, 9, 8)
    there = torch.ones(1, 9, dtype=torch.bool)
    changed = x.clone()
    changed[0, 5] += 1
    difference = (block(x, there) - block(changed, there)).detach().abs().amax(-1)[0]
    assert difference[:5].max() == 0
    assert difference[5:].min() > 0
    there[0, 5] = False
    assert torch.equal(block(x, there), block(changed, there))
    assert block(x, there)[0, 5].abs().max() == 0
    # delta = 0: the scan goes over the turn as if it were not there.
    u, B, C = torch.randn(1, 4, 2), torch.randn(1, 4, 3), torch.randn(1, 4, 3)
    delta = torch.tensor([[[0.3, 0.2], [0.0, 0.0], [0.5, 0.1], [0.4, 0.9]]])
    A, kept = -torch.rand(2, 3), [0, 2, 3]
    short = selective_scan(u[:, kept], delta[:, kept], A, B[:, kept], C[:, kept])
    torch.testing.assert_close(selective_scan(u, delta, A, B, C)[:, kept], short)


def test_both_directions_are_seen():
    torch.manual_seed(0)
    block, x = BidirectionalBlock(8, 4, 0.0).eval(), torch.randn(1, 6, 8)
    mask = torch.tensor([[True, True, True, True, False, False]])
    x = x * mask[..., None]
    changed = x.clone()
    changed[0, 2] += 1
    difference = (block(x, mask, mask) - block(changed, mask, mask)).detach().abs().amax(-1)[0]
    assert difference[:4].min() > 0


def test_steps_start_in_their_range():
    delta = torch.nn.functional.softplus(SelectiveBlock(32, 4).step.bias)
    assert delta.min() >= 1e-3 - 1e-6
    assert delta.max() <= 0.1 + 1e-6


def test_enhancement_nodes_are_drawn_once_and_never_trained():
    torch.manual_seed(0)
    nodes = EnhancementNodes(4, 6)
    x = torch.randn(3, 4)
    assert list(nodes.parameters()) == []
    assert set(nodes.state_dict()) == {"R", "b"}
    expected = torch.cat([x.tanh(), (x.tanh() @ nodes.R + nodes.b).tanh()], -1)
    torch.testing.assert_close(nodes(x), expected)
    torch.testing.assert_close(nodes.R @ nodes.R.T, torch.eye(4))


def test_the_surer_modality_weighs_more():
    """Audio 3:1 is sure by .75, text 1:1 by .5."""
    logits = torch.tensor([[[[math.log(3.0), 0.0], [0.0, 0.0]]]])
    weights = probability_guidance(logits, torch.ones(1, 1, 2, dtype=torch.bool))
    assert weights[0, 0].tolist() == pytest.approx([0.6, 0.4])
    assert probability_guidance(logits, torch.tensor([[[False, True]]]))[0, 0].tolist() == [0, 1]
    assert probability_guidance(logits, torch.tensor([[[False, False]]]))[0, 0].tolist() == [0, 0]
