"""The rules that a candidate has to meet to become the champion, and what they say of one."""

import math
from dataclasses import dataclass

from hbaf.model.batch import UNLABELLED
from hbaf.parameters import PromotionParameters
from hbaf.statistics import Difference, paired_class_differences, paired_difference
from hbaf.training.evaluate import SplitPredictions
from hbaf.training.quality.calibration import expected_calibration_error
from hbaf.training.quality.gate import paired_calibration_difference

CLASS_FLOOR = "upper end of every emotion's difference in F1 at least"
CALIBRATION = "lower end of how much worse the error is at most"
# Which way a threshold has to move for more candidates to pass; `level` and `draws` move the interval, either way.
LOOSER = {
    "minimum_effect": -1, "minimum_dialogues": -1, "class_floor": 1, "class_support": 1, "calibration_tolerance": 1,
    "minimum_speed": -1, "maximum_megabytes": 1,
}  # fmt: skip
NO_RULES = {"approval", "approval_hours", "search_margin"}  # who agrees, and which run is judged


@dataclass(frozen=True)
class Rule:
    """One rule and its outcome.

    Attributes:
        name: short, as in tags.
        asks: the rule in words, up to its threshold.
        value: what was measured; NaN where the rule does not apply.
        threshold: what it was held against.
        detail: the measurement in words, with its interval where there is one.
        passed: None where the rule does not apply.
    """

    name: str
    asks: str
    value: float
    threshold: float
    detail: str
    passed: bool | None

    @property
    def asked(self) -> str:
        """The rule in words with its threshold, where it has one."""
        return self.asks if math.isnan(self.threshold) else f"{self.asks} {self.threshold:g}"

    @property
    def outcome(self) -> str:
        """`passed`, `failed` or `does not apply`."""
        return {True: "passed", False: "failed", None: "does not apply"}[self.passed]


def against_champion(
    candidate: SplitPredictions, champion: SplitPredictions, given: PromotionParameters
) -> tuple[Rule, ...]:
    """The rules that compare with the present champion, on calibrated predictions of the same utterances."""
    difference = _difference(candidate, champion, given)
    return (
        Rule(
            "dialogues", "at least", difference.dialogues,
            given.minimum_dialogues, str(difference.dialogues), difference.dialogues >= given.minimum_dialogues,
        ),
        _effect(difference, given),
        _class_floor(candidate, champion, given),
        _calibration(candidate, champion, given),
    )  # fmt: skip


def against_floors(
    candidate: SplitPredictions, floors: dict[str, SplitPredictions], given: PromotionParameters
) -> tuple[Rule, ...]:
    """The rules for a first model: better than always saying one emotion, and not behind the regression, beyond doubt.

    It replaces nothing, and the regression cannot serve in its place: it is no model of ours to register.
    """
    difference = _difference(candidate, floors["majority"], given)
    rules = [_effect(difference, given, "majority")]
    if (regression := floors.get("logistic regression")) is not None:
        beside = _difference(candidate, regression, given)
        passed = beside.high >= given.minimum_effect
        rules.append(
            Rule(
                "logistic regression",
                "upper end at least",
                beside.high,
                given.minimum_effect,
                _interval(beside),
                passed,
            )
        )
    nothing = float("nan")
    rules += [
        Rule("class floor", CLASS_FLOOR, nothing, -given.class_floor, "no champion yet", None),
        Rule("calibration", CALIBRATION, nothing, given.calibration_tolerance,
             "no champion yet", None),
    ]  # fmt: skip
    return tuple(rules)


def of_operation(speed: float, megabytes: float, given: PromotionParameters) -> tuple[Rule, ...]:
    """What running it costs.

    Args:
        speed: utterances per second, features ready.
        megabytes: of the package.
    """
    return (
        Rule("speed", "at least", speed, given.minimum_speed, f"{speed:.0f} utterances/s",
             speed >= given.minimum_speed),
        Rule("size", "at most", megabytes, given.maximum_megabytes, f"{megabytes:.1f} MB",
             megabytes <= given.maximum_megabytes),
    )  # fmt: skip


def _difference(candidate: SplitPredictions, other: SplitPredictions, given: PromotionParameters) -> Difference:
    return paired_difference(candidate.counts(), other.counts(), level=given.level, draws=given.draws)


def _effect(difference: Difference, given: PromotionParameters, name: str = "weighted F1") -> Rule:
    passed = difference.low > given.minimum_effect
    return Rule(name, "lower end above", difference.low, given.minimum_effect, _interval(difference), passed)


def _class_floor(candidate: SplitPredictions, champion: SplitPredictions, given: PromotionParameters) -> Rule:
    """An emotion fails that lost more than the floor beyond doubt: a dozen utterances are no veto by themselves."""
    ours, theirs = candidate.counts(), champion.counts()
    support = dict(zip(candidate.emotions, ours.sum((0, 2)), strict=True))
    differences = paired_class_differences(ours, theirs, level=given.level, draws=given.draws)
    named = {candidate.emotions[at]: difference for at, difference in differences.items()}
    found = {emotion: difference for emotion, difference in named.items() if support[emotion] >= given.class_support}
    if not found:
        detail = f"no emotion has {given.class_support} utterances here"
        return Rule("class floor", CLASS_FLOOR, float("nan"), -given.class_floor, detail, None)
    by_upper_end = sorted(found, key=lambda emotion: found[emotion].high)
    failed = [emotion for emotion in by_upper_end if found[emotion].high < -given.class_floor]
    reported = failed or by_upper_end[:1]  # where all pass, the one that came closest
    detail = "; ".join(f"{emotion} {_interval(found[emotion])}, {support[emotion]} utterances" for emotion in reported)
    return Rule("class floor", CLASS_FLOOR, found[reported[0]].high, -given.class_floor, detail, not failed)


def _calibration(candidate: SplitPredictions, champion: SplitPredictions, given: PromotionParameters) -> Rule:
    mine, theirs = calibration_error(candidate), calibration_error(champion)
    difference = paired_calibration_difference(candidate, champion, level=given.level, draws=given.draws)
    return Rule(
        "calibration", CALIBRATION, difference.low, given.calibration_tolerance,
        f"{_interval(difference)} ({theirs:.3f} to {mine:.3f})", difference.low <= given.calibration_tolerance,
    )  # fmt: skip


def calibration_error(predictions: SplitPredictions) -> float:
    """Expected calibration error over the labelled utterances, 0..1."""
    labelled = predictions.truth != UNLABELLED
    return expected_calibration_error(predictions.probability[labelled], predictions.truth[labelled])


def _interval(difference: Difference) -> str:
    return f"{difference.value:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"


def rules_changed(given: PromotionParameters) -> tuple[str, ...]:
    """Thresholds that are not the defaults, as `class_floor 0.05 -> 0.2 (loosened)`."""
    found = []
    for name, default in PromotionParameters().model_dump(exclude=NO_RULES).items():
        if (value := getattr(given, name)) != default:
            way = LOOSER.get(name, 0) * (value - default)
            detail = "loosened" if way > 0 else "tightened" if way < 0 else "changed"
            found.append(f"{name} {default:g} -> {value:g} ({detail})")
    return tuple(found)
