"""Pitch by autocorrelation: fundamental frequency and how periodic each frame is.

The autocorrelation of a windowed frame, divided by that of the window (Boersma 1993, "Accurate short-term analysis of
the fundamental frequency"), without his path search: single frames are mended by a median filter instead.
"""

import numpy as np

from hbaf.features.extractor import SAMPLE_RATE

RATE = SAMPLE_RATE // 2  # Hz; pitch needs no more, and half the rate is half the time
LOWEST, HIGHEST = 60.0, 500.0  # Hz
WINDOW = 320  # samples at RATE, 40 ms: two periods of the lowest voice
HOP = 80  # samples at RATE, 10 ms
TRANSFORM = 512  # at least the window and the longest lag
VOICED = 0.5  # least normalised autocorrelation of a voiced frame
OCTAVE_COST = 0.02  # per octave below the highest pitch: of two equal peaks the higher pitch is meant
SILENCE = 10 ** (-40 / 10)  # power relative to the loudest frame below which nothing is voiced


def track_pitch(signal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pitch every 10 ms.

    Args:
        signal: float32 (samples,), 16 kHz, at least 60 ms.

    Returns:
        (frames,) Hz, 0 where unvoiced, and (frames,) periodicity, 0..1: the share of power that repeats.
    """
    # Halve the rate behind a short low-pass: what folds down from above 4 kHz is weak beside the first harmonics.
    smooth = 0.5 * signal[1:-1] + 0.25 * (signal[:-2] + signal[2:])
    half = smooth[::2].astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(half, WINDOW)[::HOP]
    frames = frames - frames.mean(axis=1, keepdims=True)
    power = np.mean(frames**2, axis=1)

    shortest, longest = int(RATE / HIGHEST), int(np.ceil(RATE / LOWEST))
    peaks = _normalised_autocorrelation(frames)[:, : longest + 2]  # (frames, lags)
    lags = np.arange(shortest, longest + 1)
    middle, left, right = peaks[:, lags], peaks[:, lags - 1], peaks[:, lags + 1]
    strength = middle - OCTAVE_COST * np.log2(lags / shortest)
    strength = np.where((middle >= left) & (middle > right), strength, -1.0)
    best = strength.argmax(axis=1)
    every = np.arange(len(frames))
    at, below, above = middle[every, best], left[every, best], right[every, best]

    # The top of the parabola through the best lag and its neighbours.
    bend = below - 2 * at + above
    shift = np.where(bend < 0, 0.5 * (below - above) / np.where(bend < 0, bend, -1.0), 0.0)
    hertz = RATE / (lags[best] + np.clip(shift, -0.5, 0.5))
    periodicity = np.clip(at, 0.0, 1.0)
    voiced = (periodicity >= VOICED) & (strength[every, best] > 0) & (power > SILENCE * power.max(initial=0.0))
    return _without_leaps(np.where(voiced, hertz, 0.0)), np.where(power > 0, periodicity, 0.0)


def _normalised_autocorrelation(frames: np.ndarray) -> np.ndarray:
    """(frames, WINDOW) -> (frames, TRANSFORM): 1 at lag 0, 1 at the period of a periodic signal."""
    window = np.hanning(WINDOW + 2)[1:-1].astype(np.float32)
    spectrum = np.fft.rfft(frames * window, TRANSFORM)
    raw = np.fft.irfft(spectrum.real**2 + spectrum.imag**2, TRANSFORM)
    own = np.fft.irfft(np.abs(np.fft.rfft(window, TRANSFORM)) ** 2, TRANSFORM)
    longest = int(np.ceil(RATE / LOWEST)) + 2
    scale = np.zeros(TRANSFORM)
    scale[:longest] = own[0] / own[:longest]
    return raw / np.maximum(raw[:, :1], 1e-12) * scale


def _without_leaps(hertz: np.ndarray) -> np.ndarray:
    """Median over five voiced neighbours: a single frame an octave off is an error, never a melody."""
    voiced = np.flatnonzero(hertz)
    if len(voiced) < 5:
        return hertz
    padded = np.pad(hertz[voiced], 2, mode="edge")
    smooth = hertz.copy()
    smooth[voiced] = np.median(np.lib.stride_tricks.sliding_window_view(padded, 5), axis=1)
    return smooth
