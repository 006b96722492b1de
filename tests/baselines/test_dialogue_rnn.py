"""DialogueRNN's speaker states on three turns: A, B, A. Formulas written out, one number per state."""

import math

import torch

from hbaf.baselines.published.dialogue_rnn import PartyRecurrence

# Every weight of a kind is one number for all three gates; biases are 0 but those below. H = 1, one input per turn.
GLOBAL_INPUT, GLOBAL_PARTY, GLOBAL_STATE = 0.5, 0.8, -0.4
PARTY_INPUT, PARTY_CONTEXT, PARTY_STATE, QUERY = 0.3, 0.9, 0.6, 2.0
CANDIDATE_BIAS = 0.1  # of the global state, inside r * (...)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def gru(from_input: float, from_state: float, h: float, candidate_bias: float = 0.0) -> float:
    """r = z, because all gates share their weights."""
    r = z = sigmoid(from_input + from_state)
    n = math.tanh(from_input + r * (from_state + candidate_bias))
    return (1 - z) * n + z * h


def g_next(u: float, q: float, g: float) -> float:
    return gru(GLOBAL_INPUT * u + GLOBAL_PARTY * q, GLOBAL_STATE * g, g, CANDIDATE_BIAS)


def q_next(u: float, c: float, q: float) -> float:
    return gru(PARTY_INPUT * u + PARTY_CONTEXT * c, PARTY_STATE * q, q)


def walk(u: tuple[float, float, float], speakers: str) -> list[float]:
    party = {"A": 0.0, "B": 0.0}
    g: list[float] = [0.0]
    said = []
    for now, who in zip(u, speakers, strict=True):
        q = party[who]
        heard = g[1:]
        weights = [math.exp(x * QUERY * now) for x in heard]
        c = sum(w * x for w, x in zip(weights, heard, strict=True)) / sum(weights) if heard else 0.0
        g.append(g_next(now, q, g[-1]))
        party[who] = q_next(now, c, q)
        said.append(party[who])
    return said


def one_number_recurrence() -> PartyRecurrence:
    recurrence = PartyRecurrence(1, 1).eval()
    with torch.no_grad():
        for parameter in recurrence.parameters():
            parameter.zero_()
        recurrence.global_input.weight.fill_(GLOBAL_INPUT)
        recurrence.global_state.weight.fill_(GLOBAL_STATE)
        recurrence.global_state.bias[..., 2] = CANDIDATE_BIAS
        recurrence.party_input.weight.fill_(PARTY_INPUT)
        recurrence.party_context.weight.fill_(PARTY_CONTEXT)
        recurrence.party_state.weight[..., :3] = GLOBAL_PARTY
        recurrence.party_state.weight[..., 3:] = PARTY_STATE
        recurrence.query.weight.fill_(QUERY)
    return recurrence


def test_speaker_states_of_three_turns() -> None:
    u = (1.0, -2.0, 0.5)
    q = one_number_recurrence()(
        torch.tensor(u).view(1, 3, 1), torch.tensor([[0, 1, 0]]), torch.ones(1, 3, dtype=torch.bool)
    )
    torch.testing.assert_close(q[0, 0, :, 0], torch.tensor(walk(u, "ABA")))
    # The second direction walks through the same dialogue from its end: A, B, A again.
    torch.testing.assert_close(q[1, 0, :, 0], torch.tensor(walk(u[::-1], "ABA")))
    # By hand, turn 0: r = z = s(.3) = .5744, n = tanh(.3) = .2913, q = .4256 * .2913
    assert abs(q[0, 0, 0, 0].item() - 0.1240) < 1e-4


def test_listeners_keep_their_state_and_speakers_read_their_own() -> None:
    """A speaks at turns 0 and 2. Would B have said both, A's second state would start from nothing."""
    recurrence, mask = one_number_recurrence(), torch.ones(1, 3, dtype=torch.bool)
    u = torch.tensor([[[1.0], [-2.0], [0.5]]])
    same = recurrence(u, torch.tensor([[0, 1, 0]]), mask)
    other = recurrence(u, torch.tensor([[0, 1, 2]]), mask)
    torch.testing.assert_close(same[0, 0, :2], other[0, 0, :2])
    assert (same[0, 0, 2] - other[0, 0, 2]).abs() > 0.01
    # A name is only a name: the third speaker may carry any number.
    torch.testing.assert_close(other, recurrence(u, torch.tensor([[4, 1, 2]]), mask))
