"""Sound out of files of any common kind, at the file's own rate: soundfile first, then PyAV, judged by content.

Nothing here trusts a suffix or a header: a file that promises more than it holds is a problem with a name, and one
whose header says nothing, or whose kind cannot be sought, is decoded from the beginning.
"""

import stat
import struct
from pathlib import Path
from typing import Any

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
    shorter_than_promised,
)
from hbaf.corpus.sound.decode_in_order import BLOCK, UNKNOWN_FRAMES, read_in_order
from hbaf.corpus.sound.joined_files import Layout, layout_of

__all__ = ["AudioProblem", "NativeAudio", "read_native"]

# Sizes that recorders write before they know the size: 0, the largest number, 2 GB less a header ...
OPEN_SIZE = 0x7FFF_0000
LIKELY_OPEN_SIZE = 1 << 30  # open too if the size of the whole file is stated rightly, or left open as well


def read_native(path: Path, start: float | None = None, end: float | None = None) -> NativeAudio:
    """Decodes a file, or only the seconds from `start` to `end`, at its own rate and with all its channels.

    Raises:
        AudioProblem: not a regular file, empty, not audio, damaged, shorter than promised, or the segment is not in it.
    """
    import soundfile

    _check_file(path)
    try:
        layout = layout_of(path)
        if len(layout.parts) > 1 or layout.open_size is not None:
            return read_in_order(path, start, end)
        with path.open("rb") as file:
            try:
                # The open file and not the path: libsndfile guesses headerless formats from suffixes.
                sound = soundfile.SoundFile(file)
            except (soundfile.LibsndfileError, TypeError):
                if decode_pyav.has_times(file, path):
                    return decode_pyav.read_between(file, path, start, end)
                return read_in_order(path, start, end)
            with sound:
                check_rate(sound.samplerate, path)
                if not _length_is_known(sound, layout):
                    return read_in_order(path, start, end)
                return _read_with_soundfile(sound, layout, path, start, end)
    except OSError as error:
        raise AudioProblem("cannot be opened", path, "Check its permissions.", error.strerror or "") from error


def _check_file(path: Path) -> None:
    """Refuses pipes, devices and folders before anything opens them: opening a pipe waits for ever."""
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise AudioProblem("no such file", path, "Check the path in the manifest.") from error
    except (OSError, ValueError) as error:
        raise AudioProblem("cannot be opened", path, "Check the path, its links and its permissions.") from error
    if not stat.S_ISREG(status.st_mode):
        raise AudioProblem("not a regular file", path, "Give an audio file, not a folder, pipe or device.")
    if status.st_size == 0:
        raise AudioProblem("empty file", path, "Copy or export it again.")


def _length_is_known(sound: Any, layout: Layout) -> bool:
    """Whether libsndfile knows how long the file is, and can find any moment in it."""
    if not sound.seekable() or not 0 < sound.frames < UNKNOWN_FRAMES:
        return False
    # It reads no further than it believes the file to go; more frames than that were counted.
    return layout.mp3 is None or layout.mp3.samples - sound.frames <= layout.mp3.margin


def _read_with_soundfile(sound: Any, layout: Layout, path: Path, start: float | None, end: float | None) -> NativeAudio:
    import soundfile

    rate, held = sound.samplerate, sound.frames
    if layout.mp3 is not None and layout.mp3.promised is None:
        held = min(held, layout.mp3.samples)  # without a header of its length libmpg123 only guesses
    promised = max(held, _promised_wav_frames(sound, path))
    first, last = _frames_wanted(path, start, end, rate, promised)
    try:
        blocks, left = [np.empty((0, sound.channels), np.float32)], last - first
        if first < held:
            sound.seek(first)
            while left and len(block := sound.read(min(left, BLOCK), dtype="float32", always_2d=True)):
                blocks.append(block)
                left -= len(block)
                check_size((last - first - left) * sound.channels, path)
        samples = np.concatenate(blocks)
    except soundfile.LibsndfileError as error:
        raise damaged(path) from error
    # A tenth, because the tolerance alone would be half of a short answer.
    tolerated = min(LENGTH_TOLERANCE * rate, 0.1 * (last - first)) if len(samples) else 0
    if left > tolerated:
        raise shorter_than_promised(path, f"{left / rate:.2f} s of {(last - first) / rate:.2f} s missing")
    return NativeAudio(samples, rate)


def _frames_wanted(path: Path, start: float | None, end: float | None, rate: int, length: int) -> tuple[int, int]:
    first = 0 if start is None else round(start * rate)
    last = length if end is None else round(end * rate)
    if first >= length or last > length + LENGTH_TOLERANCE * rate:
        raise beyond_the_end(path, start, end, length / rate)
    return first, min(last, length)


def _promised_wav_frames(sound: Any, path: Path) -> int:
    """Frames that a WAV header announces: libsndfile silently corrects it to what the file holds.

    0 for other kinds, and for a size that a recorder left open.
    """
    if sound.format not in ("WAV", "WAVEX"):
        return 0
    size = path.stat().st_size
    with path.open("rb") as file:
        _, riff = struct.unpack("<4sI", file.read(8))
        left_open = LIKELY_OPEN_SIZE if riff in (0, size, size - 8) or riff >= OPEN_SIZE else OPEN_SIZE
        position = 12  # after "RIFF", its size and "WAVE"
        while position + 8 <= size:
            file.seek(position)
            name, length = struct.unpack("<4sI", file.read(8))
            held = size - position - 8
            if name == b"data":
                truthful = length <= held or length >= left_open
                return 0 if truthful else round(sound.frames * length / held) if held else length
            position += 8 + length + length % 2
    return 0
