"""Fitting the label chain: counts by hand, exponents that explain dev, and what inertia is worth."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from hbaf.baselines.floors.majority import Majority
from hbaf.model.batch import UNLABELLED
from hbaf.training.chain import SMOOTHING, chained, count, fit_chain, inertia, pairs, with_chain
from hbaf.training.data import Dialogue
from hbaf.training.evaluate import predict

EMOTIONS = ("anger", "joy", "neutral")


def dialogue(name: str, labels: list[int], speakers: list[int]) -> Dialogue:
    n = len(labels)
    return Dialogue(
        dialogue_id=name,
        utterance_ids=tuple(f"{name}/{turn}" for turn in range(n)),
        audio=np.zeros((n, 2), np.float32),
        text=np.zeros((n, 2), np.float32),
        commonsense=None,
        has_audio=np.ones(n, bool),
        has_text=np.ones(n, bool),
        speaker=np.asarray(speakers),
        label=np.asarray(labels),
    )


def persistent(count: int, seed: int, stay: float = 0.85, turns: int = 12) -> list[Dialogue]:
    """Dyads whose speakers keep their label with probability `stay`."""
    random, found = np.random.default_rng(seed), []
    for number in range(count):
        last, labels = list(random.integers(0, 3, 2)), []
        for turn in range(turns):
            if random.random() > stay:
                last[turn % 2] = random.integers(0, 3)
            labels.append(int(last[turn % 2]))
        found.append(dialogue(f"d{seed}-{number}", labels, [turn % 2 for turn in range(turns)]))
    return found


def predicted(dialogues: list[Dialogue], seed: int, strength: float = 1.0):  # type: ignore[no-untyped-def]
    """Of a system that hears each label through noise."""
    random = np.random.default_rng(seed)
    truth = np.concatenate([d.label for d in dialogues])
    logits = random.normal(size=(len(truth), 3)) + strength * np.eye(3)[truth]
    probability = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    blank = Majority(audio_dim=2, text_dim=2, commonsense_dim=None, emotions=3).eval()
    return replace(predict(blank, dialogues, EMOTIONS), probability=probability.astype(np.float32))


def test_counts_by_hand() -> None:
    given = [dialogue("a", [0, 1, 0, UNLABELLED, 2, 1], [0, 1, 0, 1, 0, 1]), dialogue("b", [1, 1], [0, 0])]
    own, other = pairs(given, 3)
    # a: speaker 0 says 0, 0, 2; speaker 1 says 1, unlabelled, 1. b: one speaker says 1, 1.
    assert own.tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
    # a: 0 -> 1, 1 -> 0, (0 -> unlabelled), (unlabelled -> 2), 2 -> 1. b: nobody else.
    assert other.tolist() == [[0, 1, 0], [1, 0, 0], [0, 1, 0]]
    prior, log_own, _ = count(given, 3)
    expected = np.array([3, 5, 2]) / 10  # one more of each
    np.testing.assert_allclose(prior.exp(), expected, rtol=1e-6)
    np.testing.assert_allclose(log_own[2].exp(), expected, rtol=1e-6)  # nothing seen after it: it says nothing
    assert log_own[0, 0].exp() == pytest.approx((1 + SMOOTHING * 0.3) / (2 + SMOOTHING))


@pytest.mark.parametrize("mode", ["both", "causal"])
def test_exponents_explain_dev(mode: str) -> None:
    train, dev, test = persistent(60, 0), persistent(30, 1), persistent(30, 2)
    alone, unseen = predicted(dev, 3), predicted(test, 4)
    chain = fit_chain(train, dev, alone, mode)  # type: ignore[arg-type]
    a, b, c = chain.exponents.tolist()
    assert a > 0
    assert b > 0.4
    assert 0 <= c < 0.4
    assert chain.causal == (mode == "causal")
    gain = with_chain(chain, test, unseen).metrics()["weighted_f1"] - unseen.metrics()["weighted_f1"]
    assert gain > (0.08 if mode == "both" else 0.05)


def test_labels_without_inertia_leave_the_system_alone() -> None:
    train, dev = persistent(80, 0, stay=0.0), persistent(60, 1, stay=0.0)
    alone = predicted(dev, 3)
    chain = fit_chain(train, dev, alone, "both")
    same = (with_chain(chain, dev, alone).probability.argmax(1) == alone.probability.argmax(1)).mean()
    assert same > 0.95


def test_chained_predicts_as_the_chain_decodes() -> None:
    train, dev = persistent(20, 0), persistent(10, 1)
    system = Majority(audio_dim=2, text_dim=2, commonsense_dim=None, emotions=3).eval()
    torch.nn.init.normal_(system.prior)
    alone = predict(system, dev, EMOTIONS)
    whole = chained(system, train, dev, EMOTIONS, "both")
    expected = with_chain(fit_chain(train, dev, alone, "both"), dev, alone)
    np.testing.assert_allclose(predict(whole, dev, EMOTIONS).probability, expected.probability, atol=1e-5)
    assert chained(system, train, dev, EMOTIONS, "none") is system


def test_inertia() -> None:
    found = inertia(persistent(200, 0), 3)
    assert found["entropy"] == pytest.approx(np.log2(3), abs=0.01)
    stay = 0.85 + 0.15 / 3
    expected = -(stay * np.log2(stay) + (1 - stay) * np.log2((1 - stay) / 2))
    assert found["entropy_given_own"] == pytest.approx(expected, abs=0.05)
    assert found["same"] == pytest.approx(stay, abs=0.02)
    assert found["same_by_chance"] == pytest.approx(1 / 3, abs=0.02)


def test_no_exponents_of_a_grid_are_better() -> None:
    """Of a system that reads most of the inertia itself the search begins at zeros, and must leave them."""
    train, dev = persistent(100, 0, stay=0.5), persistent(100, 1, stay=0.5)
    alone = predicted(dev, 3)
    chain = fit_chain(train, dev, alone, "both")
    a, b, _ = chain.exponents.tolist()
    chain.exponents = torch.tensor((a, 0.8 * b, 0.0))
    alone = with_chain(chain, dev, alone)
    chain = fit_chain(train, dev, alone, "both")
    found = with_chain(chain, dev, alone).loss()
    for exponents in itertools.product((0.8, 0.9, 1.0, 1.1), (0.0, 0.1, 0.2, 0.3, 0.4), (0.0, 0.1)):
        chain.exponents = torch.tensor(exponents)
        assert found <= with_chain(chain, dev, alone).loss() + 1e-4, exponents
