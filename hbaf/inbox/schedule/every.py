"""How often a source is scored: `10m`, `1h`, `1d`, or the five fields of cron."""

import re
from dataclasses import dataclass

SECONDS = {"m": 60, "h": 3600, "d": 86_400}
LONGEST = 366  # days
# Field of cron -> (name, lowest, highest); names of months and days count too.
FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of the month", 1, 31), ("month", 1, 12), ("day of the week", 0, 7))
NAMES = {
    "month": ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    "day of the week": ("sun", "mon", "tue", "wed", "thu", "fri", "sat"),
}
FORMS = "Give an interval of minutes, hours or days, as 10m, 1h or 1d, or five fields of cron in UTC, as '0 3 * * *'."


class EveryError(ValueError):
    """It is not clear how often."""


@dataclass(frozen=True)
class Every:
    """An interval, or times by cron in UTC.

    Attributes:
        seconds: between two runs; None where `cron` says when.
        cron: five fields; "" for an interval.
    """

    seconds: int | None
    cron: str = ""


def parse_every(text: str) -> Every:
    """`10m`, `1h`, `1d`, `90m`, or five fields of cron.

    Raises:
        EveryError: of neither form, out of range, or less than a minute.
    """
    plain = " ".join(text.split())
    if match := re.fullmatch(r"(\d{1,6}) ?([mhd])", plain.lower()):
        seconds = int(match[1]) * SECONDS[match[2]]
        if not 60 <= seconds <= LONGEST * SECONDS["d"]:
            raise EveryError(f"--every {text}: from 1m to {LONGEST}d. {FORMS}")
        return Every(seconds)
    fields = plain.lower().split(" ")
    if len(fields) != len(FIELDS):
        raise EveryError(f"--every {text}: neither an interval nor five fields. {FORMS}")
    for field, (name, low, high) in zip(fields, FIELDS, strict=True):
        for part in field.split(","):
            if not _is_part(part, NAMES.get(name, ()), low, high):
                raise EveryError(f"--every {text}: {part!r} is no {name} ({low} to {high}). {FORMS}")
    return Every(None, plain.lower())


def _is_part(part: str, names: tuple[str, ...], low: int, high: int) -> bool:
    """`*`, `*/5`, `3`, `1-5`, `mon-fri`, `0-30/10`."""
    span, slash, step = part.partition("/")
    if slash and not (step.isdecimal() and 0 < int(step) <= high):
        return False
    if span == "*":
        return True
    first, dash, last = span.partition("-")
    if slash and not dash:
        return False  # `5/10` means different things to different programs
    ends = [_number(end, names, low) for end in ([first, last] if dash else [first])]
    return all(end is not None and low <= end <= high for end in ends) and ends == sorted(ends, key=lambda n: n or 0)


def _number(text: str, names: tuple[str, ...], low: int) -> int | None:
    if text in names:
        return names.index(text) + low
    return int(text) if text.isdecimal() and len(text) < 3 else None
