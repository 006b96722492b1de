"""TelME: the displacement, and what the student is asked to copy."""

import math

import pytest
import torch

from hbaf.baselines.published.telme import (
    ModalityShift,
    TelME,
    correlation,
    feature_distillation,
    response_distillation,
)


def shift_with(gate: float, beta: float) -> ModalityShift:
    """D = 2; the gate is a constant, audio passes as it is."""
    shift = ModalityShift(2, beta)
    with torch.no_grad():
        shift.gate.weight.zero_()
        shift.gate.bias.fill_(gate)
        shift.audio.weight.copy_(torch.eye(2))
        shift.audio.bias.zero_()
    return shift


def test_displacement_by_hand() -> None:
    audio, text = torch.tensor([3.0, 4.0]), torch.tensor([0.0, 10.0])
    # H = 2 * audio has length 10 and text has length 10: the displacement may be beta * 10 = 1 long, so H / 10.
    torch.testing.assert_close(shift_with(2.0, 0.1)(audio, text), torch.tensor([0.6, 0.8]))
    # Short enough as it is (length .5 against 1): added in full.
    torch.testing.assert_close(shift_with(0.1, 0.1)(audio, text), torch.tensor([0.3, 0.4]))
    # A closed gate, and a text of length 0, move nothing.
    assert shift_with(-1.0, 0.1)(audio, text).abs().max() == 0
    assert shift_with(2.0, 0.1)(audio, torch.zeros(2)).abs().max() == 0


def test_the_shift_is_never_longer_than_beta_of_the_text(make_batch) -> None:
    torch.manual_seed(0)
    shift = ModalityShift(8, 0.2)
    text = torch.randn(50, 8)
    length = shift(10 * torch.randn(50, 8), text).norm(dim=-1)
    assert (length <= 0.2 * text.norm(dim=-1) + 1e-6).all()
    system = TelME(audio_dim=6, text_dim=7, commonsense_dim=None, emotions=4, dim=8).eval()
    displacement = system(make_batch((3,), no_audio=[(0, 1)])).views["displacement"][0]
    assert displacement[1].abs().max() == 0
    assert displacement[0].abs().max() > 0


def test_correlation_by_hand() -> None:
    x = torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [1.0, 1.0, 1.0], [1.0, 3.0, 2.0]])
    y = torch.tensor([[10.0, 20.0, 30.0], [3.0, 2.0, 1.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    assert correlation(x, y).tolist() == pytest.approx([1.0, -1.0, 0.0, 0.5])


def test_response_distillation_looks_at_relations_not_values() -> None:
    teacher = torch.randn(6, 4)
    assert response_distillation(teacher.clone(), teacher, 2.0).item() == pytest.approx(0.0, abs=1e-5)
    assert response_distillation(torch.randn(6, 4), teacher, 2.0).item() > 0.1
    # Two utterances, two emotions, opposite in all: both correlations are -1, so 4^2 * (2 + 2).
    opposite = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert response_distillation(opposite, opposite.flip(0), 4.0).item() == pytest.approx(64.0, rel=1e-4)
    student = torch.randn(1, 4, requires_grad=True)
    assert response_distillation(student, torch.randn(1, 4), 4.0).item() == 0


def test_feature_distillation_by_hand() -> None:
    """Teacher: two equal vectors, so similarities 1, 1; student: right angles, so 1, 0. Temperature 1."""
    teacher, student = torch.tensor([[1.0, 0.0], [2.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    sure = 1 / (1 + math.exp(-1.0))
    kl = 0.5 * math.log(0.5 / sure) + 0.5 * math.log(0.5 / (1 - sure))
    assert feature_distillation(student, teacher, 1.0).item() == pytest.approx(kl, rel=1e-5)


def test_later_stages_teach_nothing_to_earlier_ones(make_batch) -> None:
    system, batch = TelME(audio_dim=6, text_dim=7, commonsense_dim=None, emotions=4, dim=8).train(), make_batch((4,))
    output = system(batch)
    output.logits.sum().backward(retain_graph=True)
    assert system.text.weight.grad is None
    assert system.student[0].weight.grad is None
    (output.losses["responses"] + output.losses["features"]).backward()
    assert system.text.weight.grad is None
    assert system.student[0].weight.grad.abs().max() > 0
