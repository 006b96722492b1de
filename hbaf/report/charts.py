"""The drawings of a report as plain numbers: colours by emotion, stacked bars, the emotion river, the mix over time.

Coordinates only, so that the templates escape every word; colours are slots of the palette in `templates/report.css`.
T turns, C emotions.
"""

from collections.abc import Sequence
from itertools import pairwise

# Emotion names of the common label sets -> palette slot, so that anger is red in every report.
SLOT_OF_EMOTION = {
    "neutral": 0,
    "joy": 1,
    "happy": 1,
    "happiness": 1,
    "excited": 2,
    "excitement": 2,
    "anger": 3,
    "angry": 3,
    "frustrated": 4,
    "frustration": 4,
    "sadness": 5,
    "sad": 5,
    "fear": 6,
    "fearful": 6,
    "surprise": 7,
    "surprised": 7,
    "disgust": 8,
    "disgusted": 8,
    "calm": 9,
    "contempt": 10,
    "boredom": 11,
    "bored": 11,
}
SLOTS = 12
COLUMN = 10.0  # width of one turn in the river's own units
HEIGHT = 100.0
BINS = 20  # columns of the mix over time
PLATEAU = 2.5  # the curve stays flat but for this far from the border between two turns

Share = tuple[float, float, int]  # x, width, palette slot


def slots_of(emotions: Sequence[str]) -> list[int]:
    """A palette slot, 0..SLOTS-1, for each emotion; distinct as long as there are no more emotions than slots."""
    wanted = [SLOT_OF_EMOTION.get(name.strip().lower()) for name in emotions]
    slots: list[int] = []
    for slot in wanted:
        if slot is None or slot in slots:
            free = [number for number in range(1, SLOTS) if number not in slots and number not in wanted]
            slot = free[0] if free else len(slots) % SLOTS
        slots.append(slot)
    return slots


def stacked(values: Sequence[float], slots: Sequence[int], length: float = 100.0) -> list[Share]:
    """Non-negative `values` laid end to end over `length`; nothing for values that sum to zero."""
    total = sum(values)
    parts, at = [], 0.0
    for value, slot in zip(values, slots, strict=True):
        width = length * value / total if total > 0 else 0.0
        if width > 0:
            parts.append((round(at, 2), round(width, 2), slot))
        at += width
    return parts


def river(probabilities: Sequence[Sequence[float] | None], slots: Sequence[int]) -> list[tuple[int, str]]:
    """The emotion river: the probabilities of each turn stacked, flat over the turn, with short bends between turns.

    Args:
        probabilities: T rows of C probabilities; None for a turn that was not scored, which leaves a gap.
        slots: C palette slots.

    Returns:
        (slot, SVG path) for each emotion, in a box T * COLUMN wide and HEIGHT high, y downwards.
    """
    runs: list[list[tuple[int, list[float]]]] = []
    for turn, row in enumerate(probabilities):
        if row is None or sum(row) <= 0:
            continue
        if not runs or runs[-1][-1][0] != turn - 1:
            runs.append([])
        runs[-1].append((turn, _levels(row)))
    paths = []
    for emotion, slot in enumerate(slots):
        path = "".join(_band(run, emotion) for run in runs)
        if path:
            paths.append((slot, path))
    return paths


def _levels(row: Sequence[float]) -> list[float]:
    """C + 1 heights from 0 to HEIGHT: the borders between the stacked probabilities of one turn."""
    total, height, levels = sum(row), 0.0, [0.0]
    for value in row:
        height += HEIGHT * value / total
        levels.append(height)
    return levels


def _band(run: list[tuple[int, list[float]]], emotion: int) -> str:
    above = [(turn, levels[emotion]) for turn, levels in run]
    below = [(turn, levels[emotion + 1]) for turn, levels in run]
    if all(abs(top - bottom) < 0.05 for (_, top), (_, bottom) in zip(above, below, strict=True)):
        return ""
    return f"M{_edge(above, forward=True)}L{_edge(below, forward=False)}Z"


def _edge(points: list[tuple[int, float]], *, forward: bool) -> str:
    """One border of a band as an SVG path without its first letter."""
    ordered = points if forward else points[::-1]
    enter, leave, step = (0.0, COLUMN, 1.0) if forward else (COLUMN, 0.0, -1.0)
    first, last = ordered[0], ordered[-1]
    path = f"{_number(first[0] * COLUMN + enter)} {_number(first[1])}"
    for (turn, y), (_, following) in pairwise(ordered):
        border = turn * COLUMN + leave
        path += f"L{_number(border - step * PLATEAU)} {_number(y)}"
        path += f"C{_number(border)} {_number(y)} {_number(border)} {_number(following)} "
        path += f"{_number(border + step * PLATEAU)} {_number(following)}"
    return path + f"L{_number(last[0] * COLUMN + leave)} {_number(last[1])}"


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def mix_over_time(conversations: Sequence[Sequence[int]], emotions: int, bins: int = BINS) -> list[list[float]]:
    """How often each emotion occurs from the beginning to the end of a conversation; each conversation counts once.

    Args:
        conversations: class indices in order of turns, -1 where a turn was not scored.
        emotions: C.

    Returns:
        `bins` rows of C counts, to be drawn as a river.
    """
    rows = []
    for place in range(bins):
        counts = [0.0] * emotions
        for turns in conversations:
            emotion = turns[int((place + 0.5) / bins * len(turns))] if turns else -1
            if emotion >= 0:
                counts[emotion] += 1
        rows.append(counts)
    return rows
