"""The words of the example corpus, read from `lines.toml` and `situations.toml`, and which split may say which line.

Three kinds of line, one per cue:

* situations (`cue` "words"): what is said tells the emotion; they are in `situations.toml`.
* statements ("voice"): everyday information, said with every emotion alike.
* reactions ("context"): short answers that fit good and bad news alike.

A template belongs to one split only, so no line of the test split occurs in train.
"""

import random
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hbaf.corpus.schema import SPLITS, Split


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))


def _tuples(lists: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(lines) for name, lines in lists.items()}


_LINES = _read("lines.toml")
SITUATIONS = {topic: _tuples(by_emotion) for topic, by_emotion in _read("situations.toml").items()}
TOPICS = tuple(SITUATIONS)
FILLERS, STATEMENTS, TAILS = (_tuples(_LINES[name]) for name in ("fillers", "statements", "tails"))
OPENERS, REACTIONS = tuple(_LINES["openers"]), tuple(_LINES["reactions"])
TAIL_SHARE = 0.9
LONGEST_LINE = 20  # words


@dataclass(frozen=True)
class LineBank:
    """The templates that one split may use.

    Attributes:
        situations: topic -> emotion -> templates.
        statements: topic -> templates.
        reactions: whole lines, spoken after an opener.
    """

    situations: dict[str, dict[str, tuple[str, ...]]]
    statements: dict[str, tuple[str, ...]]
    reactions: tuple[str, ...]

    def words_line(self, chance: random.Random, topic: str, emotion: str) -> str:
        """A line whose words tell the emotion, mostly with a tail that does too; at most 20 words with the tail."""
        line = fill(chance, chance.choice(self.situations[topic][emotion]))
        tail = chance.choice(TAILS[emotion])
        fits = len(line.split()) + len(tail.split()) <= LONGEST_LINE
        return f"{line} {tail}" if fits and chance.random() < TAIL_SHARE else line

    def voice_line(self, chance: random.Random, topic: str) -> str:
        """A statement on a topic that fits every emotion: only the voice tells which."""
        return fill(chance, chance.choice(self.statements[topic]))

    def context_line(self, chance: random.Random) -> str:
        """A short reaction that fits good and bad news: only the turns before tell the emotion."""
        return f"{chance.choice(OPENERS)} {chance.choice(self.reactions)}"


def line_banks(chance: random.Random) -> dict[Split, LineBank]:
    """Deals every list of templates out to the splits: about two thirds, a sixth, a sixth of each list."""
    situations = {
        topic: {emotion: deal(chance, lines) for emotion, lines in by_emotion.items()}
        for topic, by_emotion in SITUATIONS.items()
    }
    statements = {topic: deal(chance, lines) for topic, lines in STATEMENTS.items()}
    reactions = deal(chance, REACTIONS)
    return {
        split: LineBank(
            {topic: {emotion: dealt[split] for emotion, dealt in cells.items()} for topic, cells in situations.items()},
            {topic: dealt[split] for topic, dealt in statements.items()},
            reactions[split],
        )
        for split in SPLITS
    }


def deal(chance: random.Random, items: tuple[str, ...]) -> dict[Split, tuple[str, ...]]:
    """Shuffles and parts `items` (three at least): a sixth each, one at least, for dev and test, the rest for train."""
    shuffled = chance.sample(items, len(items))
    sixth = max(1, round(len(items) / 6))
    return {
        "test": tuple(shuffled[:sixth]),
        "dev": tuple(shuffled[sixth : 2 * sixth]),
        "train": tuple(shuffled[2 * sixth :]),
    }


def fill(chance: random.Random, template: str) -> str:
    """Fills `{slots}`; a capital slot begins a sentence; `{day2}` differs from `{day}`, `{number2}` from `{number}`."""
    used: list[str] = []

    def word(match: re.Match[str]) -> str:
        slot = match.group(1)
        bank = FILLERS[slot.lower().rstrip("2")]
        chosen = chance.choice([item for item in bank if item not in used])
        used.append(chosen)
        return chosen[0].upper() + chosen[1:] if slot[0].isupper() else chosen

    return re.sub(r"\{(\w+)\}", word, template)
