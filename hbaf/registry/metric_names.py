"""Names of metrics as MLflow takes them: labels may hold brackets, emoji or slashes, which it refuses.

A letter that it refuses is written `-x28-` (its code point in hex), a part of a path that is empty `-x-`. The way back
gives the name itself, so that two labels never become one curve.
"""

import re
from collections.abc import Iterable

from hbaf.corpus.schema import CorpusError

LONGEST = 250  # letters, of MLflow's own
_REFUSED = re.compile(r"[^/\w. -]|-(?=x)")  # and a hyphen that could be taken for our mark
_WRITTEN = re.compile(r"-x([0-9a-f]*)-")


def metric_name(name: str) -> str:
    """The name in MLflow."""
    return "/".join(map(_part, _REFUSED.sub(lambda found: _code(found[0]), name).split("/")))


def own_name(name: str) -> str:
    """The way back."""
    return _WRITTEN.sub(lambda found: chr(int(found[1], 16)) if found[1] else "", name)


def check_labels(emotions: Iterable[str]) -> None:
    """Before anything is computed: labels whose metrics could not be logged.

    Raises:
        CorpusError: one is too long.
    """
    for emotion in emotions:
        if len(metric_name(f"best/f1/{emotion}")) > LONGEST:
            raise CorpusError(
                f"label {emotion[:40]!r}... has {len(emotion)} letters, and MLflow keeps names of {LONGEST}. Shorten "
                "it in the manifest; an emotion is a word or two."
            )


def _part(part: str) -> str:
    if not part:
        return "-x-"
    if part == "." or part.startswith(".."):  # what would lead to another folder
        return "".join(map(_code, part[:2])) + part[2:]
    return part


def _code(letter: str) -> str:
    return f"-x{ord(letter):x}-"
