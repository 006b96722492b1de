"""MFCC, spectrum, loudness, pitch and rhythm of an utterance: the free audio representation.

Own implementation in numpy, so that the whole pipeline runs without openSMILE. Frames of 25 ms every 10 ms; each
descriptor becomes a few functionals over the utterance. Emotion lies in pitch, loudness and rate at least as much as in
the spectral envelope, so these are here beside the coefficients.
"""

from collections.abc import Sequence
from functools import cache
from typing import Literal

import numpy as np

from hbaf.features.audio.pitch import track_pitch
from hbaf.features.extractor import SAMPLE_RATE

VERSION = 1  # raised when the golden vectors move
SHORTEST = round(0.06 * SAMPLE_RATE)  # samples
WINDOW = 400  # samples, 25 ms
HOP = 160  # samples, 10 ms
FRAMES_PER_SECOND = SAMPLE_RATE / HOP
TRANSFORM = 512
MELS, COEFFICIENTS = 40, 20
LOWEST, HIGHEST = 50.0, 8000.0  # Hz, of the mel filters
FLOOR = 1e-10  # power of a frame taken as silence, about -100 dB
ACTIVE = 50.0  # dB below the loudest frame: quieter frames are pauses and tell nothing of the spectrum

DESCRIPTORS = [
    *(f"mfcc{number}" for number in range(1, COEFFICIENTS + 1)),
    "loudness_db",  # frame power, dB relative to full scale
    "zero_crossings",  # share of neighbouring samples with different sign, 0..1
    "centroid_hz",
    "spread_hz",
    "rolloff_hz",  # 85 % of the power lie below
    "flatness_db",  # geometric over arithmetic mean of the spectrum: 0 for noise, very negative for a tone
    "flux",  # change of the normalised mel spectrum from the frame before, 0..2
    "alpha_db",  # 50-1000 Hz against 1-5 kHz: falls with vocal effort
    "hammarberg_db",  # strongest peak below 2 kHz against the strongest at 2-5 kHz
    "slope_db_per_khz",  # of the mel spectrum
]
FUNCTIONALS = ["mean", "std", "p10", "p50", "p90", "slope", "change_mean", "change_std"]
PITCH = [
    *(f"pitch_{name}" for name in ("mean", "std", "p10", "p50", "p90", "range", "slope", "change_mean", "last_slope")),
    "voiced_share",
    "voiced_seconds_mean",
    "voiced_segments_per_second",
    "periodicity_mean",
    "periodicity_std",
    "harmonics_to_noise_db",
    "jitter",
    "shimmer_db",
]
RHYTHM = [
    "seconds",
    "active_share",
    "pauses_per_second",
    "pause_seconds_mean",
    "syllables_per_second",
    "loudness_range_db",
    "loudness_rise_db_per_second",
    "loudness_fall_db_per_second",
    "crest_db",
]
FEATURE_NAMES = (*(f"{lld}_{name}" for lld in DESCRIPTORS for name in FUNCTIONALS), *PITCH, *RHYTHM)


class Mfcc:
    """266 numbers per utterance, about 5 ms of computing each."""

    name = "mfcc"
    modality: Literal["audio", "text"] = "audio"
    licence = "Apache-2.0"
    commercial = True
    in_processes = True
    selected = False
    feature_names = FEATURE_NAMES
    dim = len(FEATURE_NAMES)

    def __init__(self, name: str = "mfcc") -> None:
        self.name = name

    def identity(self) -> dict[str, object]:
        """What the vectors depend on: the version of this extractor alone, it has no settings."""
        return {"name": "mfcc", "version": VERSION}

    def extract(self, items: Sequence[np.ndarray] | Sequence[str]) -> np.ndarray:
        """`feature_names` of each signal.

        Args:
            items: float32 (samples,), 16 kHz.

        Returns:
            (items, dim) float32; NaN rows for signals under 60 ms or with samples that are no numbers. Where nothing
            is voiced the pitch numbers are 0, and `voiced_share` says so.
        """
        vectors = np.full((len(items), self.dim), np.nan, np.float32)
        for row, signal in enumerate(items):
            signal = np.asarray(signal, np.float32)
            if len(signal) >= SHORTEST and np.isfinite(signal).all():
                vectors[row] = describe(signal)
        return vectors


def describe(signal: np.ndarray) -> np.ndarray:
    """(samples,) float32 at 16 kHz -> (dim,) float64."""
    descriptors = frame_descriptors(signal)
    loudness = descriptors[:, DESCRIPTORS.index("loudness_db")]
    active = loudness >= loudness.max() - ACTIVE
    return np.concatenate(
        [_functionals(descriptors, active), _pitch_numbers(signal, loudness), _rhythm_numbers(signal, loudness, active)]
    )


def frame_descriptors(signal: np.ndarray) -> np.ndarray:
    """(samples,) -> (frames, len(DESCRIPTORS)) every 10 ms."""
    frames = np.lib.stride_tricks.sliding_window_view(signal, WINDOW)[::HOP]
    spectrum = np.fft.rfft(frames * np.hamming(WINDOW).astype(np.float32), TRANSFORM)
    power = spectrum.real**2 + spectrum.imag**2  # (frames, bins)
    power = power / (WINDOW * TRANSFORM / 2) + FLOOR / TRANSFORM
    log_mel = np.log(power @ _mel_filters().T)  # (frames, MELS)
    hertz = _bin_hertz()
    total = power.sum(axis=1)
    centroid = power @ hertz / total
    mel_share = np.exp(log_mel - log_mel.max(axis=1, keepdims=True))
    mel_share /= mel_share.sum(axis=1, keepdims=True)
    flux = np.abs(np.diff(mel_share, axis=0, prepend=mel_share[:1])).sum(axis=1)
    below_1k, to_5k = (hertz >= 50) & (hertz < 1000), (hertz >= 1000) & (hertz < 5000)
    below_2k, from_2k = hertz < 2000, (hertz >= 2000) & (hertz < 5000)
    mel_khz = _mel_centres() / 1000
    mel_khz = mel_khz - mel_khz.mean()
    columns = [
        log_mel @ _cosines().T,
        _decibel(np.mean(frames**2, axis=1) + FLOOR),
        np.mean(np.signbit(frames[:, 1:]) != np.signbit(frames[:, :-1]), axis=1),
        centroid,
        np.sqrt(np.maximum(power @ hertz**2 / total - centroid**2, 0)),
        hertz[(np.cumsum(power, axis=1) < 0.85 * total[:, None]).sum(axis=1).clip(max=len(hertz) - 1)],
        _decibel(np.exp(np.log(power).mean(axis=1)) / power.mean(axis=1)),
        flux,
        _decibel(power[:, below_1k].sum(axis=1) / power[:, to_5k].sum(axis=1)),
        _decibel(power[:, below_2k].max(axis=1) / power[:, from_2k].max(axis=1)),
        _decibel(np.exp(log_mel)) @ mel_khz / (mel_khz @ mel_khz),
    ]
    return np.concatenate([np.asarray(part, np.float64).reshape(len(frames), -1) for part in columns], axis=1)


def _functionals(descriptors: np.ndarray, active: np.ndarray) -> np.ndarray:
    """(frames, descriptors) -> (descriptors * functionals,), over the active frames."""
    values = descriptors[active]
    seconds = np.flatnonzero(active) / FRAMES_PER_SECOND
    change = np.abs(np.diff(descriptors, axis=0))[active[1:] & active[:-1]]
    if not len(change):
        change = np.zeros((1, descriptors.shape[1]))
    low, median, high = _percentiles(values, (10, 50, 90))
    columns = [
        values.mean(0),
        values.std(0),
        low,
        median,
        high,
        _slopes(seconds, values),
        change.mean(0),
        change.std(0),
    ]
    return np.stack(columns, axis=1).reshape(-1)


def _pitch_numbers(signal: np.ndarray, loudness: np.ndarray) -> np.ndarray:
    """The numbers of `PITCH`; pitch in semitones above 55 Hz, because that is how melody is heard."""
    hertz, periodicity = track_pitch(signal)
    voiced = hertz > 0
    if not voiced.any():
        numbers = np.zeros(len(PITCH))
        numbers[PITCH.index("periodicity_mean")] = periodicity.mean()
        numbers[PITCH.index("periodicity_std")] = periodicity.std()
        return numbers
    semitones = 12 * np.log2(hertz[voiced] / 55.0)
    seconds = np.flatnonzero(voiced) / FRAMES_PER_SECOND
    low, median, high = _percentiles(semitones[:, None], (10, 50, 90))[:, 0]
    neighbours = np.flatnonzero(voiced[1:] & voiced[:-1])
    melody = np.abs(12 * np.log2(hertz[neighbours + 1] / hertz[neighbours])) if len(neighbours) else np.zeros(1)
    periods = np.abs(hertz[neighbours + 1] - hertz[neighbours]) / hertz[neighbours] if len(neighbours) else np.zeros(1)
    inside = neighbours[neighbours + 1 < len(loudness)]
    shimmer = np.abs(loudness[inside + 1] - loudness[inside]) if len(inside) else np.zeros(1)
    runs = _runs(voiced)
    share = np.clip(periodicity[voiced], 1e-3, 1 - 1e-3)
    last = seconds >= seconds[-1] - 0.3  # how the melody ends: questions and surprise rise
    return np.array(
        [
            semitones.mean(),
            semitones.std(),
            low,
            median,
            high,
            high - low,
            _slopes(seconds, semitones[:, None])[0],
            melody.mean() * FRAMES_PER_SECOND,  # semitones a second
            _slopes(seconds[last], semitones[last][:, None])[0],
            voiced.mean(),
            runs.mean() / FRAMES_PER_SECOND,
            len(runs) / (len(voiced) / FRAMES_PER_SECOND),
            periodicity.mean(),
            periodicity.std(),
            np.mean(10 * np.log10(share / (1 - share))),
            periods.mean(),
            shimmer.mean(),
        ]
    )


def _rhythm_numbers(signal: np.ndarray, loudness: np.ndarray, active: np.ndarray) -> np.ndarray:
    """The numbers of `RHYTHM`."""
    seconds = len(signal) / SAMPLE_RATE
    pauses = _runs(~active)
    pauses = pauses[pauses >= 0.1 * FRAMES_PER_SECOND]
    smooth = np.convolve(np.pad(loudness, 3, mode="edge"), np.full(7, 1 / 7), mode="valid")  # over 70 ms
    change = np.diff(smooth) * FRAMES_PER_SECOND if len(smooth) > 1 else np.zeros(1)
    low, high = _percentiles(loudness[active][:, None], (5, 95))[:, 0]
    peak = _decibel(np.max(np.square(signal, dtype=np.float64)) + FLOOR)
    return np.array(
        [
            seconds,
            active.mean(),
            len(pauses) / seconds,
            pauses.mean() / FRAMES_PER_SECOND if len(pauses) else 0.0,
            _syllables(smooth) / seconds,
            high - low,
            np.maximum(change, 0).mean(),
            np.maximum(-change, 0).mean(),
            peak - _decibel(np.mean(np.square(signal, dtype=np.float64)) + FLOOR),
        ]
    )


def _syllables(smooth: np.ndarray) -> int:
    """Peaks of the loudness, each at least 2 dB above the dips to both sides and within 25 dB of the loudest."""
    count, dip, peak = 0, smooth[0], -np.inf
    for level in smooth:
        if level > peak:
            peak = level
        if peak - level >= 2 and peak - dip >= 2:
            count += int(peak >= smooth.max() - 25)
            dip, peak = level, -np.inf
        dip = min(dip, level)
        if peak == -np.inf or level == dip:
            peak = level
    return count


def _runs(flags: np.ndarray) -> np.ndarray:
    """Lengths of the runs of True, in frames."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return edges[1::2] - edges[::2]


def _slopes(seconds: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Least-squares slope of each column, per second; 0 where there is a single frame."""
    centred = seconds - seconds.mean()
    spread = centred @ centred
    return centred @ (values - values.mean(axis=0)) / spread if spread > 0 else np.zeros(values.shape[1])


def _percentiles(values: np.ndarray, percents: tuple[float, ...]) -> np.ndarray:
    """(len(percents), columns), linear between ranks, with one sort for all of them."""
    ordered = np.sort(values, axis=0)
    places = np.array(percents) / 100 * (len(values) - 1)
    below = np.floor(places).astype(int)
    part = (places - below)[:, None]
    return ordered[below] * (1 - part) + ordered[np.minimum(below + 1, len(values) - 1)] * part


def _decibel(power: np.ndarray) -> np.ndarray:
    return 10 * np.log10(power)


@cache
def _bin_hertz() -> np.ndarray:
    return np.fft.rfftfreq(TRANSFORM, 1 / SAMPLE_RATE)


def _mel(hertz: np.ndarray | float) -> np.ndarray:
    return 2595 * np.log10(1 + np.asarray(hertz) / 700)


@cache
def _mel_edges() -> np.ndarray:
    """(MELS + 2,) Hz, equally spaced in mel."""
    return 700 * (10 ** (np.linspace(_mel(LOWEST), _mel(HIGHEST), MELS + 2) / 2595) - 1)


def _mel_centres() -> np.ndarray:
    return _mel_edges()[1:-1]


@cache
def _mel_filters() -> np.ndarray:
    """(MELS, bins) triangles of height 1."""
    edges, hertz = _mel_edges(), _bin_hertz()
    rising = (hertz - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - hertz) / (edges[2:] - edges[1:-1])[:, None]
    return np.maximum(0, np.minimum(rising, falling))


@cache
def _cosines() -> np.ndarray:
    """(COEFFICIENTS, MELS): rows 1..20 of the orthonormal DCT-II; row 0 is the loudness, which has its own column."""
    number, band = np.arange(1, COEFFICIENTS + 1)[:, None], np.arange(MELS)
    return np.sqrt(2 / MELS) * np.cos(np.pi * number * (2 * band + 1) / (2 * MELS))
