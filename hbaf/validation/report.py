"""What a validation found: for programs, at a terminal and as a page; never words, speakers or file names."""

import html
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hbaf.corpus.schema import CorpusError
from hbaf.markdown import cell, plain
from hbaf.pseudonyms import shown_id
from hbaf.validation.rules import Severity

HEADINGS = ("rule", "severity", "result", "broken rows", "first ids", "what to do")
CONTENT_POLICY = (
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
)
PAGE_STYLE = """
body{margin:0 auto;max-width:75rem;padding:1rem;font:15px/1.5 system-ui,sans-serif;color:#222;background:#fff}
table{border-collapse:collapse;width:100%} td,th{border:1px solid #ccc;padding:.3rem .5rem;text-align:left;
vertical-align:top} .BROKEN td:nth-child(3){color:#a4161a;font-weight:bold}
.warning td:nth-child(3){color:#8a5a00;font-weight:bold} .kept td:nth-child(3){color:#176b2c}
"""


class ValidationFailed(CorpusError):
    """A corpus breaks a critical rule, or nothing of it could be judged."""


@dataclass(frozen=True)
class RuleResult:
    """What one rule found.

    Attributes:
        name: of the rule in `hbaf.validation.rules`.
        severity: "critical" stops the run, "warning" is reported.
        passed: the rule was evaluated and is kept.
        evaluated: there was at least one row that the rule applies to.
        meaning: what holds when the rule is kept.
        advice: what to do when it is broken.
        checked_rows: rows that the rule applies to: utterances, dialogues or 1 for the whole corpus.
        broken_rows: how many of them break it; a kept rule may have some, up to the allowed share.
        share: broken_rows / checked_rows, 0..1; 0 where nothing was checked.
        examples: up to five utterance ids that break it, for the terminal; of a dialogue, its first utterance.
        found: what was counted, in words; empty where the rows say it all.
    """

    name: str
    severity: Severity
    passed: bool
    evaluated: bool
    meaning: str
    advice: str
    checked_rows: int = 0
    broken_rows: int = 0
    share: float = 0.0
    examples: tuple[str, ...] = ()
    found: str = ""

    @property
    def shown_examples(self) -> tuple[str, ...]:
        """The examples as they may stand in pages, logs, Prefect and MLflow (`hbaf.pseudonyms`)."""
        return tuple(shown_id(name) for name in self.examples)

    @property
    def failed(self) -> bool:
        """Whether the rule was evaluated and is broken."""
        return self.evaluated and not self.passed

    @property
    def outcome(self) -> str:
        """In one or two words: "kept", "BROKEN", "warning", "not evaluated"."""
        if not self.evaluated:
            return "not evaluated"
        if self.passed:
            return "kept"
        return "BROKEN" if self.severity == "critical" else "warning"

    def broken(self) -> str:
        """How much is broken: "3 of 100 (3.0%)", or what was counted."""
        if not self.evaluated:
            return ""
        return self.found or f"{self.broken_rows} of {self.checked_rows} ({self.share:.1%})"


@dataclass(frozen=True)
class ValidationResult:
    """What all rules found.

    Attributes:
        corpus: name of the corpus.
        digest: `Corpus.digest()` of what was judged.
        rules: in the order of `hbaf.validation.rules.RULES`.
        docs: folder with the Data Docs, index.html first, and broken_rows.csv.
        counts: split -> dialogues, utterances, one number per emotion, unlabelled.
        notes: what the reader had to say of the source.
    """

    corpus: str
    digest: str
    rules: tuple[RuleResult, ...]
    docs: Path | None = None
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """No critical rule is broken, and more than the mere presence of rows was judged."""
        judged = any(rule.evaluated for rule in self.rules if rule.name != "rows")
        return judged and not any(rule.failed for rule in self.rules if rule.severity == "critical")

    def failures(self, severity: Severity) -> tuple[RuleResult, ...]:
        """The broken rules of one severity."""
        return tuple(rule for rule in self.rules if rule.failed and rule.severity == severity)

    def raise_if_failed(self) -> None:
        """Does nothing when `ok`.

        Raises:
            ValidationFailed: names each broken critical rule, how much breaks it, and what to do.
        """
        if self.ok:
            return
        lines = [
            f"  {rule.name}: {rule.meaning} Broken: {rule.broken()}"
            + (f", first {', '.join(rule.shown_examples)}" if rule.examples else "")
            + f". {rule.advice}"
            for rule in self.failures("critical")
        ] or ["  No rule found anything to judge: every value that a rule looks at is missing."]
        seen = f" All results: {self.docs / 'index.html'}" if self.docs else ""
        raise ValidationFailed(
            f"{self.corpus}: the corpus failed validation.\n" + "\n".join(lines) + f"\n{seen}".rstrip()
        )

    def summary(self) -> str:
        """One line for a log."""
        kept = sum(rule.passed for rule in self.rules)
        idle = sum(not rule.evaluated for rule in self.rules)
        return (
            f"{self.corpus}: {'valid' if self.ok else 'FAILED'}; {kept} rules kept, "
            f"{len(self.failures('critical'))} broken, {len(self.failures('warning'))} warnings, {idle} not evaluated"
        )

    def to_json_dict(self) -> dict[str, Any]:
        """Plain values for `json.dumps`."""
        return {
            "corpus": self.corpus,
            "digest": self.digest,
            "ok": self.ok,
            "docs": str(self.docs) if self.docs else None,
            "counts": self.counts,
            "notes": list(self.notes),
            "rules": [
                {**asdict(rule), "examples": list(rule.shown_examples), "outcome": rule.outcome} for rule in self.rules
            ],
        }

    def markdown(self) -> str:
        """The same for a Markdown viewer: counts of the splits, then the rules, broken ones first."""
        lines = [plain(self.summary()), "", *(f"- {plain(note)}" for note in self.notes), ""]
        if self.counts:
            names = list(next(iter(self.counts.values())))
            lines += [f"| | {' | '.join(self.counts)} |", "|---" * (len(self.counts) + 1) + "|"]
            lines += [f"| {name} | {' | '.join(str(c[name]) for c in self.counts.values())} |" for name in names]
        lines += ["", f"| {' | '.join(HEADINGS)} |", "|---" * len(HEADINGS) + "|"]
        lines += ["| " + " | ".join(map(cell, _cells(r))) + " |" for r in self.worst_first()]
        return "\n".join(lines) + "\n"

    def html(self) -> str:
        """The same as a page of its own, with links to great_expectations' pages beside it."""
        title = html.escape(f"Validation of {self.corpus}")
        head = "".join(f"<th>{heading}</th>" for heading in (*HEADINGS, "meaning"))
        body = "".join(
            f'<tr class="{rule.outcome}">'
            + "".join(f"<td>{html.escape(value)}</td>" for value in (*_cells(rule), rule.meaning))
            + "</tr>\n"
            for rule in self.worst_first()
        )
        links = ", ".join(f'<a href="{name}.html">{name}</a>' for name in ("utterances", "dialogues", "corpus"))
        return (
            f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">{CONTENT_POLICY}'
            f"<title>{title}</title><style>{PAGE_STYLE}</style></head>"
            f"<body><h1>{title}</h1><p>{html.escape(self.summary())}</p>"
            f"<p>Corpus digest {self.digest}. Data Docs of the rules that had something to judge: {links}. "
            'Every row that breaks a rule: <a href="broken_rows.csv">broken_rows.csv</a>.</p>'
            f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></body></html>"
        )

    def worst_first(self) -> list[RuleResult]:
        """Broken, warnings, kept with exceptions, kept, not evaluated."""
        order = ("BROKEN", "warning", "kept", "not evaluated")
        return sorted(self.rules, key=lambda rule: (order.index(rule.outcome), not rule.broken_rows))


def _cells(rule: RuleResult) -> tuple[str, ...]:
    """One row under `HEADINGS`; advice only where there is something to do."""
    ids = ", ".join(rule.shown_examples)
    return (rule.name, rule.severity, rule.outcome, rule.broken(), ids, rule.advice if rule.failed else "")
