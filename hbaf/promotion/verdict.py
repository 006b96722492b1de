"""What was decided about a candidate, and on what: every rule with value and threshold."""

import json
import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from hbaf.markdown import cell, plain
from hbaf.promotion.rules import Rule

VERDICT_TAG = "hbaf.verdict"
Outcome = Literal["promoted", "unchanged", "refused", "waiting", "declined"]


@dataclass(frozen=True)
class Verdict:
    """A candidate held against the champion, or against the floors where there is none.

    Attributes:
        outcome: `promoted`; `unchanged` (it is the champion already); `refused` by a rule; `waiting` (every rule is
            met, the alias has not moved yet); `declined` by a person, or by nobody answering.
        model, version: the candidate as registered.
        champion_version: what it was held against; "" for the floors.
        candidate, champion: weighted F1 of both on the split that decided, 0..1; NaN where they cannot be compared.
        against: the champion, or the floors, in words.
        reason: of the outcome, in words.
        split: `gate` or `test`.
        rules: in the order of the table.
        notes: what a person should know beside the rules.
        at: when, UTC.
        rules_changed: thresholds that were not the defaults, in words; verdicts from before that have none.
        advice: which floor stood in the way, by how much, and what to do next.
    """

    outcome: Outcome
    model: str
    version: str
    champion_version: str
    candidate: float
    champion: float
    against: str
    reason: str
    split: str
    rules: tuple[Rule, ...] = ()
    notes: tuple[str, ...] = ()
    at: str = ""
    rules_changed: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()

    @property
    def promoted(self) -> bool:
        """Whether the candidate is the champion now, also where it was before."""
        return self.outcome in ("promoted", "unchanged")

    @property
    def title(self) -> str:
        """One line: model, version, what became of it, and why."""
        words = {"promoted": "champion", "unchanged": "champion as before", "waiting": "waits for approval"}
        return f"{self.model} version {self.version}: {words.get(self.outcome, 'not promoted')}, {self.reason}"

    @property
    def changed(self) -> str:
        """Which rules differ from the defaults, as `class_floor 0.05 -> 0.2 (loosened)`; "" where none does."""
        return f"rules changed: {'; '.join(self.rules_changed)}" if self.rules_changed else ""

    def remarks(self) -> list[str]:
        """The remarks below the table, a line each."""
        return [*filter(None, (self.changed,)), *self.advice, *self.notes]

    def rows(self) -> list[tuple[str, str, str, str]]:
        """(rule, measured, asked, outcome) for a table."""
        return [(rule.name, rule.detail, rule.asked, rule.outcome) for rule in self.rules]

    def markdown(self) -> str:
        """The verdict as Markdown: title, scores, the table of rules, remarks."""
        lines = [f"**{plain(self.title)}**", "", plain(self.compared()), ""]
        if self.rules:
            lines += ["| rule | measured | asked | outcome |", "| --- | --- | --- | --- |"]
            lines += [f"| {' | '.join(cell(value) for value in row)} |" for row in self.rows()]
        lines += ["", *(f"- {plain(remark)}" for remark in self.remarks())]
        return "\n".join(lines).strip()

    def compared(self) -> str:
        """One line with the weighted F1 of both, 0..1; "nan" where they cannot be compared."""
        return (
            f"weighted F1 on {self.split}: candidate {self.candidate:.3f}, against {self.champion:.3f} ({self.against})"
        )

    def as_tags(self) -> dict[str, str]:
        """For the version in MLflow: the whole as JSON, and one tag for each rule to filter and read by."""
        tags = {f"{VERDICT_TAG}.{name}": str(getattr(self, name)) for name in ("outcome", "reason", "against", "split")}
        # Always written: the same version may have been judged by other rules before.
        tags[f"{VERDICT_TAG}.rules_changed"] = "; ".join(self.rules_changed) or "none"
        for rule in self.rules:
            name = rule.name.replace(" ", "_")
            tags[f"{VERDICT_TAG}.{name}"] = f"{rule.outcome}: {rule.detail}; {rule.asked}"
        return tags | {VERDICT_TAG: self.as_json()}

    def as_json(self) -> str:
        """JSON with null for NaN; `from_json` reads it back."""
        return json.dumps(without_nan(asdict(self)))

    @staticmethod
    def from_json(content: str) -> "Verdict":
        """A verdict as `as_json` wrote it; one from before notes, rules_changed or advice existed has them empty."""
        values: dict[str, Any] = json.loads(content)
        rules = tuple(Rule(**{**rule, "value": _number(rule["value"])}) for rule in values.pop("rules"))
        numbers = {name: _number(values.pop(name)) for name in ("candidate", "champion")}
        passed = {name: tuple(values.get(name, ())) for name in ("notes", "rules_changed", "advice")}
        return Verdict(**{**values, **numbers, "rules": rules, **passed})


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def without_nan(value: Any) -> Any:
    """JSON has no word for NaN."""
    if isinstance(value, dict):
        return {name: without_nan(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value
