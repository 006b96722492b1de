"""Files whose header or seeking cannot be trusted, and files that are several: decoded from the beginning.

Both decoders try each part, and the one that gives more sound is believed. What was decoded is kept while the next
segment is of the same file.
"""

import io
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np

from hbaf.corpus.sound import decode_pyav
from hbaf.corpus.sound.audio_problem import (
    LENGTH_TOLERANCE,
    AudioProblem,
    NativeAudio,
    beyond_the_end,
    check_rate,
    check_size,
    damaged,
    no_samples,
    shorter_than_promised,
)
from hbaf.corpus.sound.decode_pyav import format_changes
from hbaf.corpus.sound.joined_files import layout_of, part_of

# A length that nobody can have measured: libsndfile's word for "the header does not say".
UNKNOWN_FRAMES = 1 << 40
KEPT = 1 << 26  # values, 256 MiB: of longer recordings every segment is decoded from the beginning
BLOCK = 1 << 16  # frames read at once

Blocks = Iterator[tuple[int, np.ndarray]]
Decoder = Callable[[BinaryIO, Path], Blocks]


def read_in_order(path: Path, start: float | None, end: float | None) -> NativeAudio:
    """The seconds from `start` to `end`, at the rate and with the channels of the first part.

    Raises:
        AudioProblem: no part decodes, one is damaged, their formats differ, or the segment is not in it.
    """
    status = path.stat()
    stamp = (path, status.st_size, status.st_mtime_ns)
    rate, channels, frames = _shape(*stamp)
    if (start or 0.0) * rate >= frames or (end is not None and end * rate > frames + LENGTH_TOLERANCE * rate):
        raise beyond_the_end(path, start, end, frames / rate)
    first = round((start or 0.0) * rate)
    last = frames if end is None else min(frames, round(end * rate))
    check_size((last - first) * channels, path)
    if frames * channels <= KEPT:
        return NativeAudio(_whole(*stamp)[first:last], rate)
    return NativeAudio(_cut(path, first, last), rate)


def soundfile_blocks(file: BinaryIO, path: Path) -> Blocks:
    """Yields (Hz, (frames, channels) float32) from the beginning to the end, without seeking."""
    import soundfile

    file.seek(0)
    try:
        sound = soundfile.SoundFile(file)
    except (soundfile.LibsndfileError, TypeError) as error:
        raise AudioProblem("not audio", path, "Convert it to WAV or FLAC first.") from error
    with sound:
        check_rate(sound.samplerate, path)
        try:
            while len(block := sound.read(BLOCK, dtype="float32", always_2d=True)):
                yield sound.samplerate, block
        except soundfile.LibsndfileError as error:
            raise damaged(path) from error


DECODERS: tuple[Decoder, ...] = (soundfile_blocks, decode_pyav.blocks)


@lru_cache(maxsize=64)
def _shape(path: Path, size: int, changed: int) -> tuple[int, int, int]:
    """(Hz, channels, frames) of all parts together."""
    shapes = [_tried(path, begin, end) for begin, end in layout_of(path).parts]
    shapes = [shape for shape in shapes if shape[3]] or shapes[:1]  # a part may be nothing but a tag
    if len({shape[1:3] for shape in shapes}) > 1:
        raise format_changes(path)
    frames = sum(shape[3] for shape in shapes)
    if not frames:
        raise no_samples(path)
    return shapes[0][1], shapes[0][2], frames


@lru_cache(maxsize=1024)
def _tried(path: Path, begin: int, end: int) -> tuple[int, int, int, int]:
    """(decoder, Hz, channels, frames) of the decoder that gives the most sound.

    Raises:
        AudioProblem: the problem of the one that went furthest, where neither came to the end.
    """
    best: tuple[int, int, int, int] | None = None
    reached, problem = -1, no_samples(path)
    for number in range(len(DECODERS)):
        rate = channels = frames = 0
        try:
            for hertz, block in _part(path, begin, end, number):
                rate, channels = hertz, block.shape[1]
                frames += len(block)
        except AudioProblem as error:
            if frames > reached:
                reached, problem = frames, error
            continue
        if best is None or frames > best[3] + LENGTH_TOLERANCE * rate:  # a little more is only padding
            best = (number, rate, channels, frames)
    if best is None or reached > best[3] + LENGTH_TOLERANCE * max(1, best[1]):
        raise problem
    promised = _promised(path, begin, end)
    if best[3] < promised - LENGTH_TOLERANCE * best[1]:
        raise shorter_than_promised(path, f"{best[3]} of {promised} samples decode")
    return best


def _promised(path: Path, begin: int, end: int) -> int:
    """Frames by the header; 0 where it does not say, and for an MP3, of which its frames alone tell."""
    import soundfile

    try:
        with _content(path, begin, end) as file, soundfile.SoundFile(file) as sound:
            return sound.frames if sound.format != "MP3" and sound.frames < UNKNOWN_FRAMES else 0
    except (soundfile.LibsndfileError, TypeError):
        return 0


def _part(path: Path, begin: int, end: int, decoder: int) -> Blocks:
    with _content(path, begin, end) as file:
        yield from DECODERS[decoder](file, path)


def _content(path: Path, begin: int, end: int) -> BinaryIO:
    layout = layout_of(path)
    if len(layout.parts) == 1 and layout.open_size is None:
        return path.open("rb")
    content = bytearray(part_of(path, begin, end))
    if layout.open_size is not None:
        content[layout.open_size : layout.open_size + 4] = b"\xff\xff\xff\xff"  # both decoders: to the end
    return io.BytesIO(content)


def _blocks(path: Path) -> Iterator[np.ndarray]:
    for begin, end in layout_of(path).parts:
        decoder, _, _, frames = _tried(path, begin, end)
        if frames:
            for _, block in _part(path, begin, end, decoder):
                yield block


@lru_cache(maxsize=1)
def _whole(path: Path, size: int, changed: int) -> np.ndarray:
    """(frames, channels) float32."""
    samples = np.concatenate(list(_blocks(path)))
    samples.flags.writeable = False  # every segment of it is a view
    return samples


def _cut(path: Path, first: int, last: int) -> np.ndarray:
    position, found = 0, []
    for block in _blocks(path):
        if position >= last:
            break
        found.append(block[max(0, first - position) : max(0, last - position)])
        position += len(block)
    return np.concatenate(found)
