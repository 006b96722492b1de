"""When turns of one recording end, where only their starts are given; and which have no place of their own in it.

Such a turn would silently last to the end of the recording, with everybody else's words in it.
"""

import bisect
from collections.abc import Iterable
from typing import Any

NO_TIMES = "no start and end, which other turns of its recording have"
NO_START = "no start, and other turns begin before its end"


def complete_times(rows: Iterable[dict[str, Any]]) -> int:
    """A start without an end lasts until the next turn of its recording begins, the last one to the end of the file.

    The next of its own dialogue counts first: several dialogues may follow each other in one recording, or be two
    transcripts of it. Turns whose place in their recording nobody knows are marked.

    Args:
        rows: with `audio`, `dialogue_id`, `start`, `end` (seconds or None) and `audio_problem`; changed in place.

    Returns:
        How many ends were taken from the next start.
    """
    dialogues: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        if row["audio"] is not None:
            dialogues.setdefault((row["audio"], row["dialogue_id"]), []).append(row)
    starts = {key: sorted({row["start"] for row in turns} - {None}) for key, turns in dialogues.items()}
    anywhere: dict[str, list[float]] = {}
    for (audio, _), found in starts.items():
        anywhere[audio] = sorted({*anywhere.get(audio, []), *found})
    taken = 0
    for key, turns in dialogues.items():
        for row in turns:
            if row["audio_problem"] is not None:
                continue
            if row["start"] is None and starts[key]:
                if row["end"] is None:
                    row["audio_problem"] = NO_TIMES
                elif starts[key][0] < row["end"]:
                    row["audio_problem"] = NO_START
            elif row["start"] is not None and row["end"] is None:
                row["end"] = _after(row["start"], starts[key]) or _after(row["start"], anywhere[key[0]])
                taken += row["end"] is not None
    return taken


def _after(start: float, starts: list[float]) -> float | None:
    later = bisect.bisect_right(starts, start)
    return starts[later] if later < len(starts) else None
