import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hbaf.model.text_context import SoftContextAttention, TextContextNetwork, running_average

READINGS = ["query", "scalar", "elementwise"]


def naive_average(scores, values, keys):
    """Softmax over strictly earlier turns, one dialogue and one turn at a time."""
    rows = []
    for b in range(len(values)):
        turns = []
        for t in range(values.shape[1]):
            earlier = [i for i in range(t) if keys[b, i]]
            if earlier:
                turns.append((scores[b, earlier].softmax(0) * values[b, earlier]).sum(0))
            else:
                turns.append(torch.zeros_like(values[b, 0]))
        rows.append(torch.stack(turns))
    return torch.stack(rows)


@settings(deadline=None, max_examples=40)
@given(turns=st.integers(1, 9), width=st.sampled_from([1, 3]), scale=st.sampled_from([0.1, 5.0, 300.0]), data=st.data())
def test_running_average_is_the_double_loop(turns, width, scale, data):
    keys = torch.tensor([data.draw(st.lists(st.booleans(), min_size=turns, max_size=turns)) for _ in range(2)])
    draw = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    scores = (scale * torch.randn(2, turns, width, generator=draw, dtype=torch.float64)).requires_grad_()
    values = torch.randn(2, turns, 3, generator=draw, dtype=torch.float64, requires_grad=True)

    ours, loop = running_average(scores, values, keys), naive_average(scores, values, keys)

    torch.testing.assert_close(ours, loop)
    weight = torch.randn(ours.shape, generator=draw, dtype=torch.float64)
    # The loop uses no input at all where no turn counts; joined to the graph its slope is zero.
    loop = loop + 0 * (scores.sum() + values.sum())
    slopes = [torch.autograd.grad((y * weight).sum(), (scores, values)) for y in (ours, loop)]
    for mine, theirs in zip(*slopes, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("width", [1, 2])
def test_running_average_gradient(width):
    torch.manual_seed(0)
    keys = torch.tensor([[True, True, False, True, True], [False, False, True, True, False]])
    scores = torch.randn(2, 5, width, dtype=torch.float64, requires_grad=True)
    values = torch.randn(2, 5, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s, v: running_average(s, v, keys), (scores, values))


def test_running_average_passes_the_whole_slope_at_a_value_of_zero():
    values = torch.zeros(1, 2, 1, requires_grad=True)
    running_average(torch.zeros(1, 2, 1), values, torch.ones(1, 2, dtype=torch.bool))[0, 1].backward()
    # The one earlier turn has weight 1.
    assert values.grad[0, 0].item() == pytest.approx(1.0)


@pytest.mark.parametrize("slope", [-100.0, 0.0, 100.0])
def test_running_average_over_800_turns_of_big_scores(slope):
    """Falling scores vanish beside the first, rising ones beside the last: subtracting one maximum would give 0 / 0."""
    values = torch.linspace(-3, 3, 800)[None, :, None].requires_grad_()
    scores = (slope * torch.arange(800.0))[None, :, None].requires_grad_()

    mean = running_average(scores, values, torch.ones(1, 800, dtype=torch.bool))
    mean.sum().backward()

    assert torch.isfinite(scores.grad).all()
    assert torch.isfinite(values.grad).all()
    # The winner takes all: the first turn, or the one just before; with equal scores the plain mean.
    expected = {-100.0: values[0, 0, 0], 100.0: values[0, 798, 0], 0.0: values[0, :799, 0].mean()}[slope]
    assert mean[0, 799, 0].item() == pytest.approx(expected.item(), abs=0.05)


@pytest.mark.parametrize("reading", READINGS)
def test_first_turn_has_no_context_and_no_nan(reading):
    torch.manual_seed(0)
    attention = SoftContextAttention(8, reading)
    words = torch.randn(2, 1, 8, requires_grad=True)
    l_c = attention(words, torch.ones(2, 1, dtype=torch.bool))
    assert l_c.abs().max() == 0
    l_c.sum().backward()
    assert torch.isfinite(words.grad).all()


def test_query_reading_by_hand():
    attention = SoftContextAttention(4, "query")
    words = torch.randn(1, 3, 4)
    u = torch.tanh(attention.W_s(words))[0]
    # Turn 2 looks back at turns 0 and 1: softmax(u_i . l_2 / sqrt(4)).
    weight = (u[:2] @ words[0, 2] / 2).softmax(0)

    l_c = attention(words, torch.ones(1, 3, dtype=torch.bool))
    torch.testing.assert_close(l_c[0, 2], weight @ words[0, :2])
    torch.testing.assert_close(l_c[0, 1], words[0, 0])


@pytest.mark.parametrize(("reading", "scores"), [("scalar", 1), ("elementwise", 8)])
def test_score_widths(reading, scores):
    assert SoftContextAttention(8, reading).W_s.out_features == scores


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("current", [True, False])
@pytest.mark.parametrize("commonsense", [None, 5])
def test_causal(reading, current, commonsense):
    torch.manual_seed(0)
    network = TextContextNetwork(7, commonsense, 16, current_utterance=current, context_attention=reading).eval()
    words, sense = torch.randn(1, 6, 7), torch.randn(1, 6, 3, 5)
    keys = torch.ones(1, 6, dtype=torch.bool)
    later_words, later_sense = words.clone(), sense.clone()
    later_words[0, 3] += 100
    later_sense[0, 3] -= 100

    before, after = network(words, sense, keys), network(later_words, later_sense, keys)

    assert torch.equal(before[0, :3], after[0, :3])
    assert (before[0, 4:] - after[0, 4:]).abs().amax(-1).min() > 1e-6
    # As printed, a turn never sees its own words; reading Eq. 1-2 as a query still lets them choose the context.
    sees_itself = bool((before[0, 3] - after[0, 3]).abs().max() > 1e-6)
    assert sees_itself == (current or reading == "query")


def test_both_directions_read_the_dialogue_from_its_own_end():
    """As if the reversed dialogue had been read by the second GRU; padding is no turn."""
    torch.manual_seed(0)
    network = TextContextNetwork(7, None, 16, direction="both").eval()
    words, keys = torch.randn(1, 4, 7), torch.ones(1, 4, dtype=torch.bool)
    padded = torch.cat([words, torch.randn(1, 3, 7)], 1)
    mask = torch.arange(7)[None] < 4
    alone = network(words, None, keys, mask=keys)
    torch.testing.assert_close(network(padded, None, mask, mask=mask)[:, :4], alone)

    l_r = network.text(words)
    joined = torch.cat([l_r, network.context(l_r, keys)], -1)
    ahead = network.states["context"](joined)[0]
    back = network.backward_states["context"](joined.flip(1))[0].flip(1)
    torch.testing.assert_close(alone, network.out(torch.cat([ahead, back], -1)))


def test_split_context_is_that_of_own_turns_beside_that_of_the_others():
    torch.manual_seed(0)
    attention = SoftContextAttention(8)
    l_r, keys = torch.randn(1, 5, 8), torch.ones(1, 5, dtype=torch.bool)
    speaker = torch.tensor([[0, 1, 0, 1, 0]])
    network = TextContextNetwork(8, None, 8, split_context=True).eval()
    network.context = attention
    own, others = network._context(l_r, keys, speaker)
    every = torch.ones(1, 3, dtype=torch.bool)
    torch.testing.assert_close(own[0, 4], attention(l_r[:, [0, 2, 4]], every)[0, 2])
    torch.testing.assert_close(others[0, 4], attention(l_r[:, [1, 3, 4]], every)[0, 2])
    assert not own[0, 1].any()  # nothing of one's own before
    assert not others[0, 0].any()
    with pytest.raises(ValueError, match="split_context asks for the context attention `query`"):
        TextContextNetwork(8, None, 8, split_context=True, context_attention="scalar")


@pytest.mark.parametrize("reading", READINGS)
def test_turns_without_words_are_not_context(reading):
    torch.manual_seed(0)
    attention = SoftContextAttention(8, reading)
    words = torch.randn(1, 5, 8)
    keys = torch.tensor([[True, False, True, False, True]])

    gaps = attention(words, keys)
    torch.testing.assert_close(gaps[0, 4], attention(words[:, [0, 2, 4]], torch.ones(1, 3, dtype=torch.bool))[0, 2])
    assert attention(words, torch.zeros_like(keys)).abs().max() == 0


def test_states_read_what_their_relation_adds():
    network = TextContextNetwork(7, 5, 16)
    assert list(network.states) == ["external", "internal", "purpose"]
    assert {gru.input_size for gru in network.states.values()} == {48}  # [l_t^r ; l_t^c ; commonsense_t]
    assert network.out.in_features == 48
    printed = TextContextNetwork(7, 5, 16, current_utterance=False)
    assert {gru.input_size for gru in printed.states.values()} == {16}  # l_t^c alone
    assert not len(printed.commonsense)


def test_without_commonsense_one_state_remains():
    network = TextContextNetwork(7, None, 16)
    assert [(name, gru.input_size) for name, gru in network.states.items()] == [("context", 32)]
    assert network.out.in_features == 16
    assert not len(network.commonsense)


def test_whole_network_by_hand():
    torch.manual_seed(0)
    network = TextContextNetwork(7, 5, 8, dropout=0.0)
    words, sense, keys = torch.randn(1, 4, 7), torch.randn(1, 4, 3, 5), torch.ones(1, 4, dtype=torch.bool)
    l_r = network.text(words)
    l_c = network.context(l_r, keys)
    states = []
    for place, name in enumerate(["external", "internal", "purpose"]):
        cell = nn.GRUCell(24, 8)
        cell.load_state_dict(
            {key.removesuffix("_l0"): value for key, value in network.states[name].state_dict().items()}
        )
        state, steps = torch.zeros(1, 8), []
        for t in range(4):
            state = cell(torch.cat([l_r[:, t], l_c[:, t], network.commonsense[name](sense[:, t, place])], -1), state)
            steps.append(state)
        states.append(torch.stack(steps, 1))
    torch.testing.assert_close(network(words, sense, keys), network.out(torch.cat(states, -1)))
