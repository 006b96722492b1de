"""What a check of one thing found."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "note", "bad"]


@dataclass(frozen=True)
class Finding:
    """One line of `hbaf doctor`.

    Attributes:
        subject: what was looked at.
        verdict: "bad" breaks or endangers something, "note" is for a person to know.
        message: what was found.
        fix: what to do; empty where there is nothing to do.
    """

    subject: str
    verdict: Verdict
    message: str
    fix: str = ""

    def lines(self) -> str:
        """For the terminal."""
        mark = {"ok": "ok  ", "note": "note", "bad": "BAD "}[self.verdict]
        return f"{mark} {self.subject}: {self.message}" + (f"\n     fix: {self.fix}" if self.fix else "")


def ok(subject: str, message: str) -> Finding:
    """A finding without anything to do."""
    return Finding(subject, "ok", message)


def note(subject: str, message: str, fix: str = "") -> Finding:
    """A finding that may matter."""
    return Finding(subject, "note", message, fix)


def bad(subject: str, message: str, fix: str) -> Finding:
    """A finding that has to be fixed, with its fix."""
    return Finding(subject, "bad", message, fix)
