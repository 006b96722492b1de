"""The rules of a promotion on made-up predictions whose outcome is known."""

import json
import math

import numpy as np
import pytest

from hbaf.parameters import PromotionParameters
from hbaf.promotion.rules import Rule, against_champion, against_floors, calibration_error, of_operation, rules_changed
from hbaf.promotion.verdict import Verdict
from hbaf.statistics import paired_class_differences, paired_difference
from hbaf.training.evaluate import SplitPredictions
from hbaf.training.quality.gate import of_dialogues, paired_calibration_difference

EMOTIONS = ("joy", "anger", "fear")
GIVEN = PromotionParameters()


def truth(dialogues: int = 40) -> np.ndarray:
    """Ten turns each: five joy, four anger, one fear."""
    return np.tile([0, 0, 0, 0, 0, 1, 1, 1, 1, 2], dialogues)


def predictions(right: np.ndarray, labels: np.ndarray, sure: float = 0.8) -> SplitPredictions:
    """Right where asked, the next emotion elsewhere, always with the same confidence."""
    guess = np.where(right, labels, (labels + 1) % 3)
    probability = np.full((len(labels), 3), (1 - sure) / 2, np.float32)
    probability[np.arange(len(labels)), guess] = sure
    ids = [f"d{i // 10}" for i in range(len(labels))]
    return SplitPredictions(tuple(f"u{i}" for i in range(len(labels))), tuple(ids), probability, labels, EMOTIONS)


def by_chance(share: float, labels: np.ndarray, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(len(labels)) < share


def failed(rules: tuple[Rule, ...]) -> set[str]:
    return {rule.name for rule in rules if rule.passed is False}


def test_a_better_model_meets_every_rule_and_a_worse_or_equal_one_does_not() -> None:
    labels = truth()
    good, poor = predictions(by_chance(0.8, labels), labels), predictions(by_chance(0.6, labels, 1), labels)
    assert not failed(against_champion(good, poor, GIVEN))
    assert {"weighted F1", "class floor", "calibration"} <= failed(against_champion(poor, good, GIVEN))
    assert failed(against_champion(good, good, GIVEN)) == {"weighted F1"}


def test_better_by_chance_alone_is_not_enough() -> None:
    labels = truth(12)
    here, there = by_chance(0.8, labels), by_chance(0.8, labels, 1)
    here[:1] = True
    rules = against_champion(predictions(here, labels), predictions(there, labels), GIVEN)
    (effect,) = (rule for rule in rules if rule.name == "weighted F1")
    assert effect.passed is False
    assert effect.value < 0


def test_a_minimum_effect_asks_for_more_than_significance() -> None:
    labels = truth()
    better, champion = predictions(by_chance(0.85, labels), labels), predictions(by_chance(0.75, labels, 1), labels)
    assert not failed(against_champion(better, champion, GIVEN))
    asked = GIVEN.model_copy(update={"minimum_effect": 0.2})
    assert failed(against_champion(better, champion, asked)) == {"weighted F1"}


def test_a_gain_that_costs_one_emotion_is_refused() -> None:
    labels = truth()
    champion = predictions(np.where(labels == 2, True, by_chance(0.6, labels)), labels)
    candidate = predictions(labels != 2, labels)
    rules = {rule.name: rule for rule in against_champion(candidate, champion, GIVEN)}
    assert rules["weighted F1"].passed
    assert rules["class floor"].passed is False
    assert rules["class floor"].detail.startswith("fear -")
    # With so few utterances of it, its F1 says nothing.
    lenient = GIVEN.model_copy(update={"class_support": 41})
    assert "class floor" not in failed(against_champion(candidate, champion, lenient))


def test_a_dozen_utterances_of_one_emotion_are_no_veto() -> None:
    # Twelve of fear: the champion finds nine, the candidate seven, and is far better at everything else.
    labels = truth(40)
    labels[(labels == 2) & (np.arange(len(labels)) >= 120)] = 0
    fear = labels == 2
    assert fear.sum() == 12
    among = np.cumsum(fear)
    candidate = predictions(np.where(fear, among <= 7, by_chance(0.85, labels)), labels)
    champion = predictions(np.where(fear, among > 3, by_chance(0.6, labels, 1)), labels)
    lost = champion.metrics()["f1/fear"] - candidate.metrics()["f1/fear"]
    rules = {rule.name: rule for rule in against_champion(candidate, champion, GIVEN)}
    assert rules["class floor"].passed, (lost, rules["class floor"].detail)
    # A loss that is the same in dialogue after dialogue is beyond doubt, few as they are.
    none = predictions(np.where(fear, False, by_chance(0.85, labels)), labels)
    rule = {rule.name: rule for rule in against_champion(none, champion, GIVEN)}["class floor"]
    assert rule.passed is False
    assert rule.detail.startswith("fear -")
    assert rule.detail.endswith("], 12 utterances")
    assert rule.value < rule.threshold == -GIVEN.class_floor


def test_every_emotion_that_fails_is_named() -> None:
    labels = truth()
    champion = predictions(by_chance(0.9, labels), labels)
    rule = {rule.name: rule for rule in against_champion(predictions(labels == 0, labels), champion, GIVEN)}
    assert {part.split()[0] for part in rule["class floor"].detail.split("; ")} >= {"anger", "fear"}


def test_differences_of_classes_are_those_of_the_metric_and_skip_draws_without_the_class() -> None:
    labels = truth(12)
    labels[labels == 2] = np.r_[2, np.zeros(11, int)]  # one utterance of fear: in a third of the draws there is none
    a, b = predictions(labels >= 0, labels), predictions(labels != 2, labels)
    found = paired_class_differences(a.counts(), b.counts())
    for number, emotion in enumerate(EMOTIONS):
        assert found[number].value == pytest.approx(a.metrics()[f"f1/{emotion}"] - b.metrics()[f"f1/{emotion}"])
    assert (found[2].low, found[2].high) == (1.0, 1.0)
    labels[labels == 2] = 0
    a, b = predictions(labels >= 0, labels), predictions(labels > 0, labels)
    assert set(paired_class_differences(a.counts(), b.counts())) == {0, 1}


def test_a_changed_rule_says_which_way() -> None:
    assert rules_changed(GIVEN) == ()
    assert rules_changed(GIVEN.model_copy(update={"approval": True, "approval_hours": 1.0})) == ()
    given = PromotionParameters(class_floor=0.2, minimum_dialogues=20, level=0.9)
    assert rules_changed(given) == (
        "level 0.95 -> 0.9 (changed)",
        "minimum_dialogues 10 -> 20 (tightened)",
        "class_floor 0.05 -> 0.2 (loosened)",
    )


def test_overconfidence_is_refused() -> None:
    labels = truth()
    better = predictions(by_chance(0.82, labels), labels, sure=0.99)
    champion = predictions(by_chance(0.6, labels, 1), labels, sure=0.6)
    rules = {rule.name: rule for rule in against_champion(better, champion, GIVEN)}
    assert rules["weighted F1"].passed
    assert rules["calibration"].passed is False
    assert rules["calibration"].value == pytest.approx(0.15, abs=0.08)


def test_a_handful_of_dialogues_replaces_no_champion() -> None:
    labels = truth(4)
    good, poor = predictions(labels >= 0, labels), predictions(labels < 0, labels)
    assert failed(against_champion(good, poor, GIVEN)) == {"dialogues"}


def test_a_first_model_has_to_beat_the_floors() -> None:
    labels = truth()
    majority, regression = predictions(labels == 0, labels), predictions(by_chance(0.7, labels, 1), labels)
    floors = {"majority": majority, "logistic regression": regression}
    assert not failed(against_floors(predictions(by_chance(0.8, labels), labels), floors, GIVEN))
    assert "logistic regression" in failed(against_floors(predictions(by_chance(0.5, labels), labels), floors, GIVEN))
    assert "majority" in failed(against_floors(majority, floors, GIVEN))


def test_speed_and_size() -> None:
    assert failed(of_operation(1.0, 1e5, GIVEN)) == {"speed", "size"}
    assert not failed(of_operation(1e3, 10.0, GIVEN))


def test_pairing_takes_out_what_is_hard_for_both() -> None:
    # Whole dialogues are easy or hard for both models, one is always a little better.
    labels = truth()
    hard = np.repeat(np.random.default_rng(0).random(40) < 0.5, 10)
    slip = by_chance(0.9, labels, 2)
    found = paired_difference(predictions(~hard, labels).counts(), predictions(~hard & slip, labels).counts())
    assert found.low > 0
    assert found.high - found.low < 0.08
    alone = paired_difference(predictions(~hard, labels).counts(), predictions(labels < 0, labels).counts())
    assert alone.high - alone.low > 0.2


def test_the_difference_is_that_of_the_metric_and_needs_the_same_utterances() -> None:
    labels = truth(12)
    a, b = predictions(by_chance(0.8, labels), labels), predictions(by_chance(0.6, labels, 1), labels)
    expected = a.metrics()["weighted_f1"] - b.metrics()["weighted_f1"]
    assert paired_difference(a.counts(), b.counts()).value == pytest.approx(expected)
    with pytest.raises(ValueError, match="same dialogues"):
        against_champion(a, of_dialogues(b, {"d0"}), GIVEN)


def test_a_verdict_survives_its_tags_and_shows_every_rule() -> None:
    labels = truth()
    rules = against_floors(predictions(labels == 0, labels), {"majority": predictions(labels == 0, labels)}, GIVEN)
    verdict = Verdict(
        "refused", "hbaf-c", "3", "", 0.5, math.nan, "a | b", "failed", "gate", rules, ("a note",), "now",
        ("class_floor 0.05 -> 0.2 (loosened)",), ("do this",),
    )  # fmt: skip
    again = Verdict.from_json(verdict.as_tags()["hbaf.verdict"])
    assert str(again) == str(verdict)
    shown = verdict.markdown()
    for said in (*(rule.name for rule in rules), "- rules changed: class_floor 0.05 -> 0.2", "- do this", "- a note"):
        assert said in shown
    assert all(len(value) <= 5000 for value in verdict.as_tags().values())


def test_a_verdict_from_before_rules_were_recorded_is_still_read() -> None:
    verdict = Verdict("promoted", "hbaf-c", "3", "", 0.5, 0.4, "x", "met", "gate", (), ("a note",), "now")
    values = json.loads(verdict.as_json())
    for name in ("rules_changed", "advice"):
        del values[name]
    again = Verdict.from_json(json.dumps(values))
    assert again == verdict
    assert again.changed == ""


def test_calibration_is_judged_by_an_interval() -> None:
    """The value is the difference of the two errors; on few dialogues a small one is no veto, on many it is."""
    for dialogues, fails in ((6, False), (400, True)):
        labels = truth(dialogues)
        right = by_chance(0.8, labels)
        bold, modest = predictions(right, labels, sure=0.87), predictions(right, labels, sure=0.81)
        difference = paired_calibration_difference(bold, modest)
        assert difference.value == pytest.approx(calibration_error(bold) - calibration_error(modest), abs=1e-5)
        assert difference.low <= difference.value <= difference.high
        rule = {rule.name: rule for rule in against_champion(bold, modest, GIVEN)}["calibration"]
        assert rule.passed is not fails
