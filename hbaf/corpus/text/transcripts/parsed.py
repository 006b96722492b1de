"""What a transcript file holds, whatever its form: turns as rows, and what to report of it."""

from dataclasses import dataclass, field
from typing import NamedTuple

from hbaf.corpus.text.manifest import Row

SetAside = tuple[str, str, str]  # where, rule, found


class NotATranscriptError(ValueError):
    """A file is no transcript that is known here; the message says what was seen in it."""


class Turn(NamedTuple):
    """What one person says in one go.

    Attributes:
        text: the words.
        start, end: seconds from the beginning of the recording; None: not known.
        speaker: a name or label; None: not known.
        channel: a number from 0, as text.
        problem: why there is no usable audio for it.
    """

    text: str
    start: float | None = None
    end: float | None = None
    speaker: str | None = None
    channel: str | None = None
    problem: str | None = None


@dataclass
class Parsed:
    """A transcript.

    Attributes:
        form: what wrote it: "WebVTT", "Deepgram".
        rows: with `speaker`, `channel`, `text`, `start` and `end` (seconds, as text), in the order of the file.
        set_aside: the pieces that cannot be read.
        notes: what was done to it that a person should know.
    """

    form: str
    rows: list[Row] = field(default_factory=list)
    set_aside: list[SetAside] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, where: str, turn: Turn) -> None:
        """Appends a turn as a row; `where` is its place in the file, as messages name it."""
        start, end = (None if time is None else repr(round(time, 6)) for time in (turn.start, turn.end))
        values = {"speaker": turn.speaker, "channel": turn.channel, "text": turn.text, "start": start, "end": end}
        self.rows.append(Row(where, values, turn.problem))
