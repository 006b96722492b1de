"""What a look at one thing found."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "note", "bad"]


@dataclass(frozen=True)
class Finding:
    """One line of `hbaf doctor`.

    Attributes:
        subject: what was looked at.
        verdict: "bad" breaks or endangers something, "note" is for a person to know.
        said: what was found.
        fix: what to do; empty where there is nothing to do.
    """

    subject: str
    verdict: Verdict
    said: str
    fix: str = ""

    def lines(self) -> str:
        """For the terminal."""
        mark = {"ok": "ok  ", "note": "note", "bad": "BAD "}[self.verdict]
        return f"{mark} {self.subject}: {self.said}" + (f"\n     fix: {self.fix}" if self.fix else "")


def ok(subject: str, said: str) -> Finding:
    """A finding without anything to do."""
    return Finding(subject, "ok", said)


def note(subject: str, said: str, fix: str = "") -> Finding:
    """A finding that may matter."""
    return Finding(subject, "note", said, fix)


def bad(subject: str, said: str, fix: str) -> Finding:
    """A finding that has to be fixed, with its fix."""
    return Finding(subject, "bad", said, fix)
