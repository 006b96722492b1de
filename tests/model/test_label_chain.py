"""The label chain against enumeration of every labelling, and the contract of systems with it behind them."""

import functools
import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from hbaf.baselines.contract import RULES, builder, made_up
from hbaf.baselines.floors.logistic_regression import LogisticRegression
from hbaf.model.build import build_hbaf
from hbaf.model.label_chain import Chained, LabelChain, previous_turns
from hbaf.parameters import ModelParameters

C = 3


def chain_of(
    a: float, b: float, c: float, *, emotions: int = C, causal: bool = False, sharpness: float = 1.0
) -> LabelChain:
    draw = torch.Generator().manual_seed(1)
    chain = LabelChain(emotions, causal=causal)
    same = sharpness * torch.eye(emotions)
    chain.prior = torch.randn(emotions, generator=draw).mul(0.5).log_softmax(-1)
    chain.own = (torch.randn(emotions, emotions, generator=draw) + same).log_softmax(-1)
    chain.other = (torch.randn(emotions, emotions, generator=draw) + 0.5 * same).log_softmax(-1)
    chain.exponents = torch.tensor([a, b, c])
    return chain


def persistent(a: float, b: float, c: float) -> LabelChain:
    """74 % keep their own last label, 45 % take the other's; chance is a third."""
    chain = LabelChain(C)
    chain.prior = torch.full((C,), 1 / C).log()
    for name, kept in (("own", 0.74), ("other", 0.45)):
        setattr(chain, name, torch.eye(C).mul(kept).add((1 - torch.eye(C)).mul((1 - kept) / (C - 1))).log())
    chain.exponents = torch.tensor([a, b, c])
    return chain


def enumerated(chain: LabelChain, log_probability: Tensor, speaker: list[int]) -> Tensor:
    """(U, C) log marginals of one dialogue by summing over all C^U labellings."""
    a, b, c = chain.exponents.tolist()
    total = torch.zeros(len(speaker), C, dtype=torch.float64)
    evidence = log_probability.log_softmax(-1)
    for labels in itertools.product(range(C), repeat=len(speaker)):
        score = 0.0
        for t, (who, y) in enumerate(zip(speaker, labels, strict=True)):
            score += a * float(evidence[t, y])
            before_own = [s for s in range(t) if speaker[s] == who]
            before_other = [s for s in range(t) if speaker[s] != who]
            if before_own:
                score += b * float(chain.own[labels[before_own[-1]], y] - chain.prior[y])
            if before_other:
                score += c * float(chain.other[labels[before_other[-1]], y] - chain.prior[y])
        for t, y in enumerate(labels):
            total[t, y] += torch.tensor(score, dtype=torch.float64).exp()
    return (total / total.sum(-1, keepdim=True)).log().float()


def marginals(chain: LabelChain, log_probability: Tensor, speaker: list[int]) -> Tensor:
    return chain(log_probability[None], torch.tensor([speaker]), torch.ones(1, len(speaker), dtype=torch.bool))[0]


DYADS = ([0, 1, 0, 1, 0, 1], [0, 0, 1, 0, 1, 1, 0], [0, 1, 2, 0, 1, 0], [0], [0, 0, 0])


@pytest.mark.parametrize("speaker", DYADS, ids=str)
def test_exact_with_own_chains_alone(speaker: list[int]) -> None:
    log_probability = torch.randn(len(speaker), C, generator=torch.Generator().manual_seed(2))
    chain = chain_of(0.8, 1.3, 0.0)
    torch.testing.assert_close(
        marginals(chain, log_probability, speaker), enumerated(chain, log_probability, speaker), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("speaker", DYADS, ids=str)
def test_close_with_the_other_speaker(speaker: list[int]) -> None:
    """With tables as real dyads have them: .03 in probability, and far nearer than without the other's factor."""
    log_probability = 1.5 * torch.randn(len(speaker), C, generator=torch.Generator().manual_seed(2))
    chain = persistent(0.8, 0.8, 0.6)
    exact = enumerated(chain, log_probability, speaker).exp()
    found = marginals(chain, log_probability, speaker).exp()
    error = (found - exact).abs().max()
    assert error < 0.03
    if len(set(speaker)) > 1:
        without = marginals(persistent(0.8, 0.8, 0.0), log_probability, speaker).exp()
        assert error < (without - exact).abs().max() / 3
    torch.testing.assert_close(found.sum(-1), torch.ones(len(speaker)))


@pytest.mark.parametrize("speaker", DYADS, ids=str)
def test_causal_is_exact_filtering_of_own_chains(speaker: list[int]) -> None:
    log_probability = torch.randn(len(speaker), C, generator=torch.Generator().manual_seed(2))
    chain = chain_of(0.8, 1.3, 0.0, causal=True)
    found = marginals(chain, log_probability, speaker)
    for t in range(len(speaker)):
        upto = enumerated(chain, log_probability[: t + 1], speaker[: t + 1])[t]
        torch.testing.assert_close(found[t], upto, atol=1e-5, rtol=0)


@pytest.mark.parametrize("causal", [True, False])
def test_what_a_turn_knows(causal: bool) -> None:
    """Causal: nothing of later turns reaches a turn. Else it does."""
    draw = torch.Generator().manual_seed(3)
    first = torch.randn(1, 8, C, generator=draw)
    second = first.clone()
    second[:, 5:] = torch.randn(1, 3, C, generator=draw)
    speaker, mask = torch.arange(8)[None] % 2, torch.ones(1, 8, dtype=torch.bool)
    chain = chain_of(1.0, 1.0, 0.5, causal=causal)
    one, two = chain(first, speaker, mask), chain(second, speaker, mask)
    assert torch.equal(one[:, :5], two[:, :5]) == causal
    assert not torch.equal(one[:, 5:], two[:, 5:])


@pytest.mark.parametrize("causal", [True, False])
def test_without_exponents_it_is_the_system(causal: bool) -> None:
    log_probability = torch.randn(2, 6, C)
    speaker, mask = torch.arange(6).expand(2, 6) % 2, torch.ones(2, 6, dtype=torch.bool)
    found = chain_of(1.0, 0.0, 0.0, causal=causal)(log_probability, speaker, mask)
    torch.testing.assert_close(found, log_probability.log_softmax(-1))


def test_finite_where_a_system_is_certain() -> None:
    """A probability of 0 contradicts its neighbours: nothing is lost to infinity."""
    certain = torch.full((1, 40, C), -1e4)
    certain[0, torch.arange(40), torch.arange(40) % C] = 0
    speaker, mask = torch.zeros(1, 40, dtype=torch.int64), torch.ones(1, 40, dtype=torch.bool)
    for causal in (True, False):
        found = chain_of(1.0, 5.0, 5.0, causal=causal, sharpness=20)(certain, speaker, mask)
        assert torch.isfinite(found).all()


def test_previous_turns() -> None:
    speaker = torch.tensor([[0, 0, 1, 0, 2, 2], [0, 1, 0, 9, 9, 9]])
    mask = torch.tensor([[True] * 6, [True] * 3 + [False] * 3])
    own, other = previous_turns(speaker, mask)
    assert own.tolist() == [[-1, 0, -1, 1, -1, 4], [-1, -1, 0, -1, -1, -1]]
    assert other.tolist() == [[-1, -1, 1, 2, 3, 3], [-1, 0, 1, -1, -1, -1]]


class ChainedRegression(nn.Module):
    """As `check_system` builds it: its class takes the widths of the inputs."""

    causal = False
    kind: Callable[..., nn.Module] = LogisticRegression

    def __new__(cls, **sizes: object) -> nn.Module:  # type: ignore[misc]
        system = cls.kind(**sizes)
        return Chained(system, chain_of(0.9, 1.0, 0.6, emotions=4, causal=cls.causal))


class CausalRegression(ChainedRegression):
    causal = True


class ChainedHBAF(ChainedRegression):
    kind = functools.partial(
        build_hbaf,
        ModelParameters(dim=16, heads=2, encoder_layers=1, feedforward=16, conv_channels=4, dropout=0.0),
    )


# A linear map of one turn cannot learn random labels by heart, nor reads commonsense.
LEARNS = {"overfits_eight_dialogues"}


@pytest.mark.parametrize("kind", [ChainedRegression, CausalRegression, ChainedHBAF])
@pytest.mark.parametrize("rule", [name for name in RULES if name not in LEARNS])
def test_a_system_with_a_chain_keeps_the_contract(rule: str, kind: type[nn.Module]) -> None:
    RULES[rule](builder(kind))


def test_the_rest_passes_through() -> None:
    torch.manual_seed(0)
    system = ChainedHBAF(audio_dim=6, text_dim=7, commonsense_dim=5, emotions=4)
    alone, chained = system.system(made_up()), system(made_up())
    assert alone.losses.keys() == chained.losses.keys()
    assert alone.views.keys() == chained.views.keys()
    assert not torch.equal(alone.logits, chained.logits)


@pytest.mark.parametrize("size", [30.0, 1000.0])
def test_certain_turns_and_impossible_steps_stay_finite(size: float) -> None:
    """Factors and evidence whose exponentials float32 does not hold."""
    chain = chain_of(1.0, 1.0, 1.0)
    chain.own, chain.other = (size * (table - table.amax(-1, keepdim=True)) for table in (chain.own, chain.other))
    log_probability = size * torch.randn(6, C, generator=torch.Generator().manual_seed(3))
    found = marginals(chain, log_probability, [0, 1, 0, 1, 0, 1])
    assert found.isfinite().all()
    torch.testing.assert_close(found.exp().sum(-1), torch.ones(6))
