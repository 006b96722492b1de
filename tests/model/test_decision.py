"""Audio, text and both decide, each for itself, and a gate mixes what they say."""

import pytest
import torch
import torch.nn.functional as F

from hbaf.model.batch import UNLABELLED
from hbaf.model.decision import UnimodalHeads

B, U, C = 2, 3, 4
EVERYBODY = torch.ones(B, U, dtype=torch.bool)


def heads(**settings):
    torch.manual_seed(0)
    return UnimodalHeads(5, 6, 7, C, **{"unimodal": 0.0, "distillation": 0.0, "experts": True, **settings})


@pytest.fixture
def inputs():
    torch.manual_seed(1)
    fused = torch.randn(B, U, C)
    read = (torch.randn(B, U, 5), torch.randn(B, U, 6), torch.randn(B, U, 7))
    return fused, read, torch.tensor([[0, 1, 2], [3, UNLABELLED, 0]])


def test_the_mixture_by_hand(inputs):
    fused, read, label = inputs
    made = heads()
    logits, losses, shares = made(fused, read, EVERYBODY, EVERYBODY, label)
    weight = made.gate(read[2]).softmax(-1)
    said = [fused.softmax(-1), made.audio(read[0]).softmax(-1), made.text(read[1]).softmax(-1)]
    expected = sum(weight[..., number, None] * p for number, p in enumerate(said))
    torch.testing.assert_close(logits.exp(), expected)
    torch.testing.assert_close(logits.softmax(-1), expected)
    assert not losses
    torch.testing.assert_close(sum(shares.values()), torch.ones(B, U, 1))


def test_a_missing_modality_has_no_say(inputs):
    fused, read, label = inputs
    logits, _, shares = heads()(fused, read, ~EVERYBODY, ~EVERYBODY, label)
    torch.testing.assert_close(logits.softmax(-1), fused.softmax(-1))
    assert not shares["expert_audio"].any()
    assert not shares["expert_text"].any()
    some = EVERYBODY.clone()
    some[0, 1] = False
    assert heads()(fused, read, some, EVERYBODY, label)[2]["expert_audio"].eq(0).sum() == 1


def test_each_stream_is_taught_where_it_is_and_labelled(inputs):
    fused, read, label = inputs
    has_audio = torch.tensor([[True, False, True], [True, True, False]])
    made = heads(unimodal=0.5, experts=False)
    logits, losses, shares = made(fused, read, has_audio, EVERYBODY, label)
    assert logits is fused
    assert not shares
    at = has_audio & (label != UNLABELLED)
    torch.testing.assert_close(losses["unimodal_audio"], 0.5 * F.cross_entropy(made.audio(read[0])[at], label[at]))
    assert set(made(fused, read, ~EVERYBODY, EVERYBODY, label)[1]) == {"unimodal_text"}


def test_streams_learn_from_the_fused_decision_and_not_the_other_way(inputs):
    fused, read, label = inputs
    fused.requires_grad_()
    made = heads(distillation=0.5, experts=False)
    losses = made(fused, read, EVERYBODY, EVERYBODY, torch.full_like(label, UNLABELLED))[1]
    target, said = fused.softmax(-1), made.audio(read[0]).log_softmax(-1)
    expected = 0.5 * (target * (target.log() - said)).sum(-1).mean()
    torch.testing.assert_close(losses["distillation_audio"], expected)
    sum(losses.values()).backward()
    assert fused.grad is None
    assert made.audio.weight.grad.abs().max() > 0
