"""Each distance against an independent computation, and the bounds against what they promise."""

import numpy as np
import pytest
from scipy.stats import ks_2samp

from hbaf.drift.checks import compare
from hbaf.drift.observations import MEASURES, Observations
from hbaf.drift.reference import Reference
from hbaf.drift.sketch import fit_sketcher
from hbaf.drift.statistics import (
    expected_confusion,
    kolmogorov_smirnov,
    label_shift,
    length_mismatch,
    loss_of_mean,
)
from hbaf.drift.word_pairs import fit_known_pairs
from hbaf.parameters import MonitorParameters
from hbaf.statistics import weighted_f1

EMOTIONS = ("neutral", "joy", "anger")


def sides(a: int, b: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights of a set of a + b rows: the first a on one side, the others on the other."""
    first = np.arange(a + b) < a
    return first.astype(float), (~first).astype(float)


def test_kolmogorov_smirnov_is_scipys(random: np.random.Generator) -> None:
    a, b = random.integers(0, 12, 70).astype(float), random.integers(2, 15, 90).astype(float)  # with many ties
    distance = kolmogorov_smirnov(np.concatenate([a, b]))
    assert distance(*sides(70, 90)) == pytest.approx(ks_2samp(a, b).statistic)
    twice, once = sides(70, 90)
    assert distance(2 * twice, once) == pytest.approx(ks_2samp(np.repeat(a, 2), b).statistic)
    assert np.isnan(distance(np.zeros(160), once))


def test_the_distance_of_several_columns_is_their_mean_and_skips_missing_rows(random: np.random.Generator) -> None:
    values = random.normal(size=(60, 2))
    values[3, 0] = np.nan
    whole = np.delete(values, 3, 0)
    expected = np.mean([ks_2samp(whole[:29, k], whole[29:, k]).statistic for k in range(2)])
    assert kolmogorov_smirnov(values)(*sides(30, 30)) == pytest.approx(expected)


def test_expected_f1_is_that_of_the_labels_where_probabilities_are_certain() -> None:
    from sklearn.metrics import f1_score

    predicted, p = np.array([0, 1, 2, 2, 1]), np.full((5, 3), 0.0)
    p[np.arange(5), predicted] = 1
    assert weighted_f1(expected_confusion(p).sum(0)) == 1
    # Half of the probability of every utterance is on class 0: each is right every second time.
    p = 0.5 * p + np.array([0.5, 0, 0]) - 1e-6 * (np.arange(3) == 0)
    truth = np.repeat(predicted, 2)
    truth[1::2] = 0  # the other half
    expected = f1_score(truth, np.repeat(p.argmax(1), 2), average="weighted", labels=[0, 1, 2])
    assert weighted_f1(expected_confusion(p).sum(0)) == pytest.approx(expected, abs=1e-4)
    p[0] = np.nan  # not scored
    assert expected_confusion(p)[0].sum() == 0


def test_label_shift_is_the_share_that_moved() -> None:
    labels = np.eye(3)[[0, 0, 0, 1, 0, 1, 1, 2]]
    assert label_shift(labels)(*sides(4, 4)) == pytest.approx(0.5)


def test_length_mismatch_sees_exchanged_texts_and_not_a_faster_voice(random: np.random.Generator) -> None:
    seconds = random.uniform(0.5, 6, 200)
    characters = np.round(14 * seconds * random.uniform(0.8, 1.2, 200))
    fast, exchanged = 2 * characters[:100], random.permutation(characters[:100])
    new = lambda part: np.concatenate([part, characters[100:]])  # noqa: E731
    assert abs(length_mismatch(seconds, new(fast))(*sides(100, 100))) < 0.05
    assert length_mismatch(seconds, new(exchanged))(*sides(100, 100)) > 0.7


def test_loss_of_mean_leaves_out_what_is_unknown() -> None:
    assert loss_of_mean(np.array([0.2, np.nan, 0.8, 0.6]))(*sides(2, 2)) == pytest.approx(0.5)


def test_a_pair_of_words_counts_when_several_dialogues_have_it() -> None:
    import pandas as pd

    texts = ["I am fine", "I AM here", "well, i am", "Zoe Zebra sings", "Zoe Zebra"]
    pairs = fit_known_pairs(pd.Series(texts), pd.Series(["a", "b", "c", "d", "d"]))
    assert pairs.share(["I am", "am I", "i am Zoe Zebra", "Zoe Zebra", "word", None]).tolist() == pytest.approx(
        [1, 0, 1 / 3, 0, np.nan, np.nan], nan_ok=True
    )


def test_a_sketch_keeps_what_varies_and_the_length_of_the_rest(random: np.random.Generator) -> None:
    plane = random.normal(size=(50, 2)) @ random.normal(size=(2, 10))
    sketcher = fit_sketcher(plane, components=2)
    assert sketcher is not None
    outside = plane[:1] + 3 * np.linalg.svd(plane - plane.mean(0))[2][-1]
    assert sketcher.apply(plane)[:, -1].max() < 1e-4
    assert sketcher.apply(outside)[0, -1] == pytest.approx(3, abs=1e-3)
    assert np.isnan(sketcher.apply(np.full((1, 10), np.nan))).all()
    assert fit_sketcher(np.full((5, 10), np.nan)) is None


def made_up(random: np.random.Generator, dialogues: int, *, shift: float = 0.0, held_out: float = 1.0) -> Observations:
    """Dialogues of five utterances; a number of each dialogue runs through everything, so utterances depend."""
    number = np.repeat(np.arange(dialogues), 5)
    own = np.repeat(random.normal(size=dialogues), 5)
    values = own + random.normal(size=len(number)) + shift
    p = np.exp(np.stack([own, values, random.normal(size=len(number))], 1))
    measures = {name: np.zeros(len(number), np.float32) for name in MEASURES}
    measures |= {"loudness": values.astype(np.float32), "confidence": (p / p.sum(1, keepdims=True)).max(1)}
    sketch = np.stack([values, own], 1).astype(np.float32)
    last = number >= round(dialogues * (1 - held_out))
    return Observations(number, last, p / p.sum(1, keepdims=True), measures, {"audio": sketch})


def reference(seen: Observations) -> Reference:
    import pandas as pd

    return Reference(seen, {}, fit_known_pairs(pd.Series([], dtype="str"), pd.Series([])), EMOTIONS, "made up", 0.5)


def test_undisturbed_windows_are_flagged_as_rarely_as_was_asked_for_and_changed_ones_always() -> None:
    """40 windows at a bound of 10 %: 4 are expected; without regard to dialogues it would be most of them."""
    loose = MonitorParameters(false_alarms=0.1, tolerance=0, tolerances={}, draws=200)
    flagged = 0
    for seed in range(8):  # a promise over references, too: one that is unusual finds every window unusual
        random = np.random.default_rng(seed)
        known = reference(made_up(random, 100, held_out=0.5))
        flagged += sum(bool(compare(made_up(random, 20), known, loose).flagged) for _ in range(5))
        changed = compare(made_up(random, 20, shift=2.5), known, loose)
        assert {"loudness", "audio_representation"} <= {check.name for check in changed.flagged}
    assert flagged <= 10


def test_what_is_too_little_to_matter_is_not_flagged() -> None:
    random = np.random.default_rng(5)
    known = reference(made_up(random, 200, held_out=0.5))
    window = made_up(random, 200, shift=0.9)
    strict = MonitorParameters(tolerance=0, tolerances={}, draws=200)
    assert "loudness" in {check.name for check in compare(window, known, strict).flagged}
    assert not compare(window, known, MonitorParameters(tolerance=0.6, tolerances={}, draws=200)).flagged


def test_too_few_dialogues_are_not_judged() -> None:
    random = np.random.default_rng(6)
    found = compare(made_up(random, 5, shift=9), reference(made_up(random, 50)), MonitorParameters())
    assert not found.judged
    assert not found.checks
    assert found.expected_f1 == found.expected_f1


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(1)
