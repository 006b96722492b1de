"""Words for rows without text: what a transcript beside the row's recording has in its stretch of it.

So labelled clips, or a table of calls, gain words by `hbaf transcribe`.
"""

from dataclasses import replace
from pathlib import Path

from hbaf.corpus.readers.transcripts import transcripts_by_recording
from hbaf.corpus.sound.find_audio import AudioFinder
from hbaf.corpus.text.manifest import Manifest, Row
from hbaf.corpus.text.manifest_values import NO_VALUE, number
from hbaf.corpus.text.transcripts.forms import read_transcript
from hbaf.corpus.text.transcripts.parsed import NotATranscriptError
from hbaf.parameters import LimitParameters

_Words = list[tuple[float, str]]  # the middle of a turn in seconds, what is said in it


def add_words(manifest: Manifest, root: Path, finder: AudioFinder, limits: LimitParameters) -> None:
    """Gives rows that have audio and no text the words of the turns whose middle lies between their start and end.

    A row without times has all words of its recording.
    """
    lacking = [at for at, row in enumerate(manifest.rows) if _lacks(row, "text") and not _lacks(row, "audio")]
    if not lacking or not (transcripts := transcripts_by_recording(root)):
        return
    known: dict[Path, _Words] = {}
    for at in lacking:
        row = manifest.rows[at]
        found, problem = finder.find(str(row.values["audio"]))
        recording = root / str(found)
        if problem is not None or recording not in transcripts:
            continue
        if recording not in known:
            known[recording] = _words(transcripts[recording], limits)
        first, last = (number(row.values.get(name) or "") for name in ("start", "end"))
        inside = [text for middle, text in known[recording] if (first or 0.0) <= middle < (last or float("inf"))]
        if inside:
            manifest.rows[at] = replace(row, values={**row.values, "text": " ".join(inside)})
    filled = sum(not _lacks(manifest.rows[at], "text") for at in lacking)
    if filled:
        manifest.columns.setdefault("text", "text")
        rows = "1 row has" if filled == 1 else f"{filled} rows have"
        manifest.notes.append(f"{rows} the words of transcripts of their recordings; {manifest.file} has none")


def _lacks(row: Row, column: str) -> bool:
    return (row.values.get(column) or "").strip().lower() in NO_VALUE


def _words(transcripts: list[Path], limits: LimitParameters) -> _Words:
    """Of the first transcript that is one."""
    for path in transcripts:
        try:
            rows = read_transcript(path, path.name, limits).rows
        except NotATranscriptError:
            continue
        times = [(number(row.values["start"] or ""), number(row.values["end"] or ""), row) for row in rows]
        return [
            ((start + (start if end is None else end)) / 2 if start is not None else 0.0, row.values["text"] or "")
            for start, end, row in times
        ]
    return []
