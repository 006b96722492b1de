import pytest
import torch

from hbaf.model.attention import attend
from hbaf.model.fusion import BimodalAttention, DynamicFilterGate, MultiModalFusion, Residual, UniModalFusion

DIM = 8


@pytest.fixture
def streams():
    torch.manual_seed(0)
    audio_keys = torch.tensor([[True, True, True, True], [True, False, True, False]])
    text_keys = torch.tensor([[True, False, True, True], [True, True, True, False]])
    return torch.randn(2, 4, DIM), torch.randn(2, 4, DIM), audio_keys, text_keys


def test_four_attentions_share_their_projections(streams):
    H_a, H_l, audio_keys, text_keys = streams
    attention = BimodalAttention(DIM, heads=2)
    audio, text = attention.audio, attention.text

    zeta, weights = attention(H_a, H_l, audio_keys, text_keys)

    # (queries, keys, values, mask) of Eq. 7 for both streams, Eq. 8 and Eq. 9.
    for name, Q, K, V, keys in (
        ("audio", audio.Q(H_a), audio.K(H_a), audio.V(H_a), audio_keys),
        ("text", text.Q(H_l), text.K(H_l), text.V(H_l), text_keys),
        ("audio_to_text", audio.Q(H_a), text.K(H_l), text.V(H_l), text_keys),
        ("text_to_audio", text.Q(H_l), audio.K(H_a), audio.V(H_a), audio_keys),
    ):
        torch.testing.assert_close(zeta[name], attend(Q, K, V, keys, 2)[0])
        assert weights[name].shape == (2, 2, 4, 4)
        assert weights[name].transpose(-1, -2)[:, 0][~keys].abs().max() == 0
    # Six bias-free matrices and nothing else.
    assert sum(p.numel() for p in attention.parameters()) == 6 * DIM * DIM


@pytest.mark.parametrize(("bias", "kept"), [(1e4, "self"), (-1e4, "cross")])
def test_gate_limits(bias, kept):
    gate = DynamicFilterGate(DIM)
    torch.nn.init.constant_(gate.W_s.bias, bias)
    views = {"self": torch.randn(2, 4, DIM), "cross": torch.randn(2, 4, DIM)}
    H_star, G = gate(views["self"], views["cross"])
    torch.testing.assert_close(H_star, views[kept])
    assert ((G >= 0) & (G <= 1)).all()


def test_gate_by_hand():
    gate = DynamicFilterGate(1)
    with torch.no_grad():
        gate.W_s.weight.fill_(1.0)
        gate.W_s.bias.fill_(0.5)
        gate.W_c.weight.fill_(-2.0)
    H_star, G = gate(torch.tensor([3.0]), torch.tensor([1.0]))
    # sigmoid(1 * 3 - 2 * 1 + 0.5) = sigmoid(1.5) = 0.817574; 0.817574 * 3 + 0.182426 * 1 = 2.635149
    assert G.item() == pytest.approx(0.817574, abs=1e-6)
    assert H_star.item() == pytest.approx(2.635149, abs=1e-6)


@pytest.mark.parametrize(
    ("direction", "cross_audio", "cross_text"),
    [("literal", "text_to_audio", "audio_to_text"), ("crossed", "audio_to_text", "text_to_audio")],
)
def test_cross_direction(streams, direction, cross_audio, cross_text):
    fusion = MultiModalFusion(DIM, residual=False, cross_direction=direction)
    zeta, _ = fusion.attention(*streams)

    h_a, h_l, views = fusion(*streams)

    expected, G = fusion.gate_audio(zeta["audio"], zeta[cross_audio])
    torch.testing.assert_close(h_a, expected)
    torch.testing.assert_close(views["gate_audio"], G)
    torch.testing.assert_close(h_l, fusion.gate_text(zeta["text"], zeta[cross_text])[0])


def test_literal_direction_moves_audio_values_only(streams):
    """As printed, the audio stream is gated with audio values: text decides the weights and adds no value."""
    H_a, H_l, audio_keys, text_keys = streams
    for direction, expected in (("literal", 0.0), ("crossed", 1.0)):
        fusion = MultiModalFusion(DIM, residual=False, gate=False, cross_direction=direction)
        with torch.no_grad():
            fusion.attention.audio.V.weight.zero_()
        h_a, _, _ = fusion(H_a, H_l, audio_keys, text_keys)
        assert float(h_a.abs().max() > 0) == expected


def test_ablations_leave_what_they_say(streams):
    H_a, H_l, *_ = streams

    fusion = MultiModalFusion(DIM, bimodal_attention=False, residual=False)
    h_a, h_l, views = fusion(*streams)
    torch.testing.assert_close(h_a, fusion.gate_audio(H_a, H_l)[0])
    torch.testing.assert_close(h_l, fusion.gate_text(H_l, H_a)[0])
    assert set(views) == {"gate_audio", "gate_text"}

    fusion = MultiModalFusion(DIM, gate=False, residual=False)
    zeta, _ = fusion.attention(*streams)
    h_a, h_l, views = fusion(*streams)
    torch.testing.assert_close(h_a, (zeta["audio"] + zeta["text_to_audio"]) / 2)
    torch.testing.assert_close(h_l, (zeta["text"] + zeta["audio_to_text"]) / 2)
    assert set(views) == {f"attention_{name}" for name in zeta}

    bare = MultiModalFusion(DIM, gate=False, residual=False, bimodal_attention=False)
    assert not list(bare.parameters())
    torch.testing.assert_close(bare(*streams)[0], (H_a + H_l) / 2)


def test_residual_by_hand():
    torch.manual_seed(0)
    residual = Residual(DIM, 24, 0.0)
    H, H_star = torch.randn(2, 3, DIM), torch.randn(2, 3, DIM)

    def normalised(x):
        return (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()

    H_LN = normalised(H + H_star)
    expand, _, contract = residual.feedforward
    hidden = (H_LN @ expand.weight.T + expand.bias).clamp(min=0)
    torch.testing.assert_close(residual(H, H_star), normalised(H_LN + hidden @ contract.weight.T + contract.bias))


def test_single_stream(streams):
    H, _, keys, _ = streams
    fusion = UniModalFusion(DIM, feedforward=24, dropout=0.0)
    h, weights = fusion(H, keys)
    attention = fusion.attention
    zeta, expected = attend(attention.Q(H), attention.K(H), attention.V(H), keys)
    torch.testing.assert_close(h, fusion.residual(H, zeta))
    torch.testing.assert_close(weights, expected)

    bare = UniModalFusion(DIM, bimodal_attention=False, residual=False)
    assert not list(bare.parameters())
    assert bare(H, keys)[0] is H


@pytest.mark.parametrize("build", [BimodalAttention, lambda dim, heads: UniModalFusion(dim, heads=heads)])
def test_heads_must_divide_dim(build):
    with pytest.raises(ValueError, match="divisible by fusion_heads; 8 is not by 3"):
        build(8, 3)


def test_normalised_before_instead_of_after(streams):
    H_a, H_l, audio_keys, text_keys = streams
    fusion = MultiModalFusion(DIM, feedforward=24, dropout=0.0, pre_norm=True)
    h_a, _, _ = fusion(*streams)
    residual = fusion.residual_audio
    zeta, _ = fusion.attention(residual.norm1(H_a), fusion.residual_text.norm1(H_l), audio_keys, text_keys)
    summed = H_a + fusion.gate_audio(zeta["audio"], zeta["text_to_audio"])[0]
    torch.testing.assert_close(h_a, summed + residual.feedforward(residual.norm2(summed)))
    # The stream itself goes through unnormalised: its scale is kept.
    assert (fusion(100 * H_a, H_l, audio_keys, text_keys)[0] - 100 * H_a).abs().max() < 20

    single = UniModalFusion(DIM, feedforward=24, dropout=0.0, bimodal_attention=False, pre_norm=True)
    residual = single.residual
    summed = H_a + residual.norm1(H_a)
    torch.testing.assert_close(single(H_a, audio_keys)[0], summed + residual.feedforward(residual.norm2(summed)))
