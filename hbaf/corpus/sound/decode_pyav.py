"""Sound out of containers by FFmpeg: by seeking where packets have times of their own, else from the beginning."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from hbaf.corpus.sound.audio_problem import (
    LENGTH_TOLERANCE,
    AudioProblem,
    NativeAudio,
    beyond_the_end,
    check_rate,
    check_size,
    damaged,
    no_samples,
    not_audio,
    shorter_than_promised,
)

# Only kinds that hold sound themselves. FFmpeg also knows playlists and scripts (HLS, concat) that name other files
# and hosts: without this list a text file in a corpus could read anything and wait for the network.
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,asf,flv,mpegts,mpeg,"
    "aac,ac3,eac3,amr,amrnb,amrwb,mp3,ogg,flac,wav,w64,aiff,au,caf,ape,wv,tta,"
    "gsm,voc,sox,loas,rm,dts,truehd,mxf,wtv"
)
# Of the others FFmpeg makes up the time of a packet from the bit rate, which a variable one makes wrong.
TIMED = ("mov", "matroska", "avi", "asf", "flv", "mpegts", "mpeg", "ogg")
SEEK_MARGIN = 0.5  # seconds decoded and thrown away before a segment: lossy codecs need frames to settle


def has_times(file: BinaryIO, path: Path) -> bool:
    """Whether a moment in the file can be found by the times of its packets."""
    with _opened(file, path) as container:
        name = container.format.name
        # Transport streams are joined by appending, and their clock begins anew.
        return name.startswith(TIMED) and not (name == "mpegts" and len(container.streams) == 1)


def read_between(file: BinaryIO, path: Path, start: float | None, end: float | None) -> NativeAudio:
    """The seconds from `start` to `end` of a container with times."""
    with _opened(file, path) as container:
        stream, rate = _audio_stream(container, path)
        origin = (container.start_time or 0) / 1e6  # players count from the container's first instant
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
        raise no_samples(path)
    whole = np.concatenate(parts)
    first = 0 if start is None else max(0, round((start - begin) * rate))
    last = len(whole) if end is None else max(0, round((end - begin) * rate))
    return NativeAudio(whole[first:last], rate)


def blocks(file: BinaryIO, path: Path) -> Iterator[tuple[int, np.ndarray]]:
    """Yields (Hz, (frames, channels) float32) from the beginning to the end."""
    with _opened(file, path) as container:
        stream, rate = _audio_stream(container, path)
        for _, samples in _decoded_frames(container, stream, 0.0, path):
            yield rate, samples


def _opened(file: BinaryIO, path: Path) -> Any:
    import av

    file.seek(0)
    try:
        return av.open(file, options={"format_whitelist": CONTAINERS})
    except (av.FFmpegError, ValueError) as error:
        raise not_audio(path) from error


def _audio_stream(container: Any, path: Path) -> tuple[Any, int]:
    if not container.streams.audio:
        raise AudioProblem("no sound track", path, "The file has no audio stream.")
    stream = container.streams.audio[0]
    if stream.codec_context is None:
        raise AudioProblem("unknown codec", path, "Convert it to WAV or FLAC first.")
    rate = stream.codec_context.sample_rate or 0
    check_rate(rate, path)
    return stream, rate


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
                    raise format_changes(path)
                shape = found
                position = position if frame.time is None else float(frame.time) - origin
                for piece in interleaved.resample(frame):
                    yield position, piece.to_ndarray().reshape(-1, found[1])
                    position += piece.samples / found[0]
    except (av.FFmpegError, ValueError) as error:
        if isinstance(error, AudioProblem):
            raise
        raise damaged(path) from error
    if broken and shape is None:
        raise not_audio(path)
    if broken > max(2, packets // 50):
        raise damaged(path, f"{broken} of {packets} packets")


def format_changes(path: Path) -> AudioProblem:
    """The problem of a file whose sample rate or number of channels is not the same throughout."""
    return AudioProblem("format changes midway", path, "Convert it to WAV or FLAC first.")


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
        raise shorter_than_promised(path, f"{reached:.2f} s of {promised:.2f} s decode")
    if (start is not None and reached <= start) or (end is not None and reached < end - LENGTH_TOLERANCE):
        raise beyond_the_end(path, start, end, promised or reached)
