"""SDT: its two gates and the self-distillation."""

import math

import pytest
import torch

from hbaf.baselines.objectives import distillation, labelled_cross_entropy
from hbaf.baselines.published.sdt import SDT, MultimodalGate, UnimodalGate, positions


def test_unimodal_gate_by_hand() -> None:
    gate = UnimodalGate(2)
    with torch.no_grad():
        gate.W.weight.copy_(torch.tensor([[0.0, 1.0], [0.0, 0.0]]))
    # sigmoid(3) * 2 and sigmoid(0) * 3
    assert gate(torch.tensor([2.0, 3.0])).tolist() == pytest.approx([2 / (1 + math.exp(-3)), 1.5])


def test_multimodal_gate_by_hand() -> None:
    gate = MultimodalGate(2)
    with torch.no_grad():
        gate.W.weight.copy_(torch.eye(2))
    h = torch.tensor([[[[1.0, 0.0], [3.0, 0.0]]]])  # one utterance: audio [1, 0], text [3, 0]
    there = torch.tensor([[[True, True]]])
    fused, shares = gate(h, there)
    text = math.exp(3) / (math.exp(1) + math.exp(3))
    assert shares[0, 0, :, 0].tolist() == pytest.approx([1 - text, text])
    assert shares[0, 0, :, 1].tolist() == pytest.approx([0.5, 0.5])
    assert fused[0, 0, 0].item() == pytest.approx(1 - text + 3 * text)
    # What is missing has no share; with neither there is nothing.
    fused, shares = gate(h, torch.tensor([[[True, False]]]))
    assert shares[0, 0].tolist() == [[1.0, 1.0], [0.0, 0.0]]
    assert fused[0, 0].tolist() == [1.0, 0.0]
    assert gate(h, torch.tensor([[[False, False]]]))[0].abs().max() == 0


def test_distillation_by_hand() -> None:
    """Teacher 3:1, student 1:1, one kept utterance of two; temperature 1 and 2."""
    teacher = torch.tensor([[[math.log(3.0), 0.0], [5.0, 0.0]]])
    student = torch.zeros(1, 2, 2)
    keep = torch.tensor([[True, False]])
    kl = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert distillation(student, teacher, keep, 1.0).item() == pytest.approx(kl, rel=1e-5)
    soft = math.sqrt(3) / (1 + math.sqrt(3))
    kl = soft * math.log(soft / 0.5) + (1 - soft) * math.log((1 - soft) / 0.5)
    assert distillation(student, teacher, keep, 2.0).item() == pytest.approx(kl, rel=1e-5)
    assert distillation(student, teacher, torch.zeros_like(keep), 1.0).item() == 0


def test_no_gradient_goes_to_the_teacher() -> None:
    student, teacher = torch.randn(1, 3, 2, requires_grad=True), torch.randn(1, 3, 2, requires_grad=True)
    distillation(student, teacher, torch.ones(1, 3, dtype=torch.bool), 1.0).backward()
    assert teacher.grad is None
    assert student.grad.abs().max() > 0


def test_cross_entropy_of_what_is_labelled_and_there() -> None:
    logits = torch.tensor([[[0.0, 0.0], [9.0, 0.0], [0.0, 4.0]]])
    label, keep = torch.tensor([[1, -1, 0]]), torch.tensor([[True, True, False]])
    assert labelled_cross_entropy(logits, label, keep).item() == pytest.approx(math.log(2))
    assert labelled_cross_entropy(logits, label, torch.zeros_like(keep)).item() == 0


def test_position_embedding() -> None:
    table = positions(3, 4, torch.device("cpu"))
    expected = [math.sin(2), math.sin(0.02), math.cos(2), math.cos(0.02)]
    assert table[2].tolist() == pytest.approx(expected, abs=1e-6)


def test_gates_are_shown_and_missing_audio_has_no_share(make_batch) -> None:
    system = SDT(audio_dim=6, text_dim=7, commonsense_dim=None, emotions=4, dim=8).eval()
    gate = system(make_batch((3,), no_audio=[(0, 1)], no_text=[(0, 2)])).views["gate_audio"][0]
    assert gate[1].abs().max() == 0
    assert gate[2].min() == 1
    assert 0 < gate[0].min() <= gate[0].max() < 1
