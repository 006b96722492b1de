"""Sound out of files of any common kind, at the file's own rate: soundfile first, then PyAV, judged by content.

Nothing here trusts a suffix or a header: a file that promises more than it holds is a problem with a name.
"""

import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

# Only kinds that hold sound themselves. FFmpeg also knows playlists and scripts (HLS, concat) that name other files
# and hosts: without this list a text file in a corpus could read anything and wait for the network.
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,asf,flv,mpegts,mpeg,"
    "aac,ac3,eac3,amr,amrnb,amrwb,mp3,ogg,flac,wav,w64,aiff,au,caf,ape,wv,tta"
)
LENGTH_TOLERANCE = 0.25  # seconds; transcripts round up, and lossy codecs pad
SEEK_MARGIN = 0.5  # seconds decoded and thrown away before a segment: lossy codecs need frames to settle
MAX_VALUES = 1 << 27  # samples times channels decoded at once: 512 MiB, 23 minutes of 48 kHz stereo
RATES = (1_000, 768_000)  # Hz; outside, the header is nonsense and resampling would fill the memory


class AudioProblem(ValueError):
    """A file, or a segment of it, gives no usable signal.

    Attributes:
        reason: the rule in a few words, such as "empty file" or "shorter than its header says".
        without_path: reason, what was found and the next step: safe where file names must not go.
    """

    def __init__(self, reason: str, path: Path, next_step: str, found: str = "") -> None:
        self.reason = reason
        self.without_path = f"{reason}{f' ({found})' if found else ''}. {next_step}"
        super().__init__(f"{path}: {self.without_path}")


@dataclass(frozen=True)
class NativeAudio:
    """Sound as stored.

    Attributes:
        samples: (frames, channels) float32; full scale is 1.
        sample_rate: Hz.
    """

    samples: np.ndarray
    sample_rate: int


def read_native(path: Path, start: float | None = None, end: float | None = None) -> NativeAudio:
    """Decodes a file, or only the seconds from `start` to `end`, at its own rate and with all its channels.

    Raises:
        AudioProblem: not a regular file, empty, not audio, damaged, shorter than promised, or the segment is not in it.
    """
    import soundfile

    _check_file(path)
    try:
        with path.open("rb") as file:
            try:
                # The open file and not the path: libsndfile guesses headerless formats from suffixes.
                sound = soundfile.SoundFile(file)
            except (soundfile.LibsndfileError, TypeError):
                file.seek(0)
                return _read_with_pyav(file, path, start, end)
            with sound:
                return _read_with_soundfile(sound, file, path, start, end)
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


def _read_with_soundfile(sound: Any, file: BinaryIO, path: Path, start: float | None, end: float | None) -> NativeAudio:
    import soundfile

    rate, held = sound.samplerate, sound.frames
    promised = max(held, _promised_wav_frames(sound, path))
    check_rate(rate, path)
    if promised == 0:
        raise AudioProblem("no samples", path, "The file is a header without sound; export it again.")
    first, last = _frames_wanted(path, start, end, rate, promised)
    check_size((last - first) * sound.channels, path)
    try:
        if first < held:
            sound.seek(first)
            samples = sound.read(last - first, dtype="float32", always_2d=True)
        else:
            samples = np.empty((0, sound.channels), np.float32)
    except soundfile.LibsndfileError as error:
        raise AudioProblem("cut short or damaged", path, "Copy or export it again.") from error
    missing = (last - first) - len(samples)
    # A tenth, because the tolerance alone would be half of a short answer.
    tolerated = min(LENGTH_TOLERANCE * rate, 0.1 * (last - first)) if len(samples) else 0
    if missing > tolerated and _length_is_promised(sound, file):
        raise AudioProblem(
            "shorter than its header says",
            path,
            "The file was cut short in copying or recording; copy or export it again.",
            f"{missing / rate:.2f} s of {(last - first) / rate:.2f} s missing",
        )
    return NativeAudio(samples, rate)


def _frames_wanted(path: Path, start: float | None, end: float | None, rate: int, length: int) -> tuple[int, int]:
    first = 0 if start is None else round(start * rate)
    last = length if end is None else round(end * rate)
    if first >= length or last > length + LENGTH_TOLERANCE * rate:
        raise _beyond_the_end(path, start, end, length / rate)
    return first, min(last, length)


def _promised_wav_frames(sound: Any, path: Path) -> int:
    """Frames that a WAV header announces: libsndfile silently corrects it to what the file holds.

    0 for other kinds, and for a size that a recorder left open (0 or above 0x7FFFF000).
    """
    if sound.format not in ("WAV", "WAVEX"):
        return 0
    size = path.stat().st_size
    with path.open("rb") as file:
        position = 12  # after "RIFF", its size and "WAVE"
        while position + 8 <= size:
            file.seek(position)
            name, length = struct.unpack("<4sI", file.read(8))
            held = size - position - 8
            if name == b"data":
                truthful = length <= held or length >= 0x7FFF_F000
                return 0 if truthful else round(sound.frames * length / held) if held else length
            position += 8 + length + length % 2
    return 0


def _length_is_promised(sound: Any, file: BinaryIO) -> bool:
    """False for an MP3 without a Xing or Info header, whose length libmpg123 only estimates."""
    if sound.format != "MP3":
        return True
    file.seek(0)
    head = file.read(1 << 18)
    return b"Xing" in head or b"Info" in head


def _read_with_pyav(file: BinaryIO, path: Path, start: float | None, end: float | None) -> NativeAudio:
    import av

    try:
        container: Any = av.open(file, options={"format_whitelist": CONTAINERS})
    except (av.FFmpegError, ValueError) as error:
        raise AudioProblem(
            "not audio", path, "Its content is no kind of sound that is known here; check the path, or convert it."
        ) from error
    with container:
        if not container.streams.audio:
            raise AudioProblem("no sound track", path, "The file has no audio stream.")
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            raise AudioProblem("unknown codec", path, "Convert it to WAV or FLAC first.")
        rate = stream.codec_context.sample_rate or 0
        check_rate(rate, path)
        origin = (container.start_time or 0) / av.time_base  # players count from the container's first instant
        if start is not None and start > SEEK_MARGIN:
            container.seek(int((origin + start - SEEK_MARGIN) / stream.time_base), stream=stream)
        parts: list[np.ndarray] = []
        begin, values, reached = 0.0, 0, 0.0
        for position, samples in _decoded_frames(container, stream, origin, path):
            if end is not None and position >= end:
                reached = max(reached, position)
                break
            reached = position + len(samples) / rate
            if start is not None and reached <= start:
                continue
            begin = begin if parts else position
            parts.append(samples)
            values += samples.size
            check_size(values, path)
        promised = _promised_seconds(container, stream)
    _check_reached(path, start, end, reached, promised)
    if not parts:
        raise AudioProblem("no samples", path, "The file is a header without sound; export it again.")
    whole = np.concatenate(parts)
    first = 0 if start is None else max(0, round((start - begin) * rate))
    last = len(whole) if end is None else max(0, round((end - begin) * rate))
    return NativeAudio(whole[first:last], rate)


def _decoded_frames(container: Any, stream: Any, origin: float, path: Path) -> Iterator[tuple[float, np.ndarray]]:
    """Yields (seconds from the beginning, (frames, channels) float32).

    A few undecodable packets are ordinary at the edges of broadcast cuts; many are damage.
    """
    import av

    packets, broken, shape, position = 0, 0, None, 0.0
    # Interleaved, because PyAV 18 reads beyond the memory of a frame with eight planes (7.1 channels).
    interleaved = av.AudioResampler(format="flt")
    try:
        for packet in container.demux(stream):
            packets += 1
            try:
                frames = packet.decode()
            except av.FFmpegError:
                broken += 1
                continue
            for frame in frames:
                found = (frame.sample_rate, frame.layout.nb_channels)
                if shape not in (None, found):
                    raise AudioProblem("format changes midway", path, "Convert it to WAV or FLAC first.")
                shape = found
                position = position if frame.time is None else float(frame.time) - origin
                for piece in interleaved.resample(frame):
                    yield position, piece.to_ndarray().reshape(-1, found[1])
                    position += piece.samples / found[0]
    except (av.FFmpegError, ValueError) as error:
        if isinstance(error, AudioProblem):
            raise
        raise AudioProblem("cut short or damaged", path, "Copy or export it again.") from error
    if broken and shape is None:
        raise AudioProblem(
            "not audio", path, "Its content is no kind of sound that is known here; check the path, or convert it."
        )
    if broken > max(2, packets // 50):
        raise AudioProblem("cut short or damaged", path, "Copy or export it again.", f"{broken} of {packets} packets")


def _promised_seconds(container: Any, stream: Any) -> float | None:
    """The length that the header states, where it states one rather than estimating it from the bit rate."""
    name = container.format.name
    if name.startswith("mov") and stream.duration:
        return float(stream.duration * stream.time_base)
    if name.startswith("matroska") and container.duration and len(container.streams) == 1:
        return container.duration / 1e6
    return None


def _check_reached(path: Path, start: float | None, end: float | None, reached: float, promised: float | None) -> None:
    wanted = end if end is not None else promised
    if wanted is not None and reached < wanted - LENGTH_TOLERANCE and promised is not None and wanted <= promised:
        raise AudioProblem(
            "shorter than its header says",
            path,
            "The file was cut short in copying or recording; copy or export it again.",
            f"{reached:.2f} s of {promised:.2f} s decode",
        )
    if (start is not None and reached <= start) or (end is not None and reached < end - LENGTH_TOLERANCE):
        raise _beyond_the_end(path, start, end, promised or reached)


def _beyond_the_end(path: Path, start: float | None, end: float | None, length: float) -> AudioProblem:
    found = f"{0 if start is None else start:g} to {'the end' if end is None else f'{end:g}'} s of {length:.2f} s"
    return AudioProblem(
        "segment beyond the end", path, "Check start and end: seconds from the file's beginning.", found
    )


def check_rate(rate: int, path: Path) -> None:
    if not RATES[0] <= rate <= RATES[1]:
        raise AudioProblem("implausible sample rate", path, "The header is damaged; export it again.", f"{rate} Hz")


def check_size(values: int, path: Path) -> None:
    if values > MAX_VALUES:
        raise AudioProblem(
            "too long to decode at once", path, "Give start and end of the utterance, or cut the file.",
            f"more than {MAX_VALUES} samples",
        )  # fmt: skip
