"""What a field of a manifest says: words, numbers, times."""

import math
import re
import unicodedata

from hbaf.parameters import LimitParameters

# How tables and programs write that there is nothing.
NO_VALUE = (
    "", "nan", "nat", "none", "null", "na", "n/a", "#n/a", "<na>", "n.a.", "-", "--", "?", "nil", "undefined",
    "unlabelled",
)  # fmt: skip


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
    if text.isprintable():  # nearly every field; no control character and no half of a pair is
        return text.strip()
    text = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", "", text)
    return re.sub("[\ud800-\udfff]", "\ufffd", text).strip()


def text_or_problem(
    text: str,
    limits: LimitParameters = LimitParameters(),  # noqa: B008  # frozen
) -> tuple[str | None, str | None]:
    """(text, None), or (what is left of it, why it cannot be used)."""
    if not any(unicodedata.category(letter)[0] not in "ZC" for letter in text):
        return None, "no text"  # nothing, or only blanks and signs without a width
    longest = limits.turn_characters
    if len(text) > longest:
        return text[:longest], f"{len(text)} characters, cut at {longest}: more than one turn"
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
    if text.lower() in NO_VALUE:
        return None
    value = number(text)
    if value is None or not 0 <= value < 1000 or value != int(value):
        raise BadRow("channel is not a number from 0", shown(text))
    return int(value)


_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_CLOCK = re.compile(
    r"(?:(?P<d>\d+) days?,? *\+?)?(?:(?:(?P<h>\d+):)?(?P<m>\d+):)?"
    r"(?P<s>\d*[.,]?\d+(?:e[+-]?\d+)?)(?: *s|(?P<half> [ap]m))?"
)
_NUMBER = r"\d*[.,]?\d+"
_PLAIN_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_FRAMES = re.compile(r"(\d+):(\d{2}):(\d{2})[:;](\d{2})")  # hours, minutes, seconds, frames
_ISO_8601 = re.compile(rf"P(?:({_NUMBER})D)?(?:T(?:({_NUMBER})H)?(?:({_NUMBER})M)?(?:({_NUMBER})S)?)?", re.IGNORECASE)
_WITH_UNITS = re.compile(r"(?:\d*[.,]?\d+(?:e[+-]?\d+)? *(?:h|m|s|ms|us|µs|ns) *)+")
_SPELLED = {"hours": "h", "hour": "h", "hrs": "h", "hr": "h", "minutes": "m", "minute": "m", "mins": "m", "min": "m",
            "seconds": "s", "second": "s", "secs": "s", "sec": "s", "msec": "ms", "msecs": "ms",
            "millisecond": "ms", "milliseconds": "ms"}  # fmt: skip


def seconds(text: str, unit: float = 1.0) -> float | None:
    """Seconds out of a time as people and programs write it; None for an empty field.

    `1.5`, `1,5`, `00:16:16,059`, `16:16.059`, `0 days 00:00:01.5`, `0 days`, `1.5s`, `1500 ms`, `1m30s`, `PT1M30.5S`,
    `00:00:01:12` (frames, 25 a second or 30 where there are more).

    Args:
        unit: of a number alone, in seconds.

    Raises:
        BadRow: no time, or a negative one.
    """
    text = text.strip()
    if text.lower() in NO_VALUE:
        return None
    total = _seconds(text, unit) if len(text) <= 40 else None
    if total is None or not math.isfinite(total):
        raise BadRow("time is not understood", shown(text))
    return total


def _seconds(text: str, unit: float) -> float | None:
    if _PLAIN_NUMBER.fullmatch(text):
        return float(text) * unit
    if re.fullmatch(r"\d+ days?", text):
        return 86_400.0 * int(text.split()[0])
    if frames := _FRAMES.fullmatch(text):
        hours, minutes, whole, frame = map(int, frames.groups())
        return 3600 * hours + 60 * minutes + whole + frame / (25 if frame < 25 else 30)
    if (iso := _ISO_8601.fullmatch(text)) and any(iso.groups()):
        parts = (float((part or "0").replace(",", ".")) for part in iso.groups())
        return sum(part * long for part, long in zip(parts, (86_400, 3600, 60, 1), strict=True))
    spelled = re.sub(r"[a-zµ]+", lambda word: _SPELLED.get(word[0], word[0]), text.lower())
    if _WITH_UNITS.fullmatch(spelled):
        pieces = re.findall(r"(\d*[.,]?\d+(?:e[+-]?\d+)?) *([a-zµ]+)", spelled)
        return sum(float(value.replace(",", ".")) * _UNITS[name] for value, name in pieces)
    match = _CLOCK.fullmatch(spelled)
    if match is None or (match["half"] and not match["m"]):
        return None
    value = float(match["s"].replace(",", "."))
    days, hours, minutes = (int(match[part] or 0) for part in "dhm")
    if match["half"]:
        hours = hours % 12 + (12 if match["half"].strip() == "pm" else 0)
    return value + 60 * (minutes + 60 * (hours + 24 * days)) if match["m"] or match["d"] else value * unit


def shown(text: str) -> str:
    """Quoted and cut short, for a message."""
    return repr(text if len(text) <= 40 else text[:40] + "...")
