"""What a report plays: a link to the corpus's own file, or the segment itself inside the page.

Paths come from a corpus and are not trusted: only what lies below the corpus root is linked or read.
"""

import base64
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from hbaf.corpus.schema import is_missing
from hbaf.corpus.sound.audio import SAMPLE_RATE, AudioProblem, load_audio
from hbaf.corpus.sound.facts import kept_waveform
from hbaf.corpus.sound.facts_cache import FactsCache
from hbaf.corpus.sound.measure import Segment, waveform

AudioMode = Literal["link", "embed", "none"]
SERVED = "../sound/"  # where `hbaf review` has the sound of a page
EMBED_SECONDS = 60.0  # a longer segment is linked
TOO_LONG = f"longer than {EMBED_SECONDS:.0f} s"
EMBED_PAGE_BYTES = 12_000_000  # of one page; what comes after is linked


@dataclass(frozen=True)
class Clip:
    """One turn's sound.

    Attributes:
        source: a relative URL, a file URL or a data URI; empty when there is nothing to play.
        start: seconds from the beginning of the source, None for its beginning.
        end: seconds from the beginning of the source, None for its end.
        note: why there is nothing to play, or why it is linked and not embedded; usually empty.
        wave: an SVG path of the waveform, 100 wide and 32 high; empty for sound that was never measured in this home.
    """

    source: str = ""
    start: float | None = None
    end: float | None = None
    note: str = ""
    wave: str = ""


class Clips:
    """The clips of one page; counts what it embedded, so that the page stays small enough to open."""

    def __init__(
        self,
        mode: AudioMode,
        root: Path | None,
        page_folder: Path,
        served: str | None = None,
        facts: FactsCache | None = None,
    ) -> None:
        self.mode = mode
        self.facts = facts  # where the waveforms of linked sound are
        self.served = served  # where a server has the corpus's files, as a page names it; None: pages are files
        self.root = None if root is None else Path(os.path.abspath(root))  # noqa: PTH100  (lexical: links are kept)
        self.page_folder = Path(os.path.abspath(page_folder))  # noqa: PTH100
        self.embedded_bytes = 0

    def of(self, row: Mapping[str, Any]) -> Clip:
        """The clip of an utterance row: `audio`, `channel`, `start`, `end`."""
        name = row.get("audio")
        if self.mode == "none" or is_missing(name) or not str(name):
            return Clip()
        if self.root is None:
            return Clip(note="The audio is not linked, because the report was made without the corpus folder.")
        path = Path(os.path.abspath(self.root / str(name)))  # noqa: PTH100
        if not path.is_relative_to(self.root):
            return Clip(note="The audio path leads outside the corpus folder and is not linked.")
        if not path.is_file():
            return Clip(note="The audio file was not there when this report was made.")
        start, end = _seconds(row.get("start")), _seconds(row.get("end"))
        channel = None if is_missing(row.get("channel")) else int(row["channel"])
        if self.mode == "link":
            kept = kept_waveform(self.facts, path, (channel, start, end)) if self.facts else ""
            return Clip(self._link(path, start, end), start, end, wave=drawn(kept))
        try:
            sound, wave = _as_mp3(path, (channel, start, end), row)
            if self.embedded_bytes + len(sound) > EMBED_PAGE_BYTES:
                raise AudioProblem("the page holds enough audio already", path, "")
        except AudioProblem as problem:
            note = f"The audio is linked and not embedded: {problem.reason}."
            return Clip(self._link(path, start, end), start, end, note)
        self.embedded_bytes += len(sound)
        return Clip("data:audio/mpeg;base64," + base64.b64encode(sound).decode(), wave=wave)

    def _link(self, path: Path, start: float | None, end: float | None) -> str:
        """A relative URL with the media fragment of the segment; it holds while report and corpus move together."""
        fragment = (
            "" if start is None and end is None else f"#t={start or 0:.3f}" + ("" if end is None else f",{end:.3f}")
        )
        if self.served is not None and self.root is not None:
            return self.served + quote(os.fsencode(os.path.relpath(path, self.root)), safe="/") + fragment
        return link_to(path, self.page_folder) + fragment


def link_to(path: Path, folder: Path) -> str:
    """The URL of a file in a page of a folder: relative where it can be, since both may move together."""
    try:
        # Quoting ":" as well keeps a file named `javascript:...` from being read as a scheme.
        return quote(os.fsencode(os.path.relpath(path, folder)), safe="/")
    except ValueError:  # another drive on Windows
        return path.absolute().as_uri()


def _seconds(value: Any) -> float | None:
    return None if is_missing(value) else max(0.0, float(value))


def _as_mp3(path: Path, segment: Segment, row: Mapping[str, Any]) -> tuple[bytes, str]:
    """The segment as 16 kHz mono MP3, which every browser plays, and its waveform.

    Raises:
        AudioProblem: there is no usable signal, or it is too long.
    """
    import soundfile

    channel, start, end = segment
    length = _seconds(row.get("seconds")) if end is None else end - (start or 0.0)
    if length is not None and length > EMBED_SECONDS:  # before a long file is decoded
        raise AudioProblem(TOO_LONG, path, "")
    signal = load_audio(path, channel=channel, start=start, end=end)
    if len(signal) > EMBED_SECONDS * SAMPLE_RATE:
        raise AudioProblem(TOO_LONG, path, "")
    sound = io.BytesIO()
    soundfile.write(sound, signal, SAMPLE_RATE, format="MP3")
    return sound.getvalue(), drawn(waveform(signal))


def drawn(wave: str) -> str:
    """The path of a waveform: a vertical stroke for each of its digits."""
    wide = 100 / max(len(wave), 1)
    return "".join(
        f"M{(at + 0.5) * wide:.4g} {15 - int(level, 16)}v{2 * int(level, 16) + 2}" for at, level in enumerate(wave)
    )
