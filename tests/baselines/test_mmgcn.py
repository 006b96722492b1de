"""MMGCN: who is joined to whom, the weights of edges, the layer."""

import math

import pytest
import torch

from hbaf.baselines.published.mmgcn import MMGCN, edge_weights, edges, normalised


def test_edge_weights_are_angles() -> None:
    nodes = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [3.0, 3.0], [-1.0, 0.0], [0.0, 0.0]]])
    weights = edge_weights(nodes, torch.ones(1, 5, 5, dtype=torch.bool))[0]
    # 0, 90, 45, 180 degrees to node 0; a zero vector stands at a right angle to all.
    assert weights[0].tolist() == pytest.approx([1.0, 0.5, 0.75, 0.0, 0.5], abs=2e-3)
    assert weights[1, 3].item() == pytest.approx(0.5)
    assert torch.equal(weights, weights.T)
    general = torch.randn(1, 4, 3)
    cosine = torch.cosine_similarity(general[0, 1], general[0, 2], dim=0).item()
    computed = edge_weights(general, torch.ones(1, 4, 4, dtype=torch.bool))[0, 1, 2].item()
    assert computed == pytest.approx(1 - math.acos(cosine) / math.pi, abs=1e-5)


def test_who_is_joined() -> None:
    """Nodes: audio 0 1 2, text 3 4 5; utterance 1 has no text, utterance 2 is padding."""
    has_audio = torch.tensor([[True, True, False]])
    has_text = torch.tensor([[True, False, False]])
    found = {(i, j) for i, j in edges(has_audio, has_text)[0].nonzero().tolist() if i < j}
    assert found == {(0, 1), (0, 3)}  # both audio nodes; both nodes of utterance 0
    assert edges(has_audio, has_text)[0].diagonal().all()
    nothing_joined = edge_weights(torch.ones(1, 6, 2), torch.zeros(1, 6, 6, dtype=torch.bool))
    assert torch.equal(nothing_joined[0], torch.eye(6))


def test_normalisation_by_degree() -> None:
    weights = torch.tensor([[[1.0, 0.5], [0.5, 1.0]]])
    torch.testing.assert_close(normalised(weights), weights / 1.5)
    weights = torch.tensor([[[1.0, 0.6, 0.0], [0.6, 1.0, 0.2], [0.0, 0.2, 1.0]]])  # degrees 1.6, 1.8, 1.2
    assert normalised(weights)[0, 0, 1].item() == pytest.approx(0.6 / math.sqrt(1.6 * 1.8))


def test_one_layer_by_hand() -> None:
    system = MMGCN(audio_dim=1, text_dim=1, commonsense_dim=None, emotions=2, dim=2, layers=1).eval()
    with torch.no_grad():
        system.input.weight.copy_(torch.eye(2))
        system.input.bias.zero_()
        system.layers[0].weight.copy_(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))  # swaps both numbers
    P = torch.tensor([[[0.5, 0.5], [0.5, 0.5]]])
    nodes = torch.tensor([[[1.0, 2.0], [3.0, 0.0]]])
    # P H = [2, 1] for both; S = .8 * [2, 1] + .2 * H_0 = [1.8, 1.2] and [2.2, .8]; beta = ln(.5 / 1 + 1) = .405465
    beta = math.log(1.5)
    first = [(1 - beta) * 1.8 + beta * 1.2, (1 - beta) * 1.2 + beta * 1.8]
    assert system._convolve(nodes, P)[0, 0].tolist() == pytest.approx(first, abs=1e-6)


def test_missing_audio_changes_no_other_node(make_batch) -> None:
    system = MMGCN(audio_dim=6, text_dim=7, commonsense_dim=None, emotions=4, dim=8).eval()
    P = system(make_batch((3,), no_audio=[(0, 1)])).views["edges"][0, 0]
    assert P[1].tolist() == [0, 1, 0, 0, 0, 0]
    assert P[0, 2] > 0
