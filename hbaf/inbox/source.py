"""Where new conversations arrive: a folder or a growing prefix, and which of its arrivals are ready.

What is an arrival, at any depth below the source:

recording   a recording, a transcript, or both of one name in one folder: `2026/11/20/call1.wav` with `call1.json`
table       a manifest (CSV, TSV, JSONL, Parquet) with every recording below its folder that has no transcript

It is ready when its marker is at least as new as each of its files, or when nothing of it changed for a while. The
marker is `NAME.ready` beside it (`call1.ready`, `manifest.csv.ready` or `manifest.ready`), or a file `_SUCCESS` in its
folder. Hidden files and folders are never looked at.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from pydantic import Field

from hbaf.corpus.readers.folder import safe_name
from hbaf.corpus.sound.find_audio import AUDIO_SUFFIXES
from hbaf.corpus.text.table_files import SUFFIXES as TABLE_SUFFIXES
from hbaf.corpus.text.transcripts.forms import SUFFIXES as TRANSCRIPT_SUFFIXES
from hbaf.files import one_place
from hbaf.home import directory, without_password
from hbaf.parameters import LimitParameters, Parameters, Share, WordsParameters

MARKER, FOLDER_MARKER = ".ready", "_SUCCESS"


class SourceError(ValueError):
    """A source cannot be used."""


class SourceParameters(Parameters):
    """A folder or growing prefix that conversations arrive in, and what becomes of them."""

    url: str = Field(description="Folder, or any URL that fsspec knows: `s3://bucket/calls`.")
    name: str | None = Field(None, description="Short name, first part of every utterance id; default: the folder's.")
    quiet_minutes: float | None = Field(
        10.0, ge=0, description="Ready when unchanged for so long; none: only a marker makes an arrival ready."
    )
    columns: dict[str, str] = Field({}, description="Manifest column -> our column, where the name is not recognised.")
    channels: dict[str, Annotated[int, Field(ge=0, lt=1000)]] = Field(
        {}, description="Speaker -> channel from 0, for recordings with one person per channel."
    )
    bad_share: Share = Field(0.02, description="Share of a conversation's turns that may be broken before it is kept.")
    limits: LimitParameters = LimitParameters()
    utterance_seconds: float = Field(
        60.0, gt=0, description="A recording without transcript is scored as one utterance up to this length."
    )
    words: WordsParameters | None = Field(
        None, description="Write down what is said in recordings without transcript (the extra `words`); none: do not."
    )
    shard: int = Field(32, ge=1, description="Arrivals that are worked on at a time; bounds memory.")
    shard_utterances: int = Field(10_000, ge=1, description="Utterances that are scored at a time; bounds memory.")
    published: str | None = Field(
        None, description="Folder or URL of the Parquet dataset; default: `published/NAME` in the home folder."
    )
    postgres: bool | None = Field(
        None,
        description="Also set the rows into the PostgreSQL database of HBAF_SCORES_DATABASE; default: where it is set.",
    )
    also: tuple[Literal["csv", "jsonl"], ...] = Field((), description="Other forms of the whole result.")

    @cached_property
    def label(self) -> str:
        """The source's name: letters, digits, `_` and `-`."""
        place = self.url.rstrip("/").replace("\\", "/") if "://" in self.url else one_place(self.url).as_posix()
        return safe_name(self.name or PurePosixPath(place).name)

    @property
    def reading(self) -> str:
        """Digest of what decides how an arrival is read."""
        decides = {"columns", "channels", "bad_share", "limits", "utterance_seconds", "words"}
        values = self.model_dump(mode="json", include=decides)
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    @property
    def place(self) -> str:
        """Folder or URL of the Parquet dataset."""
        return self.published or str(directory("published", self.label))


@dataclass(frozen=True)
class ArrivedFile:
    """A file as a listing shows it.

    Attributes:
        path: relative to the source, "/" between folders.
        changed: seconds since 1970 when it came or changed last, None where the storage does not say.
        version: what changes with its content: an ETag or the time of change.
    """

    path: str
    size: int
    changed: float | None
    version: str


@dataclass(frozen=True)
class Arrival:
    """What is read together.

    Attributes:
        name: path without suffix for a recording, path for a table; unique in the source.
        files: all that belongs to it, in order of their paths.
        marked: a marker at least as new as each file lies there.
        problem: why it cannot be read whatever is in it; "" where it can be tried.
    """

    name: str
    kind: Literal["recording", "table"]
    files: tuple[ArrivedFile, ...]
    marked: bool
    problem: str = ""

    @cached_property
    def fingerprint(self) -> str:
        """Changes when a file is added, taken away or changed."""
        facts = [(file.path, file.size, file.version) for file in self.files]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def is_ready(self, now: float, seen: float, quiet_minutes: float | None) -> bool:
        """Whether it may be read.

        Args:
            now, seen: seconds since 1970; when this fingerprint was seen first.
        """
        if self.marked:
            return True
        if quiet_minutes is None:
            return False
        known = [file.changed for file in self.files if file.changed is not None]
        since = max(known) if len(known) == len(self.files) else seen
        return now - since >= quiet_minutes * 60


class Source:
    """A place to list and to read from."""

    def __init__(self, parameters: SourceParameters) -> None:
        self.parameters = parameters
        url = parameters.url
        text = url if "://" in url else str(one_place(url))
        self.system, self.root = url_to_fs(text)
        self.local = isinstance(self.system, LocalFileSystem)

    @property
    def shown(self) -> str:
        """The address without a password."""
        return without_password(self.root if self.local else self.parameters.url)

    def arrivals(self) -> list[Arrival]:
        """All arrivals, in order of their names.

        Raises:
            SourceError: there is no such folder, or it cannot be listed.
        """
        return arrivals_of(self._files())

    def local_root(self, arrivals: list[Arrival], folder: Path) -> Path:
        """A local folder with the files of these arrivals: the source itself, or copies made in `folder`."""
        if self.local:
            return Path(self.root)
        for arrival in arrivals:
            for file in arrival.files:
                place = folder / file.path
                place.parent.mkdir(parents=True, exist_ok=True)
                self.system.get_file(f"{self.root.rstrip('/')}/{file.path}", str(place))
        return folder

    def _files(self) -> list[ArrivedFile]:
        self.system.invalidate_cache()
        try:
            if not self.system.isdir(self.root):
                raise SourceError(f"{self.shown}: no such folder. Name one that is there, also when it is still empty.")
            found = self.system.find(self.root, detail=True)
        except OSError as error:
            raise SourceError(
                f"{self.shown}: cannot be listed ({error.strerror or error}). Check address and rights."
            ) from error
        files = []
        for path, facts in found.items():
            inside = path[len(self.root.rstrip("/")) + 1 :]
            hidden = any(part.startswith(".") for part in inside.split("/"))
            if not inside or hidden or facts.get("type") != "file" or not self._is_inside(path, facts):
                continue
            files.append(_file(inside, facts))
        return sorted(files, key=lambda file: file.path)

    def _is_inside(self, path: str, facts: Mapping[str, Any]) -> bool:
        """False for a link that leads out of the source."""
        if not self.local or not facts.get("islink"):
            return True
        try:
            return Path(path).resolve().is_relative_to(Path(self.root).resolve())
        except (OSError, RuntimeError):
            return False


def _file(path: str, facts: Mapping[str, Any]) -> ArrivedFile:
    # Locally `created` is the time of the last change of the directory entry, which copying cannot set back.
    times = [_seconds(facts[name]) for name in ("mtime", "created", "LastModified", "last_modified") if name in facts]
    known = [time for time in times if time is not None]
    changed = max(known) if known else None
    version = str(facts.get("ETag") or facts.get("etag") or (facts.get("mtime") if "mtime" in facts else changed))
    return ArrivedFile(path, int(facts.get("size") or 0), changed, version)


def _seconds(value: Any) -> float | None:
    if isinstance(value, datetime):
        return value.timestamp()
    return float(value) if isinstance(value, int | float) else None


def arrivals_of(files: list[ArrivedFile]) -> list[Arrival]:
    """Groups the files of a source into arrivals."""
    by_path = {file.path: file for file in files}
    tables = [file for file in files if _suffix(file) in TABLE_SUFFIXES and not _is_copy(file, by_path)]
    groups: dict[str, list[ArrivedFile]] = {}
    recordings = {_stem(file.path) for file in files if _suffix(file) in AUDIO_SUFFIXES}
    for file in files:
        if _suffix(file) in AUDIO_SUFFIXES:
            groups.setdefault(_stem(file.path), []).append(file)
        elif _suffix(file) in TRANSCRIPT_SUFFIXES:
            groups.setdefault(_recording_of(file.path, recordings, by_path), []).append(file)
    owned: dict[str, list[ArrivedFile]] = {table.path: [] for table in tables}
    folders = {str(PurePosixPath(table.path).parent) for table in tables}
    found = []
    for name, members in groups.items():
        has_transcript = any(_suffix(file) in TRANSCRIPT_SUFFIXES for file in members)
        owner = None if has_transcript else _nearest(name, folders)
        if owner is None:
            found.append(_arrival(name, "recording", members, by_path))
            continue
        for table in tables:
            if str(PurePosixPath(table.path).parent) == owner:
                owned[table.path] += members
    for table in tables:
        members = sorted([table, *owned[table.path]], key=lambda file: file.path)
        found.append(_arrival(table.path, "table", members, by_path))
    return sorted(found, key=lambda arrival: arrival.name)


def _arrival(
    name: str, kind: Literal["recording", "table"], files: list[ArrivedFile], by_path: Mapping[str, ArrivedFile]
) -> Arrival:
    """A name that is not UTF-8 (the system gives its bytes as lone surrogates) is shown escaped."""
    shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    problem = "" if shown == name else "its name is not UTF-8. Rename it; it then comes back by itself."
    return Arrival(shown, kind, tuple(files), _is_marked(name, files, by_path), problem)


def _suffix(file: ArrivedFile) -> str:
    return PurePosixPath(file.path).suffix.lower()


def _stem(path: str) -> str:
    return str(PurePosixPath(path).with_suffix(""))


def _recording_of(path: str, recordings: set[str], by_path: Mapping[str, ArrivedFile]) -> str:
    """call1 for call1.json, and for call1.en.vtt and call1.wav.json beside call1.wav."""
    stem = _stem(path)
    if stem not in recordings and (stem in by_path or _stem(stem) in recordings):
        return _stem(stem)
    return stem


def _nearest(name: str, folders: set[str]) -> str | None:
    """The closest folder above that holds a table."""
    return next((str(above) for above in PurePosixPath(name).parents if str(above) in folders), None)


def _is_copy(file: ArrivedFile, by_path: Mapping[str, ArrivedFile]) -> bool:
    """The TSV that Whisper writes beside a transcript."""
    return _suffix(file) == ".tsv" and any(_stem(file.path) + suffix in by_path for suffix in TRANSCRIPT_SUFFIXES)


def _is_marked(name: str, files: list[ArrivedFile], by_path: Mapping[str, ArrivedFile]) -> bool:
    folder = PurePosixPath(name).parent
    stem = re.sub(r"\.[^./]*$", "", name)
    markers = [name + MARKER, stem + MARKER, str(folder / FOLDER_MARKER)]
    latest = max((file.changed or 0.0 for file in files), default=0.0)
    return any(path in by_path and (by_path[path].changed or latest) >= latest for path in markers)
