"""Recordings that are several files one after another, as `cat`, stream recorders and dictation machines leave them.

Decoders stop after the first and say nothing. Each kind is cut where the next of its own kind begins.
"""

import mmap
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from hbaf.corpus.sound.mp3_frames import Mp3Part, walk

_FLAC = b"fLaC\x00\x00\x00\x22"  # its mark, and the head of the one block that must come first
_MATROSKA = b"\x1a\x45\xdf\xa3"
_AMR = (b"#!AMR\n", b"#!AMR-WB\n")
MOST_PARTS = 10_000
_CHUNK = re.compile(rb"[A-Za-z0-9 _-]{4}")
_REST = 4096  # bytes; less behind the samples is somebody's padding
_ODD = 0.02  # share of bytes that are no frames, above which a walk over an MP3 proves nothing


@dataclass(frozen=True)
class Layout:
    """How a file is put together.

    Attributes:
        parts: (first byte, end) of each; one for an ordinary file.
        mp3: what was counted in an MP3; None for other kinds, and where its frames could not be followed.
        open_size: place of four bytes that should say how long a WAV is and were never written again when its recorder
            was done; None where they are right.
    """

    parts: tuple[tuple[int, int], ...]
    mp3: Mp3Part | None = None
    open_size: int | None = None


def layout_of(path: Path) -> Layout:
    """Looks at the content, once per version of a file; decodes nothing.

    Raises:
        OSError: it cannot be read.
    """
    status = path.stat()
    return _layout(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _layout(path: Path, size: int, changed: int) -> Layout:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        head = data[:4]
        if head == b"OggS":
            begins = list(_ogg_begins(data))
        elif head in (b"RIFF", b"FORM"):
            begins = list(_chunk_begins(data, head))
            if len(begins) == 1 and head == b"RIFF":
                return Layout(((0, size),), open_size=_open_size(data))
        elif head == b"fLaC":
            begins = list(_mark_begins(data, _FLAC))
        elif head == b"#!AM":
            begins = list(_mark_begins(data, next((mark for mark in _AMR if data[: len(mark)] == mark), data[:6])))
        elif head == _MATROSKA:
            begins = [at for at in _mark_begins(data, head) if _names_its_kind(data[at : at + 64])]
        elif data[4:8] == b"ftyp":
            begins = list(_box_begins(data))
        elif head[:3] == b"ID3" or (head[0] == 0xFF and head[1:2] >= b"\xe0"):
            return _mp3_layout(data)
        else:
            begins = [0]
    return Layout(_parts(begins, size))


def _parts(begins: list[int], size: int) -> tuple[tuple[int, int], ...]:
    if not 0 < len(begins) <= MOST_PARTS:
        begins = [0]
    return tuple(zip(begins, [*begins[1:], size], strict=True))


def _mp3_layout(data: mmap.mmap) -> Layout:
    found = walk(data)  # type: ignore[arg-type]  # a map is indexed like bytes
    parts = [part for part in found.parts if part.frames]
    if not parts or found.strange > _ODD * len(data):
        return Layout(((0, len(data)),))
    return Layout(_parts([0, *(part.begin for part in parts[1:])], len(data)), parts[0] if len(parts) == 1 else None)


def _ogg_begins(data: mmap.mmap) -> Iterator[int]:
    """A chain's links: a page that begins a stream after pages that go on with one (RFC 3533)."""
    position, going_on = 0, True
    while 0 <= position < len(data) - 27:
        if data[position : position + 4] != b"OggS":
            position = data.find(b"OggS", position + 1)
            continue
        begins_a_stream = bool(data[position + 5] & 2)
        if begins_a_stream and going_on:
            yield position
        going_on = not begins_a_stream
        segments = data[position + 26]
        position += 27 + segments + sum(data[position + 27 : position + 27 + segments])


def _chunk_begins(data: mmap.mmap, head: bytes) -> Iterator[int]:
    """WAV and AIFF say how long they are; another header at just that place is another file."""
    position = 0
    while data[position : position + 4] == head and data[position + 8 : position + 12] == data[8:12]:
        yield position
        length = struct.unpack(">I" if head == b"FORM" else "<I", data[position + 4 : position + 8])[0]
        position += 8 + length + length % 2


def _open_size(data: mmap.mmap) -> int | None:
    """Where the size of the samples is 0, or ends in the midst of them: what follows it is no chunk."""
    position = 12
    while position + 8 <= len(data):
        name, length = struct.unpack("<4sI", data[position : position + 8])
        end = position + 8 + length
        if name == b"data":
            rest = (data[end : end + 4], data[end + 1 : end + 5])  # an odd length has a byte of padding
            goes_on = len(data) - end > _REST and not any(_CHUNK.fullmatch(four) for four in rest)
            return position + 4 if goes_on else None
        position = end + length % 2
    return None


def _box_begins(data: mmap.mmap) -> Iterator[int]:
    """MP4 and its kin: the box that must come first, once more among those of the top."""
    position = 0
    while position + 8 <= len(data):
        length, name = struct.unpack(">I4s", data[position : position + 8])
        if length == 1:
            length = int.from_bytes(data[position + 8 : position + 16], "big")
        if name == b"ftyp":
            yield position
        if length < 8:  # to the end of the file, or nonsense
            return
        position += length


def _mark_begins(data: mmap.mmap, mark: bytes) -> Iterator[int]:
    position = data.find(mark)
    while position >= 0:
        yield position
        position = data.find(mark, position + len(mark))


def _names_its_kind(head: bytes) -> bool:
    return b"\x42\x82" in head and (b"webm" in head or b"matroska" in head)


def part_of(path: Path, begin: int, end: int) -> bytes:
    """The bytes of a file from `begin` up to, but not including, `end`."""
    with path.open("rb") as file:
        file.seek(begin, os.SEEK_SET)
        return file.read(end - begin)
