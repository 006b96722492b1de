"""Lhotse's manifests (https://lhotse.readthedocs.io/en/latest/corpus.html), plain or packed with gzip.

Recordings and supervisions, or cuts, which hold both. Read as the JSON lines that they are: the library itself wants an
audio backend, and runs the commands that a manifest may name in place of a file.
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from hbaf.corpus.schema import CorpusError
from hbaf.corpus.text.manifest import Manifest, Row, as_text
from hbaf.corpus.text.manifest_columns import is_called
from hbaf.corpus.text.manifest_values import number
from hbaf.corpus.text.split_tables import split_in_name
from hbaf.corpus.text.toolkits.described import lines_of, manifest_of, summary
from hbaf.parameters import LimitParameters

SUFFIXES = (".jsonl", ".jsonl.gz")
# A word of a file's name -> what its objects have.
KEYS = {"recordings": b'"sources"', "supervisions": b'"recording_id"', "cuts": b'"supervisions"'}


class Parts(NamedTuple):
    """The files of a corpus: recordings and supervisions, or cuts."""

    recordings: tuple[Path, ...]
    supervisions: tuple[Path, ...]
    cuts: tuple[Path, ...]

    @property
    def whole(self) -> bool:
        """Whether they describe utterances and where their sound lies."""
        return bool(self.cuts or (self.recordings and self.supervisions))


def lhotse_files(root: Path, named: str | None = None) -> Parts:
    """The files of a folder that Lhotse wrote, by name and content; with `named` that one alone, and its recordings."""
    files = sorted(path for path in root.iterdir() if path.name.lower().endswith(SUFFIXES) and path.is_file())

    def called(word: str) -> tuple[Path, ...]:
        return tuple(path for path in files if word in path.name.lower() and KEYS[word] in _first_line(path))

    parts = Parts(called("recordings"), called("supervisions"), called("cuts"))
    if named is None:
        return parts._replace(cuts=()) if parts.recordings and parts.supervisions else parts
    chosen = tuple(path for path in files if path == root / named)
    return Parts(
        parts.recordings,
        tuple(path for path in chosen if path in parts.supervisions),
        tuple(path for path in chosen if path in parts.cuts),
    )


def _first_line(path: Path) -> bytes:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return bytes(file.readline(1 << 20))
    except (OSError, EOFError, zlib.error):
        return b"".join(KEYS.values())  # by its name then: reading it says what is wrong


def read_lhotse(root: Path, parts: Parts, limits: LimitParameters) -> Manifest:
    """The supervisions of all files; with several, the word of a split in a file's name is the split of what it holds.

    Raises:
        CorpusError: a file cannot be read, or describes nothing.
    """
    reading = _Reading(root, limits)
    files = parts.cuts or parts.supervisions
    for path in () if parts.cuts else parts.recordings:
        for _, one in reading.objects(path):
            reading.recordings[str(one.get("id"))] = one
    for path in files:
        split = split_in_name(path.name.partition(".")[0]) if len(files) > 1 else None
        for where, one in reading.objects(path):
            if parts.cuts:
                reading.add_cut(where, one, split)
            else:
                reading.add(where, one, reading.recordings.get(str(one.get("recording_id"))), split)
    if not reading.rows and not reading.set_aside:
        raise CorpusError(f"{root}: {files[0].name} describes no utterance. It needs a JSON object on each line.")
    file = ", ".join(path.name for path in files)
    return manifest_of(file, reading.rows, reading.set_aside, summary("Lhotse", reading.rows))


class _Reading:
    def __init__(self, root: Path, limits: LimitParameters) -> None:
        self.root, self.limits = root, limits
        self.recordings: dict[str, dict[str, Any]] = {}
        self.rows: list[Row] = []
        self.set_aside: list[tuple[str, str, str]] = []

    def objects(self, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
        for where, line in lines_of(path, self.root, self.limits):
            try:
                found = json.loads(line)
            except (ValueError, RecursionError) as error:
                self.set_aside.append((where, "not valid JSON", str(error)[:80]))
                continue
            if isinstance(found, dict):
                yield where, found
            else:
                self.set_aside.append((where, "not a JSON object", type(found).__name__))

    def add_cut(self, where: str, cut: dict[str, Any], split: str | None) -> None:
        """The supervisions of a cut, whose times count from its beginning."""
        kind, supervisions = cut.get("type", "MonoCut"), cut.get("supervisions")
        if kind not in ("MonoCut", "MultiCut") or not isinstance(supervisions, list):
            self.set_aside.append((where, "no cut of one recording", str(kind)[:40]))
            return
        for one in supervisions:
            if isinstance(one, dict):
                self.add(where, one, cut.get("recording"), split, number(str(cut.get("start"))) or 0.0)

    def add(self, where: str, one: dict[str, Any], recording: Any, split: str | None, offset: float = 0.0) -> None:
        start, duration = number(str(one.get("start"))), number(str(one.get("duration")))
        if start is None or duration is None:
            self.set_aside.append((where, "no time", "a supervision has `start` and `duration`, in seconds"))
            return
        audio, channel, problem = _sound(recording, one.get("channel"))
        custom = one.get("custom")
        more = {**custom, **one} if isinstance(custom, dict) else one
        values = {
            "dialogue": as_text(one.get("recording_id")),
            "source_id": as_text(one.get("id")),
            "speaker": as_text(one.get("speaker")),
            "text": as_text(one.get("text")),
            "audio": audio,
            "channel": channel,
            "start": repr(round(offset + start, 6)),
            "end": repr(round(offset + start + duration, 6)),
            "emotion": next((as_text(more[name]) for name in more if is_called(name, "emotion")), None),
            "split": split,
        }
        self.rows.append(Row(where, values, problem))


def _sound(recording: Any, channel: Any) -> tuple[str | None, str | None, str | None]:
    """(path, channel from 0 of several, problem) of the sound of a supervision."""
    sources = recording.get("sources") if isinstance(recording, dict) else None
    sources = [one for one in sources if isinstance(one, dict)] if isinstance(sources, list) else []
    if not sources:
        return None, None, "no recording of its `recording_id`"
    wanted = channel[0] if isinstance(channel, list) and len(channel) == 1 else channel
    source = next((one for one in sources if wanted in _channels(one)), sources[0])
    if source.get("type") != "file":
        return None, None, f"its recording is no file (`{source.get('type')}`): write it to one"
    channels = _channels(source)
    several = len(channels) > 1 and wanted in channels
    return as_text(source.get("source")), str(channels.index(wanted)) if several else None, None


def _channels(source: dict[str, Any]) -> list[Any]:
    found = source.get("channels")
    return found if isinstance(found, list) else [0]
