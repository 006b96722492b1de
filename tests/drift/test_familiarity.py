"""A corpus of another kind is told from new conversations of the same kind, from one call on."""

import numpy as np
import pytest

from hbaf.drift.familiarity import Edge, Familiarity, familiarity, fit_edge, warning
from hbaf.training.data import Vectors

RANDOM = np.random.default_rng(0)
KIND, OTHER = RANDOM.normal(size=(2, 6, 64))  # two kinds of conversations vary in six directions each


def drawn(kind: np.ndarray, n: int) -> np.ndarray:
    return (RANDOM.normal(size=(n, 6)) @ kind + 0.1 * RANDOM.normal(size=(n, 64))).astype(np.float32)


def inputs(audio: np.ndarray, text: np.ndarray) -> Vectors:
    return Vectors(audio, text, None, np.isfinite(audio).all(1), np.isfinite(text).all(1))


@pytest.fixture(scope="module")
def edge() -> Edge:
    made = fit_edge(drawn(KIND, 400), np.arange(400) < 300)
    assert made is not None
    return made


@pytest.mark.parametrize("learned", [20, 60, 300])
def test_new_conversations_of_the_same_kind_are_familiar(learned: int) -> None:
    made = fit_edge(drawn(KIND, 2 * learned), np.arange(2 * learned) < learned)
    assert made is not None
    assert made.beyond(drawn(KIND, 1000)) / 1000 < 0.2, "also where little was learned from"


def test_another_kind_is_told_by_modality(edge: Edge) -> None:
    found = familiarity({"audio": edge, "text": edge}, inputs(drawn(KIND, 40), drawn(OTHER, 40)))
    assert [(one.modality, one.flagged) for one in found] == [("audio", False), ("text", True)]
    said = warning(found, "calls")
    assert "unlike calls" in said
    assert "the words of 40 of 40" in said
    assert "sound" not in said


def test_nothing_is_said_of_a_modality_that_is_not_there(edge: Edge) -> None:
    nothing = np.full((5, 64), np.nan, np.float32)
    found = familiarity({"audio": edge, "text": edge}, inputs(drawn(KIND, 5), nothing))
    assert [one.modality for one in found] == ["audio"]
    assert warning(found, "calls") == ""
    assert fit_edge(nothing, np.ones(5, bool)) is None


@pytest.mark.parametrize(
    ("utterances", "unfamiliar", "flagged"),
    [(1, 1, False), (2, 2, False), (3, 3, True), (10, 5, False), (30, 16, True)],
)
def test_few_utterances_must_all_be_unfamiliar(utterances: int, unfamiliar: int, flagged: bool) -> None:
    assert Familiarity("text", utterances, unfamiliar).flagged is flagged
