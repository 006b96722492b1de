"""Intervals and tests against what they must give on data whose answer is known."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from hbaf.comparison.statistics import counts_by_dialogue, holm, interval, paired_test, weighted_f1

EMOTIONS = ("joy", "anger", "neutral")


def predictions(seed: int, right: float, dialogues: int = 60, turns: int = 8) -> pd.DataFrame:
    """Labels that are right with a chance of `right` each; the truth is the same for every seed."""
    truth = np.random.default_rng(7).integers(0, 3, dialogues * turns)
    random = np.random.default_rng(seed)
    label = np.where(random.random(len(truth)) < right, truth, random.integers(0, 3, len(truth)))
    return pd.DataFrame(
        {
            "dialogue_id": np.repeat([f"d{n}" for n in range(dialogues)], turns),
            "truth": [EMOTIONS[n] for n in truth],
            "label": [EMOTIONS[n] for n in label],
        }
    )


def test_weighted_f1_is_the_fields() -> None:
    table = predictions(1, 0.5)
    counts = counts_by_dialogue([table], EMOTIONS)
    expected = f1_score(table["truth"], table["label"], average="weighted")
    assert weighted_f1(counts.sum(1))[0] == pytest.approx(expected)


def test_unlabelled_utterances_do_not_count() -> None:
    table = predictions(1, 0.5)
    table.loc[:40, "truth"] = None
    assert counts_by_dialogue([table], EMOTIONS).sum() == len(table) - 41


def test_the_interval_holds_the_mean_and_narrows_with_dialogues() -> None:
    few = counts_by_dialogue([predictions(s, 0.6, dialogues=20) for s in range(3)], EMOTIONS)
    many = counts_by_dialogue([predictions(s, 0.6, dialogues=320) for s in range(3)], EMOTIONS)
    for counts in (few, many):
        low, high = interval(counts)
        assert low < weighted_f1(counts.sum(1)).mean() < high
    # Sixteen times the dialogues: a quarter of the width.
    ratio = np.subtract(*interval(few)) / np.subtract(*interval(many))
    assert 2.5 < ratio < 6


def test_dialogues_are_drawn_not_utterances() -> None:
    """Where a whole dialogue is right or wrong, eight turns tell no more than one."""
    table = predictions(1, 1.0, dialogues=40)
    wrong = table["dialogue_id"].isin([f"d{n}" for n in range(0, 40, 2)])
    another = dict(zip(EMOTIONS, EMOTIONS[1:] + EMOTIONS[:1], strict=True))
    table.loc[wrong, "label"] = table.loc[wrong, "truth"].map(another)
    low, high = interval(counts_by_dialogue([table], EMOTIONS))
    one_turn = interval(counts_by_dialogue([table.groupby("dialogue_id").head(1)], EMOTIONS))
    assert high - low > 0.6 * (one_turn[1] - one_turn[0])


def test_equal_systems_differ_by_chance_alone() -> None:
    """Under equality p is even on 0..1: below .05 for about one pair in twenty."""
    p = [
        paired_test(
            counts_by_dialogue([predictions(2 * n + 100, 0.6)], EMOTIONS),
            counts_by_dialogue([predictions(2 * n + 101, 0.6)], EMOTIONS),
            draws=400,
        )
        for n in range(60)
    ]
    assert np.mean(np.array(p) < 0.05) <= 0.15
    assert 0.35 < np.mean(p) < 0.65


def test_a_difference_that_is_there_is_found_and_the_test_is_symmetric() -> None:
    good = counts_by_dialogue([predictions(s, 0.7) for s in range(3)], EMOTIONS)
    poor = counts_by_dialogue([predictions(s + 10, 0.5) for s in range(3)], EMOTIONS)
    assert paired_test(good, poor) < 0.01
    assert paired_test(good, poor) == paired_test(poor, good)
    assert paired_test(good, good) == 1.0


def test_other_dialogues_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="same dialogues and seeds"):
        paired_test(
            counts_by_dialogue([predictions(0, 0.5, dialogues=9)], EMOTIONS),
            counts_by_dialogue([predictions(0, 0.5, dialogues=10)], EMOTIONS),
        )


def test_holm_by_hand() -> None:
    # 3 x .01; max(.03, 2 x .02) = .04; max(.04, .03) = .04; order of the input is kept; nothing above 1.
    assert holm([0.02, 0.01, 0.03]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.6, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []
