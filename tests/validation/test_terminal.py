"""What a person sees of a validation at a terminal of 80 or 120 columns."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from hbaf.validation.report import RuleResult, ValidationResult
from hbaf.validation.rules import RULES
from hbaf.validation.terminal import counts, findings


def result(*rules: RuleResult) -> ValidationResult:
    found = {"train": {"dialogues": 2, "utterances": 9}, "test": {"dialogues": 1, "utterances": 13708}}
    return ValidationResult("calls", "0" * 64, rules, Path("/docs"), found, ("2 characters repaired",))


def ruled(name: str, **facts: object) -> RuleResult:
    rule = next(rule for rule in RULES if rule.name == name)
    defaults = {"passed": True, "evaluated": True, "meaning": rule.meaning, "advice": rule.advice, "checked_rows": 100}
    return RuleResult(name, rule.severity, **{**defaults, **facts})  # type: ignore[arg-type]


BROKEN = ruled("split_dialogues_exist", passed=False, broken_rows=7, share=0.07, examples=("calls/[red]x/0",) * 5)
TOLERATED = ruled("audio_usable", broken_rows=2, share=0.02, examples=("calls/train-125/3", "calls/dev-110/7"))
KEPT = ruled("unique_ids")
IDLE = ruled("has_text", passed=False, evaluated=False)


def shown(width: int, every_rule: bool = False) -> str:
    console = Console(width=width, file=io.StringIO(), record=True, color_system=None)
    console.print(counts(result(BROKEN)))
    console.print(findings(result(IDLE, KEPT, TOLERATED, BROKEN), every_rule))
    return console.export_text()


@pytest.mark.parametrize("width", [80, 120])
def test_no_name_and_no_id_is_cut(width: int) -> None:
    text = shown(width)
    for whole in ("split_dialogues_exist", "calls/[red]x/0", "calls/train-125/3", "7 of 100 (7.0%)", "... and 2 more"):
        assert whole in text
    assert max(map(len, text.splitlines())) <= width


def test_what_is_to_be_done_comes_first_and_kept_rules_are_one_number() -> None:
    text = shown(100)
    assert text.index("split_dialogues_exist") < text.index("audio_usable")
    assert "unique_ids" not in text
    assert "has_text" not in text
    assert "2 rules kept" in text
    assert "note: 2 characters repaired" in text
    every = shown(100, every_rule=True)
    assert "unique_ids" in every
    assert "has_text" in every


def test_tolerated_rows_are_named_with_what_to_do() -> None:
    line = next(line for line in shown(120).splitlines() if "audio_usable" in line)
    assert line.startswith("exceptions")
    assert "audio_problem of these" in line


def test_counts_stand_by_split() -> None:
    lines = [line.split() for line in shown(80).splitlines()]
    assert ["utterances", "9", "13708"] in lines


def test_markdown_holds_the_same() -> None:
    text = result(BROKEN, TOLERATED).markdown()
    assert "| utterances | 9 | 13708 |" in text
    assert "| split_dialogues_exist | warning | warning | 7 of 100 (7.0%) |" in text
