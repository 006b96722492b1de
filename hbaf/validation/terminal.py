"""A validation at a terminal: what is in the corpus, and what a person has to do. Readable at 80 columns."""

from typing import TYPE_CHECKING

from hbaf.validation.report import RuleResult, ValidationResult

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

STYLES = {"BROKEN": "bold red", "warning": "yellow", "exceptions": "cyan", "kept": "green", "not evaluated": "dim"}


def findings(result: ValidationResult, every_rule: bool = False) -> "RenderableType":
    """One line, then each rule that is broken or has exceptions, with its first rows and what to do.

    Args:
        every_rule: the kept and the not evaluated ones too.
    """
    from rich.console import Group
    from rich.text import Text

    style = "bold green" if result.ok else "bold red"
    shown = [
        rule for rule in result.worst_first() if every_rule or outcome(rule) in ("BROKEN", "warning", "exceptions")
    ]
    parts: list[RenderableType] = [Text(result.summary(), style=style)]
    parts += [Text(f"note: {note}") for note in result.notes]
    return Group(*parts, _rules(shown)) if shown else Group(*parts)


def counts(result: ValidationResult) -> "Table":
    """Dialogues, utterances and labels of each split."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE, pad_edge=False, show_edge=False)
    table.add_column("")
    for split in result.counts:
        table.add_column(split, justify="right", no_wrap=True)
    for name in next(iter(result.counts.values()), {}):
        table.add_row(Text(name), *(str(found[name]) for found in result.counts.values()))
    return table


def outcome(rule: RuleResult) -> str:
    """As `RuleResult.outcome`, with the kept rules that some rows break apart: these rows are tolerated, not fine."""
    return "exceptions" if rule.outcome == "kept" and rule.broken_rows and rule.examples else rule.outcome


def _rules(rules: list[RuleResult]) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, expand=False)
    table.add_column("result", no_wrap=True)
    table.add_column("rule and rows", ratio=1, min_width=28)
    table.add_column("what to do", ratio=1, min_width=24)
    for rule in rules:
        message = outcome(rule)
        found = Text(rule.name, style="bold")
        found.append(f"\n{rule.meaning}", style="not bold")
        if rule.evaluated:
            found.append(f"\n{rule.broken()}", style="not bold")
        for example in rule.examples:  # a line each, so that ids are not cut in the middle; never read as markup
            found.append(f"\n  {example}", style="not bold")
        more = rule.broken_rows - len(rule.examples)
        if rule.examples and more > 0:
            found.append(f"\n  ... and {more} more", style="not bold")
        found.append("\n")
        advice = rule.advice if message in ("BROKEN", "warning", "exceptions") else ""
        table.add_row(Text(message, style=STYLES[message]), found, Text(advice))
    return table
