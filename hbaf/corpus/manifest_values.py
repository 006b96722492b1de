"""What a field of a manifest says: words, numbers, times."""

import math
import re
import unicodedata

LONGEST_TEXT = 10_000  # characters; nobody says that in one turn
# How tables write that there is nothing.
MISSING = ("", "nan", "nat", "none", "null", "na", "n/a", "#n/a", "<na>", "-", "--", "?", "n.a.", "unlabelled")
NO_TIME = MISSING


class BadRow(ValueError):
    """A row that cannot become an utterance.

    Attributes:
        rule: what it broke.
        found: what stood there, cut short.
    """

    def __init__(self, rule: str, found: str) -> None:
        self.rule, self.found = rule, found
        super().__init__(f"{rule}: {found}")


def clean(text: str) -> str:
    """Without NUL, control characters and halves of surrogate pairs, which no table and no page can carry."""
    text = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", "", text)
    return re.sub("[\ud800-\udfff]", "\ufffd", text).strip()


def text_or_problem(text: str) -> tuple[str | None, str | None]:
    """(text, None), or (what is left of it, why it cannot be used)."""
    if not any(unicodedata.category(letter)[0] not in "ZC" for letter in text):
        return None, "no text"  # nothing, or only blanks and signs without a width
    if len(text) > LONGEST_TEXT:
        return text[:LONGEST_TEXT], f"{len(text)} characters, cut at {LONGEST_TEXT}: more than one turn"
    return text, None


def number(text: str) -> float | None:
    """A finite number, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def channel_number(text: str) -> int | None:
    """A channel from 0; None for an empty field.

    Raises:
        BadRow: no such number.
    """
    if text.lower() in NO_TIME:
        return None
    value = number(text)
    if value is None or not 0 <= value < 1000 or value != int(value):
        raise BadRow("channel is not a number from 0", shown(text))
    return int(value)


_CLOCK = re.compile(
    r"(?:(?P<d>\d+) days?,? *\+?)?(?:(?:(?P<h>\d+):)?(?P<m>\d+):)?(?P<s>\d*[.,]?\d+(?:[eE][+-]?\d+)?)"
    r" *(?P<unit>ms|msecs?|milliseconds?|s|secs?|seconds?)?"
)
_NUMBER = r"\d*[.,]?\d+"
_ISO_8601 = re.compile(
    rf"P(?:(?P<d>{_NUMBER})D)?(?:T(?:(?P<h>{_NUMBER})H)?(?:(?P<m>{_NUMBER})M)?(?:(?P<s>{_NUMBER})S)?)?", re.IGNORECASE
)
_DAYS = re.compile(r"(?P<d>\d+) days?")


def seconds(text: str) -> float | None:
    """Seconds out of `1.5`, `1,5`, `00:16:16,059`, `16:16.059`, `0 days 00:00:01.5`, `1.5s`, `1500 ms` or `PT1.5S`.

    None for an empty field.

    Raises:
        BadRow: no time, or a negative one.
    """
    if text.lower() in NO_TIME:
        return None
    short = text[:41]
    match = _CLOCK.fullmatch(short) or _DAYS.fullmatch(short) or _ISO_8601.fullmatch(short)
    parts = match.groupdict() if match else {}
    if len(text) > 40 or not any(parts.get(part) for part in "dhms"):
        raise BadRow("time is not understood", shown(text))
    days, hours, minutes, rest = (float((parts.get(part) or "0").replace(",", ".")) for part in "dhms")
    if (parts.get("unit") or "").startswith("m"):
        rest /= 1000
    total = rest + 60 * (minutes + 60 * (hours + 24 * days))
    if not math.isfinite(total):
        raise BadRow("time is not understood", shown(text))
    return total


def shown(text: str) -> str:
    """Quoted and cut short, for a message."""
    return repr(text if len(text) <= 40 else text[:40] + "...")
