"""Scores against scikit-learn and by hand; intervals and tests on data whose answer is known."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import bootstrap
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score

from hbaf.statistics import (
    accuracy,
    class_f1,
    coincidences,
    confusion,
    counts_by,
    counts_by_dialogue,
    draw_dialogues,
    drawn,
    holm,
    interval,
    krippendorff_alpha,
    macro_f1,
    paired_class_differences,
    paired_difference,
    paired_test,
    percentile_interval,
    uar,
    weighted_f1,
)

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


def seeds(*numbers: int, right: float = 0.6, dialogues: int = 60) -> np.ndarray:
    """(S, D, C, C), a table of predictions per number."""
    return np.stack([counts_by_dialogue(predictions(n, right, dialogues), EMOTIONS) for n in numbers])


def test_scores_are_scikit_learns() -> None:
    random = np.random.default_rng(3)
    truth, guess = random.integers(0, 3, 90), random.integers(0, 4, 90)  # the last of 4 classes is never true
    counts, classes = confusion(truth, guess, 4), [0, 1, 2, 3]
    assert (counts == confusion_matrix(truth, guess, labels=classes)).all()
    assert weighted_f1(counts) == pytest.approx(f1_score(truth, guess, labels=classes, average="weighted"))
    assert class_f1(counts) == pytest.approx(f1_score(truth, guess, labels=classes, average=None))
    assert macro_f1(counts) == pytest.approx(f1_score(truth, guess, labels=[0, 1, 2], average="macro"))
    assert uar(counts) == pytest.approx(recall_score(truth, guess, labels=[0, 1, 2], average="macro"))
    assert accuracy(counts) == pytest.approx(accuracy_score(truth, guess))


def test_scores_by_hand() -> None:
    # a: 2 of 2 found and one false alarm, F1 .8; b: 1 of 2, F1 2/3; c is neither true nor predicted.
    counts = np.array([[2, 0, 0], [1, 1, 0], [0, 0, 0]])
    assert class_f1(counts) == pytest.approx([0.8, 2 / 3, 0])
    assert weighted_f1(counts) == macro_f1(counts) == pytest.approx((0.8 + 2 / 3) / 2)
    assert uar(counts) == accuracy(counts) == pytest.approx(0.75)
    assert weighted_f1(counts / 100) == pytest.approx(weighted_f1(counts))  # expected counts may be below 1
    assert weighted_f1(np.stack([counts, counts])).shape == (2,)
    assert all(np.isnan(score(0 * counts)) for score in (weighted_f1, macro_f1, uar, accuracy))


def test_counts_by_group_by_hand() -> None:
    names, counts = counts_by(["b", "a", "b", "c"], np.array([0, 1, 0, -1]), np.array([0, 0, 1, 1]), 2)
    assert names.tolist() == ["a", "b"]  # nothing of c is labelled
    assert counts.tolist() == [[[0, 0], [1, 0]], [[1, 1], [0, 0]]]


def test_counts_by_dialogue_name_what_is_no_emotion() -> None:
    table = predictions(1, 0.5, dialogues=3)
    counts = counts_by_dialogue(table, EMOTIONS)
    assert counts.shape == (3, 3, 3)
    assert counts.sum() == len(table)
    with pytest.raises(ValueError, match="column label: 'glee' is none of joy, anger, neutral"):
        counts_by_dialogue(table.assign(label="glee"), EMOTIONS)


def test_a_draw_is_with_replacement_of_as_many_dialogues() -> None:
    times = draw_dialogues(50, 4000, 1)
    assert times.shape == (4000, 50)
    assert (times.sum(1) == 50).all()
    assert times.mean(0) == pytest.approx(np.ones(50), abs=0.1)
    assert (times == 0).mean() == pytest.approx((1 - 1 / 50) ** 50, abs=0.01)
    assert (draw_dialogues(50, 9, size=7).sum(1) == 7).all()
    assert (draw_dialogues(50, 4000, 1) == times).all()


def test_drawn_counts_are_sums_of_the_drawn_dialogues() -> None:
    counts = seeds(1, 2, dialogues=5)
    times = draw_dialogues(5, 3, 4)
    whole = drawn(counts, draws=3, seed=4)
    assert whole.shape == (3, 2, 3, 3)
    for draw in range(3):
        picked = np.repeat(np.arange(5), times[draw])
        assert (whole[draw] == counts[:, picked].sum(1)).all()


def test_percentiles_by_hand_and_without_draws_that_say_nothing() -> None:
    assert percentile_interval(np.r_[np.nan, np.arange(101)], 0.9) == pytest.approx((5, 95))
    assert np.isnan(percentile_interval(np.array([np.nan]))).all()


def test_the_interval_is_scipys() -> None:
    counts = seeds(4, dialogues=40)[0]
    theirs = bootstrap(
        (np.arange(40),),
        lambda at, axis: weighted_f1(counts[at].sum(-3)),
        method="percentile",
        n_resamples=6000,
        rng=np.random.default_rng(5),
    ).confidence_interval
    assert interval(counts, draws=6000) == pytest.approx((theirs.low, theirs.high), abs=0.006)


def test_unlabelled_utterances_do_not_count() -> None:
    table = predictions(1, 0.5)
    table.loc[:40, "truth"] = None
    counts = counts_by_dialogue(table, EMOTIONS)
    assert counts.sum() == len(table) - 41
    assert len(counts) == 55  # five dialogues have no label at all: there is nothing to draw them for


def test_the_interval_holds_the_mean_and_narrows_with_dialogues() -> None:
    few, many = seeds(0, 1, 2, dialogues=20), seeds(0, 1, 2, dialogues=320)
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
    low, high = interval(counts_by_dialogue(table, EMOTIONS))
    one_turn = interval(counts_by_dialogue(table.groupby("dialogue_id").head(1), EMOTIONS))
    assert high - low > 0.6 * (one_turn[1] - one_turn[0])


def test_equal_systems_differ_by_chance_alone() -> None:
    """Under equality p is even on 0..1: below .05 for about one pair in twenty."""
    p = [paired_test(seeds(2 * n + 100), seeds(2 * n + 101), draws=400) for n in range(60)]
    assert np.mean(np.array(p) < 0.05) <= 0.15
    assert 0.35 < np.mean(p) < 0.65


def test_a_difference_that_is_there_is_found_and_the_test_is_symmetric() -> None:
    good, poor = seeds(0, 1, 2, right=0.7), seeds(10, 11, 12, right=0.5)
    assert paired_test(good, poor) < 0.01
    assert paired_test(good, poor) == paired_test(poor, good)
    assert paired_test(good, good) == 1.0


def test_the_paired_test_by_all_swaps() -> None:
    """Four dialogues have 16 swaps; the drawn p is near the share of them that differ at least as much."""
    a, b = seeds(1, right=0.9, dialogues=4)[0], seeds(2, right=0.4, dialogues=4)[0]
    swaps = (np.arange(16)[:, None] >> np.arange(4)) & 1
    mixed = [(np.where(swap, b, a), np.where(swap, a, b)) for swap in swaps[..., None, None]]
    gaps = [weighted_f1(one.sum(0)) - weighted_f1(other.sum(0)) for one, other in mixed]
    expected = np.mean(np.abs(gaps) >= abs(gaps[0]) - 1e-12)
    assert paired_test(a, b, draws=4000) == pytest.approx(expected, abs=0.03)


def test_a_paired_difference_is_of_the_same_draws() -> None:
    """One system is right where the other is and in one more turn of each dialogue: the gap varies little."""
    ours, theirs = seeds(1, 2, right=0.7, dialogues=40), seeds(11, 12, right=0.5, dialogues=40)
    found = paired_difference(ours, theirs, draws=500, seed=3)
    apart = [weighted_f1(drawn(counts, draws=500, seed=3)).mean(1) for counts in (ours, theirs)]
    assert found.value == pytest.approx(weighted_f1(ours.sum(1)).mean() - weighted_f1(theirs.sum(1)).mean())
    assert (found.low, found.high) == pytest.approx(np.quantile(apart[0] - apart[1], [0.025, 0.975]))
    assert found.dialogues == 40
    assert paired_difference(ours, ours).high == 0
    back = paired_difference(theirs, ours, draws=500, seed=3)
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))


def test_class_differences_skip_draws_and_classes_without_the_class() -> None:
    labels = ["joy"] * 5 + ["anger"]  # one dialogue each; anger is in none of a third of the draws
    table = pd.DataFrame({"dialogue_id": [f"d{n}" for n in range(6)], "truth": labels, "label": labels})
    right = counts_by_dialogue(table, EMOTIONS)
    wrong = counts_by_dialogue(table.assign(label="joy"), EMOTIONS)
    found = paired_class_differences(right, wrong)
    assert set(found) == {0, 1}
    assert (found[1].value, found[1].low, found[1].high) == (1, 1, 1)
    assert found[0].value == pytest.approx(1 - 10 / 11)


@pytest.mark.parametrize("compare", [paired_test, paired_difference, paired_class_differences])
def test_other_dialogues_cannot_be_paired(compare) -> None:
    with pytest.raises(ValueError, match="same dialogues and seeds"):
        compare(seeds(0, dialogues=9)[0], seeds(0, dialogues=10)[0])


def test_holm_by_hand() -> None:
    # 3 x .01; max(.03, 2 x .02) = .04; max(.04, .03) = .04; order of the input is kept; nothing above 1.
    assert holm([0.02, 0.01, 0.03]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.6, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_alpha_of_the_published_example() -> None:
    """Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), section C: four observers, twelve units."""
    observers = (
        "1 2 3 3 2 1 4 1 2 . . .",
        "1 2 3 3 2 2 4 1 2 5 . 3",
        ". 3 3 3 2 3 4 2 2 5 1 .",
        "1 2 3 3 2 4 4 1 2 5 1 .",
    )
    values = np.array([row.split() for row in observers])  # (annotators, units)
    votes = np.stack([(values == str(value)).sum(0) for value in range(1, 6)], 1)
    found = coincidences(np.arange(12) // 6, votes)
    assert found.shape == (2, 5, 5)
    # The matrix of coincidences that is printed there.
    expected = [[7, 4 / 3, 1 / 3, 1 / 3, 0], [4 / 3, 10, 4 / 3, 1 / 3, 0], [1 / 3, 4 / 3, 8, 1 / 3, 0],
                [1 / 3, 1 / 3, 1 / 3, 4, 0], [0, 0, 0, 0, 3]]  # fmt: skip
    assert found.sum(0) == pytest.approx(np.array(expected))
    assert krippendorff_alpha(found.sum(0)) == pytest.approx(0.743, abs=5e-4)


def test_alpha_of_nothing_to_disagree_on_is_not_defined() -> None:
    assert np.isnan(krippendorff_alpha(np.zeros((3, 3))))
    assert np.isnan(krippendorff_alpha(np.diag([4.0, 0, 0])))
    assert krippendorff_alpha(np.diag([4.0, 2, 0])) == 1
    assert coincidences(["a", "b"], np.array([[1, 0], [0, 0]])).shape == (0, 2, 2)
