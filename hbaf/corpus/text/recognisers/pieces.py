"""What the readers of recognisers' JSON share: objects of a list, the best hypothesis, turns in their order."""

from typing import Any

from hbaf.corpus.text.transcripts.parsed import Parsed, Turn


def dicts(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; empty for anything else."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def best(data: dict[str, Any], name: str = "alternatives") -> dict[str, Any]:
    """The first of several hypotheses, which is the most probable."""
    return next(iter(dicts(data.get(name))), {})


def words_of(value: Any) -> str:
    """A text, empty for anything else."""
    return value if isinstance(value, str) else ""


def add_in_order(parsed: Parsed, file: str, turns: list[Turn]) -> None:
    """Adds turns in the order of their times; one without a time follows the one before it."""
    order, last = [], 0.0
    for place, turn in enumerate(turns):
        last = turn.start if turn.start is not None else last
        order.append((last, place, turn))
    for index, (_, _, turn) in enumerate(sorted(order, key=lambda one: one[:2]), start=1):
        parsed.add(f"{file}:{index}", turn)
