"""CMN: what is history, the memories by speaker, the hops by hand."""

import math

import torch

from hbaf.baselines.published.cmn import histories, hop
from hbaf.baselines.turns import SpeakerTurns
from hbaf.model.turns import backwards


def test_history_is_earlier_within_the_window_by_role(make_batch) -> None:
    batch = make_batch((5,), speakers=3, no_audio=[(0, 1)], no_text=[(0, 1)])  # speakers 0 1 2 0 1; turn 1 is empty
    own, others = histories(batch, window=3)
    pairs = {(t, i) for t, i in own[0].nonzero().tolist()}, {(t, i) for t, i in others[0].nonzero().tolist()}
    # Turn 4 cannot see turn 0 (4 ago), and nobody sees the empty turn 1, not even speaker 1 at turn 4.
    assert pairs[0] == {(3, 0)}
    assert pairs[1] == {(1, 0), (2, 0), (3, 2), (4, 2), (4, 3)}


def test_two_hops_by_hand() -> None:
    """D = 1. Turn 2 remembers turn 0 as its own and turn 1 as the other's; then a turn with two memories of its own."""
    own = [torch.tensor([[[x], [0.0], [0.0]]]) for x in (1.0, 0.5, 0.25)]
    others = [torch.tensor([[[0.0], [x], [0.0]]]) for x in (7.0, -0.2, 0.3)]
    history = torch.zeros(1, 3, 3, dtype=torch.bool), torch.zeros(1, 3, 3, dtype=torch.bool)
    history[0][0, 2, 0] = True
    history[1][0, 2, 1] = True
    q = torch.tensor([[[0.1], [0.2], [0.4]]])
    read, _ = hop(q, (own, others), history)
    # One memory per role has weight 1: o = .5 - .2, q = tanh(.4 + .3); then o = .25 + .3, the last is not squashed.
    assert abs(read[0, 2, 0].item() - (math.tanh(0.7) + 0.55)) < 1e-6
    # Without history: tanh once, then as it is.
    assert abs(read[0, 0, 0].item() - math.tanh(0.1)) < 1e-6

    history[0][0, 2, 1] = True
    own[0][0, 1, 0], own[1][0, 1, 0] = 3.0, 2.0
    _, (weights, _) = hop(q, (own, others), history)
    # Scores .4 * 1 and .4 * 3.
    expected = math.exp(0.4) / (math.exp(0.4) + math.exp(1.2))
    assert abs(weights[0][0, 2, 0].item() - expected) < 1e-6
    assert weights[0][0, 0].abs().max() == 0


def test_turns_by_speaker_and_back(make_batch) -> None:
    batch = make_batch((5, 3), speakers=2)  # 0 1 0 1 0 and 0 1 0
    turns = SpeakerTurns(batch.speaker, batch.mask)
    x = torch.arange(10.0).view(2, 5, 1)
    assert turns.split(x)[..., 0].tolist() == [[0, 2, 4], [1, 3, 0], [5, 7, 0], [6, 0, 0]]
    assert turns.merge(turns.split(x))[..., 0].tolist() == [[0, 1, 2, 3, 4], [5, 6, 7, 0, 0]]


def test_backwards_leaves_padding_at_the_end() -> None:
    mask = torch.tensor([[True, True, True], [True, True, False]])
    x = torch.tensor([[1, 2, 3], [4, 5, 0]])
    assert backwards(x, mask).tolist() == [[3, 2, 1], [5, 4, 0]]
    assert torch.equal(backwards(backwards(x, mask), mask), x)
