"""Any audio or video file, any channel of it, any segment -> one mono signal, or a problem with a name.

Channels are never mixed blindly: two people recorded on one channel each must not end up in one signal.
"""

from pathlib import Path

import numpy as np

from hbaf.corpus.sound.audio_problem import check_size
from hbaf.corpus.sound.decoders import AudioProblem, read_native

__all__ = ["SAMPLE_RATE", "AudioProblem", "load_audio", "load_native"]

SAMPLE_RATE = 16_000  # Hz, of what `load_audio` returns unless it is asked for another rate
SILENCE = 1e-5  # peak; half a step of 16 bits is 1.5e-5, so this is digital silence
CHANNEL_SILENCE = 1e-4  # root mean square (-80 dB) below which a channel carries nothing
CORRELATED = 0.4  # normalised cross-correlation above which two channels are two views of one scene
LAG = 0.005  # seconds between two microphones of one recording, at most
SHORTEST = 0.06  # seconds; less holds no speech, and openSMILE and the MFCC statistics give nothing for it
LOUDEST_SAMPLE = 4.0  # beyond it the samples are not in units of full scale at all


def load_audio(
    path: Path,
    *,
    channel: int | None = None,
    start: float | None = None,
    end: float | None = None,
    sample_rate: int = SAMPLE_RATE,
) -> np.ndarray:
    """One utterance as the extractors want it; only the segment is read.

    Args:
        path: wav, flac, ogg, opus, mp3, or the sound of m4a, mp4, webm, ...; the suffix does not matter.
        channel: from 0; None takes the only channel, or mixes down correlated ones.
        start: seconds from the file's beginning; None: from the beginning.
        end: seconds from the file's beginning; None: to the end.
        sample_rate: Hz, of what is returned.

    Returns:
        (samples,) float32 in -1..1.

    Raises:
        AudioProblem: there is no usable signal; `.reason` names the rule.
    """
    samples, native = load_native(path, channel=channel, start=start, end=end)
    if native != sample_rate:
        import soxr

        check_size(round(len(samples) * sample_rate / native), path)
        samples = soxr.resample(samples, native, sample_rate)
        if not len(samples):
            raise AudioProblem("no samples", path, "The segment is too short; check start and end.")
    return np.clip(samples, -1.0, 1.0)


def load_native(
    path: Path, *, channel: int | None = None, start: float | None = None, end: float | None = None
) -> tuple[np.ndarray, int]:
    """The same utterance at the rate at which it is stored, for measuring.

    Returns:
        (samples,) float32, not limited to -1..1 (a lossy codec may overshoot), and the sample rate in Hz.

    Raises:
        AudioProblem: there is no usable signal.
    """
    _check_segment(path, start, end)
    native = read_native(path, start, end)
    # After resampling: at 1 kHz a small file becomes 16 times as large.
    check_size(round(len(native.samples) * max(1.0, SAMPLE_RATE / native.sample_rate)), path)
    if not len(native.samples):
        raise AudioProblem("no samples", path, "The segment is too short; check start and end.")
    seconds = len(native.samples) / native.sample_rate
    if seconds < SHORTEST:
        raise AudioProblem(
            "too short", path, f"Less than {SHORTEST:g} s holds no speech; check start and end.", f"{seconds:.3f} s"
        )
    samples = _one_channel(native.samples, native.sample_rate, channel, path)
    peak = float(np.abs(samples).max())
    if peak < SILENCE:
        raise AudioProblem("silent", path, "Every sample is zero; check the recording and the channel.")
    if peak > LOUDEST_SAMPLE:
        raise AudioProblem(
            "samples beyond full scale",
            path,
            "Floating-point audio must lie in -1..1; export it again.",
            f"peak {peak:.3g}",
        )
    return samples, native.sample_rate


def _check_segment(path: Path, start: float | None, end: float | None) -> None:
    if any(time is not None and not (0 <= time < 1e7) for time in (start, end)):
        raise AudioProblem("impossible segment", path, "Give seconds from the file's beginning.", f"{start} to {end}")
    if end is not None and (start or 0.0) >= end:
        raise AudioProblem("end before start", path, "Check start and end.", f"{start or 0:g} to {end:g} s")


def _one_channel(samples: np.ndarray, sample_rate: int, channel: int | None, path: Path) -> np.ndarray:
    """(frames, channels) -> (frames,), after the check that every sample is a number."""
    channels = samples.shape[1]
    if channel is not None:
        if not 0 <= channel < channels:
            raise AudioProblem(
                "no such channel",
                path,
                "Channels count from 0; correct it, or leave it empty.",
                f"channel {channel} of {channels} channel(s)",
            )
        samples = samples[:, channel : channel + 1]
    if not np.isfinite(samples).all():
        raise AudioProblem("NaN or infinite samples", path, "Export it again, as 16-bit PCM for instance.")
    if samples.shape[1] == 1:
        return np.ascontiguousarray(samples[:, 0])
    power = np.sqrt(np.mean(np.square(samples, dtype=np.float64), axis=0))
    loudest = int(power.argmax())
    sounding = [index for index in range(channels) if power[index] > CHANNEL_SILENCE]
    if len(sounding) <= 1:
        return np.ascontiguousarray(samples[:, loudest])
    likeness = [_correlation(samples[:, loudest], samples[:, index], sample_rate) for index in sounding]
    if min(abs(value) for value in likeness) < CORRELATED:
        hint = "Each seems to hold somebody else: add a channel column, or name them (`--channels 0=agent,1=customer`)."
        if channels >= 6:
            hint += " In the surround sound of films people speak on the centre, channel 2."
        raise AudioProblem("uncorrelated channels", path, hint, f"{len(sounding)} channels sound")
    # A channel wired the wrong way round would cancel the others.
    together = [index for index, value in zip(sounding, likeness, strict=True) if value > 0]
    return samples[:, together].mean(axis=1, dtype=np.float32)


def _correlation(one: np.ndarray, other: np.ndarray, sample_rate: int) -> float:
    """Normalised cross-correlation of largest magnitude within `LAG`, in -1..1, over the middle 30 s at most."""
    middle = slice(max(0, len(one) // 2 - 15 * sample_rate), len(one) // 2 + 15 * sample_rate)
    a, b = (signal[middle].astype(np.float64) - signal[middle].mean(dtype=np.float64) for signal in (one, other))
    scale = float(np.sqrt((a @ a) * (b @ b)))
    if scale == 0:
        return 0.0
    lags = min(len(a) - 1, max(1, round(LAG * sample_rate)))
    size = 1 << (len(a) + lags).bit_length()
    products = np.fft.irfft(np.fft.rfft(a, size) * np.conj(np.fft.rfft(b, size)), size)
    near = np.concatenate([products[: lags + 1], products[size - lags :]]) / scale
    if abs(near[0]) >= CORRELATED:
        return float(near[0])  # no delay: the sign decides whether the two may be added
    return float(near[np.abs(near).argmax()])
