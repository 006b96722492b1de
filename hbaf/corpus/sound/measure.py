"""What can be measured of one recording, and the process in which it is: there native decoders meet strangers' files.

`python -m hbaf.corpus.sound.measure MEMORY` answers each line of its input, `[path, [[channel, start, end], ...]]`,
with a line of facts. Its memory is bounded; its time by whoever asks (`hbaf.corpus.sound.measuring`).
"""

import contextlib
import hashlib
import json
import math
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from hbaf.corpus.sound.audio import AudioProblem, load_native

FRAME = 0.03  # seconds
VOICE_RANGE = 40.0  # dB below the loudest frame that still count as voice
BARS = 100  # of a waveform
FULL_SCALE = 0.9995  # of full scale; the largest 16-bit sample is 0.99997

Segment = tuple[int | None, float | None, float | None]  # channel, start, end


def measure(path: Path, segments: Iterable[Segment]) -> list[dict[str, Any]]:
    """The facts of each segment of one file; `audio_problem` in place of the measures where it does not decode."""
    digest = None
    with contextlib.suppress(OSError):  # load_native says why
        if path.is_file():  # a pipe would be waited for
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
    return [{"audio_digest": digest, **_measure_segment(path, *segment)} for segment in segments]


def _measure_segment(path: Path, channel: int | None, start: float | None, end: float | None) -> dict[str, Any]:
    try:
        samples, rate = load_native(path, channel=channel, start=start, end=end)
    except AudioProblem as problem:
        return {"audio_problem": problem.without_path}
    return {
        "seconds": len(samples) / rate,
        "sample_rate": rate,
        "loudness": 10 * math.log10(float(np.mean(np.square(samples, dtype=np.float64)))),
        "clipped": float(np.mean(np.abs(samples) >= FULL_SCALE)),
        "voiced_share": _voiced_share(samples, rate),
        "waveform": waveform(samples),
    }


def waveform(samples: np.ndarray) -> str:
    """What a page draws of a signal: the largest deviation in each of 100 stretches, as hexadecimal digits.

    The largest of all is `f`.

    Args:
        samples: (n,) at any rate; n below 100 gives n digits.
    """
    bars = min(BARS, len(samples))
    peaks = np.maximum.reduceat(np.abs(samples), np.arange(bars) * len(samples) // bars) if bars else np.zeros(0)
    levels = np.rint(15 * peaks / max(float(peaks.max(initial=0.0)), 1e-6)).astype(int)
    return "".join(f"{level:x}" for level in levels)


def _voiced_share(samples: np.ndarray, rate: int) -> float:
    """Share of 30 ms frames within 40 dB of the loudest; a signal shorter than a frame is one frame."""
    length = min(len(samples), round(FRAME * rate))
    frames = samples[: len(samples) // length * length].reshape(-1, length).astype(np.float64)
    power = np.mean(np.square(frames), axis=1)
    return float(np.mean((power > 0) & (power >= power.max() * 10 ** (-VOICE_RANGE / 10))))


def main(memory: int) -> None:
    """Prints "ready", then a line of facts for each line of stdin, until it ends; `memory` is its bound in bytes."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # systems without such a limit
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    print("ready", flush=True)
    for line in sys.stdin:
        path, segments = json.loads(line)
        print(json.dumps(measure(Path(path), [(channel, start, end) for channel, start, end in segments])), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
