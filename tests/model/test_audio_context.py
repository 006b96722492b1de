import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from hbaf.model.audio_context import AudioContextNetwork, AudioProjection, EncoderLayer, bidirectional


def network(**settings):
    torch.manual_seed(0)
    return AudioContextNetwork(6, 16, heads=4, encoder_layers=2, feedforward=24, conv_channels=8, **settings).eval()


@pytest.mark.parametrize("pre_norm", [False, True])
def test_encoder_layer_agrees_with_torch(pre_norm):
    torch.manual_seed(0)
    ours = EncoderLayer(16, 4, 24, 0.0, pre_norm)
    reference = nn.TransformerEncoderLayer(16, 4, 24, 0.0, batch_first=True, norm_first=pre_norm)
    attention = reference.self_attn
    with torch.no_grad():
        attention.in_proj_weight.copy_(ours.query_key_value.weight)
        attention.in_proj_bias.copy_(ours.query_key_value.bias)
        attention.out_proj.load_state_dict(ours.out.state_dict())
        reference.linear1.load_state_dict(ours.feedforward[0].state_dict())
        reference.linear2.load_state_dict(ours.feedforward[3].state_dict())
    x = torch.randn(2, 5, 16)
    keys = torch.tensor([[True] * 5, [True, True, False, True, False]])

    torch.testing.assert_close(ours(x, keys), reference(x, src_key_padding_mask=~keys), atol=1e-5, rtol=1e-5)


def test_encoder_layer_without_any_key_is_the_rest_of_the_layer():
    torch.manual_seed(0)
    layer = EncoderLayer(16, 4, 24, 0.0)
    x = torch.randn(1, 3, 16, requires_grad=True)

    y = layer(x, torch.zeros(1, 3, dtype=torch.bool))

    plain = layer.norm1(x)
    torch.testing.assert_close(y, layer.norm2(plain + layer.feedforward(plain)))
    y.square().sum().backward()
    assert torch.isfinite(x.grad).all()


def test_what_lies_on_padding_does_not_matter():
    model = network()
    audio = torch.randn(2, 6, 6)
    mask = torch.tensor([[True] * 6, [True] * 3 + [False] * 3])
    other = audio.masked_fill(~mask[..., None], 1e6)

    torch.testing.assert_close(model(audio, mask, mask)[mask], model(other, mask, mask)[mask])
    torch.testing.assert_close(
        model(audio[1:, :3], mask[1:, :3], mask[1:, :3])[0], model(other, mask, mask)[1, :3], atol=1e-5, rtol=1e-5
    )


def test_whole_network_by_hand_and_a_turn_without_audio_is_no_key():
    model = network(dropout=0.0)
    audio = torch.randn(1, 5, 6)
    mask, keys = torch.ones(1, 5, dtype=torch.bool), torch.tensor([[True, False, True, True, True]])
    x, _ = model.lstm(model.conv(audio.transpose(1, 2)).relu().transpose(1, 2))
    for layer in model.encoder:
        x = layer(x, keys)

    torch.testing.assert_close(model(audio, mask, keys), x)
    assert (model(audio, mask, mask) - x).abs().max() > 1e-4


def test_every_turn_hears_every_other():
    audio = torch.randn(1, 7, 6, requires_grad=True)
    mask = torch.ones(1, 7, dtype=torch.bool)
    for turn in (0, 6):
        (slope,) = torch.autograd.grad(network()(audio, mask, mask)[0, turn].square().sum(), audio)
        assert (slope.abs().sum(-1) > 0).all()


def test_without_context_each_turn_stands_alone():
    projection = AudioProjection(6, 16)
    audio = torch.randn(1, 4, 6)
    mask = torch.ones(1, 4, dtype=torch.bool)
    changed = audio.clone()
    changed[0, 2] += 1

    difference = (projection(audio, mask, mask) - projection(changed, mask, mask)).abs().sum(-1)[0]
    assert difference[2] > 0
    assert difference[[0, 1, 3]].max() == 0


def test_sub_widths_follow_dim():
    model = network()
    assert model.lstm.hidden_size == 8
    assert model.lstm.num_layers == 2
    assert model.lstm.bidirectional
    assert model.conv.kernel_size == (3,)
    with pytest.raises(ValueError, match="even"):
        AudioContextNetwork(6, 15, heads=5)
    with pytest.raises(ValueError, match="divisible by heads; 16 is not by 5"):
        AudioContextNetwork(6, 16, heads=5)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_both_directions_agree_with_the_packed_lstm_in_values_gradients_and_dropout(dropout):
    torch.manual_seed(0)
    lstm = nn.LSTM(3, 4, 2, batch_first=True, dropout=dropout, bidirectional=True).train()
    lengths, mask = torch.tensor([2, 5, 3]), torch.arange(5) < torch.tensor([2, 5, 3])[:, None]
    found = []
    for ours in (True, False):
        x = torch.ones(3, 5, 3).cumsum(1).requires_grad_()
        torch.manual_seed(1)
        if ours:
            y = bidirectional(lstm, x, lengths)
        else:
            packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            y = pad_packed_sequence(lstm(packed)[0], batch_first=True)[0]
        lstm.zero_grad()
        y[mask].square().sum().backward()
        found.append([y[mask].detach(), x.grad, *(p.grad for p in lstm.parameters())])
    for mine, reference in zip(*found, strict=True):
        torch.testing.assert_close(mine, reference, atol=1e-5, rtol=1e-5)
