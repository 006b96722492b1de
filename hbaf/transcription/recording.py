"""The sound of a whole recording, channel by channel, read piece by piece."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hbaf.corpus.sound.audio import SAMPLE_RATE, AudioProblem, load_audio
from hbaf.corpus.sound.channels import UNCORRELATED
from hbaf.corpus.sound.decoders import read_native

BLOCK = 300.0  # seconds that are decoded at a time
MOST_CHANNELS = 5  # with more it is the surround sound of a film


def signals_of(path: Path) -> Iterator[tuple[int | None, np.ndarray]]:
    """The recording as one signal (None, samples), or each channel with its samples where they hold one person each.

    Raises:
        AudioProblem: it gives no usable signal.
    """
    try:
        mixed = read_whole(path, None)
    except AudioProblem as problem:
        if problem.reason != UNCORRELATED:
            raise
        count = read_native(path, 0.0, 1.0).samples.shape[1]
        if count > MOST_CHANNELS:
            raise
        yield from ((channel, read_whole(path, channel)) for channel in range(count))
    else:
        yield None, mixed


def read_whole(path: Path, channel: int | None) -> np.ndarray:
    """One channel from beginning to end, or correlated channels mixed.

    Returns:
        (samples,) float32 at 16 kHz: 230 MB an hour.

    Raises:
        AudioProblem: it gives no usable signal.
    """
    blocks: list[np.ndarray] = []
    while True:
        start = BLOCK * len(blocks)
        try:
            blocks.append(load_audio(path, channel=channel, start=start, end=start + BLOCK))
        except AudioProblem as problem:
            if problem.reason == "silent":
                blocks.append(np.zeros(round(BLOCK * SAMPLE_RATE), np.float32))
            elif problem.reason == "segment beyond the end":
                return np.concatenate([*blocks, _rest(path, channel, start)])
            else:
                raise


def _rest(path: Path, channel: int | None, start: float) -> np.ndarray:
    try:
        return load_audio(path, channel=channel, start=start)
    except AudioProblem as problem:
        nothing = problem.reason in ("segment beyond the end", "too short", "no samples")
        if problem.reason == "silent" or (start and nothing):
            return np.zeros(0, np.float32)
        raise
