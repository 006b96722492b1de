"""The distinctive pieces of the systems that are our reading: M2FNet, HGraph-CL, AGF-IB, M2R2."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from hbaf.baselines.graph_attention import GraphAttention, two_modalities
from hbaf.baselines.objectives import info_nce
from hbaf.baselines.readings.agf_ib import AGFIB, gaussian_kl, reverse_gradient, supervised_contrast
from hbaf.baselines.readings.hgraph_cl import HGraphCL, speaker_edges
from hbaf.baselines.readings.m2fnet import FusionAttention
from hbaf.baselines.readings.m2r2 import CommonRepresentation, PartyAttention, heard_others, hide, squared_error


def test_m2fnet_finds_by_audio_and_reads_text() -> None:
    torch.manual_seed(0)
    layer, keys = FusionAttention(4, 2, 0.0).eval(), torch.ones(1, 3, dtype=torch.bool)
    text, audio = torch.randn(1, 3, 4), torch.randn(1, 3, 4)
    part = layer.attention
    Q = part.query(text).unflatten(-1, (2, 2)).transpose(1, 2)
    K = part.key(audio).unflatten(-1, (2, 2)).transpose(1, 2)
    V = part.value(text).unflatten(-1, (2, 2)).transpose(1, 2)
    # torch's own attention, with queries of text, keys of audio, values of text.
    attended = torch.nn.functional.scaled_dot_product_attention(Q, K, V).transpose(1, 2).flatten(2)
    fused, weights = layer(text, audio, keys)
    torch.testing.assert_close(fused, layer.norm(text + part.out(attended)))
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 2, 3))


def test_info_nce_of_two_views() -> None:
    """Two nodes; views at cosines [[1, 0], [0.6, 0.8]], temperature 0.5."""
    x = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    y = torch.tensor([[2.0, 0.0], [0.6, 0.8]])
    # Rows of x among y: cosines (1, .6) and (0, .8); rows of y among x: (1, 0) and (.6, .8); each over 0.5.
    rows = -math.log(math.exp(2) / (math.exp(2) + math.exp(1.2))), -math.log(math.exp(1.6) / (1 + math.exp(1.6)))
    columns = -math.log(math.exp(2) / (math.exp(2) + 1)), -math.log(math.exp(1.6) / (math.exp(1.2) + math.exp(1.6)))
    assert info_nce(x, y, 0.5).item() == pytest.approx(sum((*rows, *columns)) / 4, rel=1e-5)
    assert info_nce(torch.ones(5, 3), torch.ones(5, 3), 0.1).item() == pytest.approx(math.log(5))
    assert info_nce(torch.ones(1, 3), torch.ones(1, 3), 0.1).item() == 0


def test_hgraph_cl_edges_join_near_turns_and_one_speaker() -> None:
    speaker = torch.tensor([[0, 1, 1, 0, 0]])
    there = torch.tensor([[True, True, True, True, False]])
    found = {(i, j) for i, j in speaker_edges(speaker, there, 1)[0].nonzero().tolist() if i < j}
    assert found == {(0, 1), (1, 2), (2, 3), (0, 3)}


def test_cross_modal_edges_join_one_utterance() -> None:
    has_audio, has_text = torch.tensor([[True, True]]), torch.tensor([[True, False]])
    joined = two_modalities(torch.zeros(1, 2, 2).bool(), torch.zeros(1, 2, 2).bool(), has_audio, has_text)
    assert joined[0].nonzero().tolist() == [[0, 2], [2, 0]]


def test_hgraph_cl_draws_views_in_training_only(make_batch) -> None:
    settings = {"audio_dim": 6, "text_dim": 7, "commonsense_dim": None, "emotions": 4, "dim": 8, "dropout": 0.0}
    system, batch = HGraphCL(**settings), make_batch((4, 3))
    assert set(system.eval()(batch).losses) == {"across"}
    assert set(system.train()(batch).losses) == {"audio_views", "text_views", "across"}
    torch.manual_seed(0)
    losses = system(batch).losses["audio_views"], system(batch).losses["audio_views"]
    assert losses[0].item() != losses[1].item()
    # Nothing dropped: both views are the same, yet InfoNCE still has the others to beat.
    system = HGraphCL(**settings, drop=0.0).train()
    nodes = torch.randn(1, 4, 8)
    edges = speaker_edges(batch.speaker[:1], batch.mask[:1], 2)
    torch.testing.assert_close(system._view("audio", nodes, edges), system.within["audio"](nodes, edges)[0])


def test_graph_attention_against_a_loop_over_edges() -> None:
    torch.manual_seed(0)
    layer = GraphAttention(4, 2, 0.0).eval()
    h = torch.randn(1, 3, 4)
    edges = torch.tensor([[[1, 1, 0], [0, 1, 1], [0, 0, 0]]]).bool()
    out, weights = layer(h, edges)
    x = layer.W(h)[0].view(3, 2, 2)
    for i in range(3):
        read = torch.zeros(2, 2)
        for head in range(2):
            neighbours = edges[0, i].nonzero()[:, 0].tolist()
            scores = [x[i, head] @ layer.a[head] + x[j, head] @ layer.b[head] for j in neighbours]
            strength = [math.exp(max(s.item(), 0.2 * s.item())) for s in scores]
            for j, s in zip(neighbours, strength, strict=True):
                read[head] += s / sum(strength) * x[j, head].detach()
                assert weights[0, head, i, j].item() == pytest.approx(s / sum(strength), rel=1e-5)
        torch.testing.assert_close(out[0, i], layer.norm(h[0, i] + torch.nn.functional.elu(read.flatten())))


def test_gradient_reversal_has_the_opposite_sign() -> None:
    x = torch.tensor([1.0, -2.0], requires_grad=True)
    y = reverse_gradient(x)
    assert torch.equal(y, x)
    (y * torch.tensor([3.0, 5.0])).sum().backward()
    assert x.grad.tolist() == [-3.0, -5.0]


def test_the_encoders_work_against_the_discriminator() -> None:
    """A step down the adversarial loss by the discriminator lowers it; the same step by the encoders raises it."""
    torch.manual_seed(0)
    settings = {"audio_dim": 6, "text_dim": 7, "commonsense_dim": None, "emotions": 4, "dim": 8, "dropout": 0.0}
    audio, text = torch.randn(20, 6), torch.randn(20, 7)
    changes = {}
    for who in ("discriminator", "audio"):
        torch.manual_seed(1)
        system = AGFIB(**settings)
        loss = system._adversary(system.audio(audio), system.text(text))
        loss.backward()
        with torch.no_grad():
            for parameter in getattr(system, who).parameters():
                parameter -= 0.01 * parameter.grad
            changes[who] = (system._adversary(system.audio(audio), system.text(text)) - loss).item()
    assert changes["discriminator"] < 0 < changes["audio"]


def test_bottleneck_against_torchs_divergence() -> None:
    mu, log_variance = torch.randn(5, 3), torch.randn(5, 3)
    reference = kl_divergence(Normal(mu, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(-1).mean()
    torch.testing.assert_close(gaussian_kl(mu, log_variance), reference)
    assert gaussian_kl(torch.zeros(2, 3), torch.zeros(2, 3)).item() == 0
    # mu = 2, sigma = 1: half of 4.
    assert gaussian_kl(torch.tensor([[2.0]]), torch.zeros(1, 1)).item() == 2
    assert gaussian_kl(torch.zeros(0, 3), torch.zeros(0, 3)).item() == 0


def test_the_code_is_drawn_in_training_and_the_mean_otherwise(make_batch) -> None:
    torch.manual_seed(0)
    system = AGFIB(audio_dim=6, text_dim=7, commonsense_dim=None, emotions=4, dim=8, dropout=0.0)
    batch = make_batch((4,))
    drawn = torch.stack([system.train()(batch).logits for _ in range(400)]).detach()
    mean = system.eval()(batch).logits.detach()
    assert drawn.std(0).min() > 0.05
    torch.testing.assert_close(drawn.mean(0), mean, atol=0.25, rtol=0)


def test_supervised_contrast_by_hand() -> None:
    """Three utterances, the first two of one emotion at cosine 0, the third opposite to the first; tau 1."""
    h, label = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]), torch.tensor([0, 0, 1])
    first = -math.log(1 / (1 + math.exp(-1)))  # positive at cosine 0 against {0, -1}
    second = math.log(2)  # positive at 0 against {0, 0}
    assert supervised_contrast(h, label, 1.0).item() == pytest.approx((first + second) / 2, rel=1e-5)
    assert supervised_contrast(h, torch.tensor([0, 1, 2]), 1.0).item() == 0
    assert supervised_contrast(h[:0], label[:0], 1.0).item() == 0


def test_m2r2_never_replaces_what_it_sees_and_refines_what_it_does_not() -> None:
    torch.manual_seed(0)
    audio, text = torch.randn(1, 3, 4), torch.randn(1, 3, 5)
    seen_audio = torch.tensor([[True, True, True]])
    seen_text = torch.tensor([[True, False, True]])
    none, two = CommonRepresentation(4, 5, 6, 0), CommonRepresentation(4, 5, 6, 2)
    two.load_state_dict(none.state_dict())
    before, after = none(audio, text, seen_audio, seen_text)[0], two(audio, text, seen_audio, seen_text)[0]
    torch.testing.assert_close(before[0, [0, 2]], after[0, [0, 2]])
    assert (before[0, 1] - after[0, 1]).abs().max() > 1e-3
    # The unseen text has no influence whatever it is.
    torch.testing.assert_close(after[0, 1], two(audio, text * 100, seen_audio, seen_text)[0][0, 1])
    # The last round by hand: text guessed from the representation of the round before.
    l = none.decode_text(before)  # noqa: E741
    once = torch.tanh(none.combine(torch.cat([none.encode_audio(audio), none.encode_text(l)], -1)))
    l = none.decode_text(once)  # noqa: E741
    twice = torch.tanh(none.combine(torch.cat([none.encode_audio(audio), none.encode_text(l)], -1)))
    torch.testing.assert_close(after[0, 1], twice[0, 1])


def test_m2r2_hides_one_modality_of_those_that_have_both() -> None:
    torch.manual_seed(0)
    has_audio = torch.ones(100, 100, dtype=torch.bool)
    has_text = has_audio.clone()
    has_text[:, 90:] = False
    audio, text = hide(has_audio, has_text, 0.4)
    assert (audio | text).all()
    assert audio[:, 90:].all()
    # 9000 draws of chance 0.2: standard deviation 0.004
    assert 1 - audio[:, :90].float().mean().item() == pytest.approx(0.2, abs=0.02)
    assert 1 - text[:, :90].float().mean().item() == pytest.approx(0.2, abs=0.02)


def test_m2r2_reconstruction_error() -> None:
    guess, truth = torch.tensor([[[1.0, 2.0], [5.0, 5.0]]]), torch.tensor([[[0.0, 0.0], [0.0, 0.0]]])
    assert squared_error(guess, truth, torch.tensor([[True, False]])).item() == 2.5
    assert squared_error(guess, truth, torch.tensor([[False, False]])).item() == 0


def test_m2r2_hears_those_who_spoke_before() -> None:
    allowed = heard_others(torch.tensor([0, 1, 0, 2]).expand(2, 1, -1))[0, 0]
    assert allowed.int().tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]]


def test_m2r2_party_states_against_a_loop() -> None:
    torch.manual_seed(0)
    D, speakers = 3, [0, 1, 0, 2]
    net = PartyAttention(D)
    x, g = torch.randn(2, 1, 4, D), torch.randn(2, 1, 4, D)
    states = net(x, g, torch.tensor(speakers).expand(2, 1, -1))
    for way in range(2):
        cell = torch.nn.GRUCell(3 * D, D)
        with torch.no_grad():
            cell.weight_ih.copy_(torch.cat([net.input.weight[way], net.others.weight[way]]).T)
            cell.bias_ih.copy_(net.input.bias[way, 0])
            cell.weight_hh.copy_(net.state.weight[way].T)
            cell.bias_hh.copy_(net.state.bias[way, 0])
        party: dict[int, torch.Tensor] = {}
        for t, s in enumerate(speakers):
            read = torch.cat([x[way, 0, t], g[way, 0, t]])
            others = [state for who, state in party.items() if who != s]
            o = torch.zeros(D)
            if others:
                history = torch.stack(others)
                o = (history @ (read @ net.query.weight[way]) / math.sqrt(D)).softmax(0) @ history
            party[s] = cell(torch.cat([read, o]), party.get(s, torch.zeros(D)))
            torch.testing.assert_close(states[way, 0, t], party[s])
