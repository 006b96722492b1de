"""When turns of one recording end, where only their starts are told; and which have no time of their own."""

import bisect
from collections.abc import Iterable
from typing import Any


def complete_times(rows: Iterable[dict[str, Any]]) -> int:
    """A start without an end lasts until the next turn of its recording begins, the last one to the end of the file.

    A turn without a start, within whose time others of its recording begin, is marked: it would hold their speech.

    Args:
        rows: with `audio`, `start`, `end` (seconds or None) and `audio_problem`; changed in place.

    Returns:
        How many ends were taken from the next start.
    """
    recordings: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["audio"] is not None:
            recordings.setdefault(row["audio"], []).append(row)
    taken = 0
    for turns in recordings.values():
        starts = sorted({row["start"] for row in turns if row["start"] is not None})
        for row in turns:
            if row["start"] is not None and row["end"] is None and row["audio_problem"] is None:
                later = bisect.bisect_right(starts, row["start"])
                if later < len(starts):
                    row["end"] = starts[later]
                    taken += 1
            elif row["start"] is None and row["end"] is not None and starts and starts[0] < row["end"]:
                row["audio_problem"] = row["audio_problem"] or "no start, and other turns begin before its end"
    return taken
