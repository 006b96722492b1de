"""How a verdict is shown in the terminal."""

import pytest

from hbaf.promotion.rules import Rule
from hbaf.promotion.verdict import Verdict
from hbaf.verbs.promotion import show


def test_changed_rules_advice_and_what_was_passed_over_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    show(
        Verdict(
            "refused", "hbaf-c", "3", "", 0.5, 0.6, "floor: logistic regression", "failed: logistic regression", "gate",
            (Rule("logistic regression", "upper end at least", -0.1, 0.0, "-0.1 [-0.2, -0.1]", False),),
            ("passed over: bimodal run 1234abcd, dev 0.305: not ahead on dev",), "now",
            ("class_floor 0.05 -> 0.2 (loosened)",), ("the baseline `logistic regression` won",),
        )
    )  # fmt: skip
    shown = capsys.readouterr().out
    for said in ("rules changed: class_floor 0.05 -> 0.2", "passed over: bimodal run 1234abcd", "regression` won"):
        assert said in shown
