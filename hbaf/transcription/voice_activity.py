"""Where somebody speaks: silero-vad, in the copy that faster-whisper carries."""

import numpy as np

from hbaf.corpus.sound.audio import SAMPLE_RATE

NAME = "silero-vad 6, of faster-whisper"
LONGEST = 28.0  # seconds; Whisper hears 30 at a time
GAP = 3.0  # seconds of silence that are left between two pieces of speech

Span = tuple[float, float]


def find_speech(samples: np.ndarray) -> list[Span]:
    """Start and end in seconds of every piece of speech, none longer than `LONGEST`.

    Args:
        samples: (samples,) float32 at 16 kHz.
    """
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    options = VadOptions(
        min_speech_duration_ms=100, min_silence_duration_ms=300, speech_pad_ms=150, max_speech_duration_s=LONGEST
    )
    found = get_speech_timestamps(samples, options)
    return [(piece["start"] / SAMPLE_RATE, min(piece["end"], len(samples)) / SAMPLE_RATE) for piece in found]


def stretches(speech: list[Span]) -> list[Span]:
    """Pieces of speech put together to what a recogniser hears at a time, cut where nobody speaks."""
    found: list[Span] = []
    for start, end in speech:
        if found and start - found[-1][1] <= GAP and end - found[-1][0] <= LONGEST:
            found[-1] = found[-1][0], end
        else:
            found.append((start, end))
    return found
