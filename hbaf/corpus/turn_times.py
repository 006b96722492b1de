"""Turns of which a table tells less than start and end: what follows from the others of their recording.

A turn without an end would silently last to the end of the recording, with everybody else's words in it.
"""

from typing import Any

START_ALONE = "each ends where the next one of its recording begins"
NO_TIMES = "no start and end, which other turns of its recording have"
NO_START = "an end without a start"


def complete_times(rows: list[dict[str, Any]]) -> list[str]:
    """Gives a turn that has a start alone an end, and marks turns whose place in their recording nobody knows.

    Args:
        rows: `dialogue_id`, `audio`, `channel`, `start`, `end`, `audio_problem` of each; changed in place.

    Returns:
        Notes for the person who reads the corpus.
    """
    recordings: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        if row["audio"] is not None and row["audio_problem"] is None:
            recordings.setdefault((row["audio"], row["dialogue_id"]), []).append(row)
    ended = 0
    for turns in recordings.values():
        starts = sorted({row["start"] for row in turns if row["start"] is not None})
        for row in turns:
            if row["start"] is None and len(turns) > 1 and starts:
                row["audio_problem"] = NO_TIMES if row["end"] is None else NO_START if len(starts) > 1 else None
            elif row["start"] is not None and row["end"] is None:
                row["end"] = next((start for start in starts if start > row["start"]), None)
                ended += row["end"] is not None
    return [f"{ended} turns have a start and no end: {START_ALONE}"] if ended else []
