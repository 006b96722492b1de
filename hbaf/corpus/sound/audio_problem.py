"""What a decoder gives, the reasons for which it may not, and the bounds that hold for every kind of file."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

LENGTH_TOLERANCE = 0.25  # seconds; transcripts round up, and lossy codecs pad
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


def check_rate(rate: int, path: Path) -> None:
    """Raises AudioProblem where a sample rate (Hz) is outside `RATES`."""
    if not RATES[0] <= rate <= RATES[1]:
        raise AudioProblem("implausible sample rate", path, "The header is damaged; export it again.", f"{rate} Hz")


def check_size(values: int, path: Path) -> None:
    """Raises AudioProblem where more than `MAX_VALUES` samples, over all channels, would be decoded at once."""
    if values > MAX_VALUES:
        raise AudioProblem(
            "too long to decode at once", path, "Give start and end of the utterance, or cut the file.",
            f"more than {MAX_VALUES} samples",
        )  # fmt: skip


def damaged(path: Path, found: str = "") -> AudioProblem:
    """The problem of a file whose decoding fails midway; `found` is what the decoder says."""
    return AudioProblem("cut short or damaged", path, "Copy or export it again.", found)


def not_audio(path: Path) -> AudioProblem:
    """The problem of a file that no decoder knows."""
    return AudioProblem(
        "not audio", path, "Its content is no kind of sound that is known here; check the path, or convert it."
    )


def no_samples(path: Path) -> AudioProblem:
    """The problem of a file that decodes to nothing."""
    return AudioProblem("no samples", path, "The file is a header without sound; export it again.")


def shorter_than_promised(path: Path, found: str) -> AudioProblem:
    """The problem of a file that ends before its header says; `found` names both lengths."""
    return AudioProblem(
        "shorter than its header says",
        path,
        "The file was cut short in copying or recording; copy or export it again.",
        found,
    )


def beyond_the_end(path: Path, start: float | None, end: float | None, length: float) -> AudioProblem:
    """Args: length: of the whole file in seconds."""
    found = f"{0 if start is None else start:g} to {'the end' if end is None else f'{end:g}'} s of {length:.2f} s"
    return AudioProblem(
        "segment beyond the end", path, "Check start and end: seconds from the file's beginning.", found
    )
