"""The free audio features against known signals and an independent transform."""

import numpy as np
import pytest

from hbaf.features.audio import mfcc
from hbaf.features.audio.mfcc import DESCRIPTORS, Mfcc, frame_descriptors
from hbaf.features.audio.pitch import track_pitch
from tests.features.conftest import tone


def named(signal: np.ndarray) -> dict[str, float]:
    return dict(zip(Mfcc.feature_names, Mfcc().extract([signal])[0].tolist(), strict=True))


def test_every_number_has_a_name_of_its_own() -> None:
    assert len(set(Mfcc.feature_names)) == Mfcc.dim == 266


@pytest.mark.parametrize("hertz", [70, 110, 180, 260, 400])
def test_pitch_of_a_tone(hertz: float) -> None:
    found, periodicity = track_pitch(tone(hertz, 0.6))
    np.testing.assert_allclose(found, hertz, rtol=0.01)
    assert periodicity.mean() > 0.95


def test_noise_and_silence_have_no_pitch() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    assert (track_pitch(noise)[0] > 0).mean() < 0.02
    silence = np.zeros(16_000, np.float32)
    assert (track_pitch(silence)[0] == 0).all()
    assert np.isfinite(Mfcc().extract([silence])).all()
    assert named(silence)["voiced_share"] == 0


def test_a_rising_melody_rises_by_what_it_rises() -> None:
    time = np.arange(16_000) / 16_000
    phase = 2 * np.pi * 120 * (2**time - 1) / np.log(2)  # from 120 to 240 Hz: an octave, 12 semitones, in a second
    glide = sum(np.sin(number * phase) / number for number in range(1, 6)).astype(np.float32) * 0.1
    numbers = named(glide)
    assert numbers["pitch_slope"] == pytest.approx(12, rel=0.03)
    assert numbers["pitch_last_slope"] == pytest.approx(12, rel=0.1)
    assert numbers["pitch_p50"] == pytest.approx(12 * np.log2(120 * 2**0.5 / 55), abs=0.2)
    assert numbers["voiced_share"] > 0.95


def test_loudness_is_decibel_and_moves_nothing_else() -> None:
    loud, quiet = named(tone(150, 0.5, 0.2)), named(tone(150, 0.5, 0.02))
    assert loud["loudness_db_mean"] - quiet["loudness_db_mean"] == pytest.approx(20, abs=0.01)
    # Full scale is a power of 1, so a sine of amplitude 1 has -3.01 dB.
    sine = np.sin(2 * np.pi * 1000 * np.arange(8000) / 16_000).astype(np.float32)
    assert named(sine)["loudness_db_mean"] == pytest.approx(-3.01, abs=0.02)
    assert named(sine)["centroid_hz_mean"] == pytest.approx(1000, abs=5)
    for name in ("mfcc1_mean", "centroid_hz_mean", "pitch_p50", "syllables_per_second"):
        assert loud[name] == pytest.approx(quiet[name], rel=0.01, abs=0.01)


def test_syllables_and_pauses_are_counted() -> None:
    time = np.arange(32_000) / 16_000
    noise = np.random.default_rng(0).normal(0, 0.1, 32_000)
    beating = (noise * (0.5 - 0.5 * np.cos(2 * np.pi * 4 * time))).astype(np.float32)
    assert named(beating)["syllables_per_second"] == pytest.approx(4, abs=0.5)
    broken = noise.astype(np.float32)
    broken[8000:16_000] = 0  # half a second of nothing in two seconds
    assert named(broken)["pauses_per_second"] == pytest.approx(0.5)
    assert named(broken)["pause_seconds_mean"] == pytest.approx(0.5, abs=0.03)
    assert named(broken)["active_share"] == pytest.approx(0.75, abs=0.02)


def test_coefficients_agree_with_scipys_transform() -> None:
    fft = pytest.importorskip("scipy.fft")
    signal = tone(140, 0.4)
    frames = np.lib.stride_tricks.sliding_window_view(signal.astype(np.float64), 400)[::160]
    power = np.abs(np.fft.rfft(frames * np.hamming(400), 512)) ** 2 / (400 * 256) + 1e-10 / 512
    expected = fft.dct(np.log(power @ mfcc._mel_filters().T), norm="ortho")[:, 1:21]
    np.testing.assert_allclose(frame_descriptors(signal)[:, :20], expected, atol=1e-3)
    assert DESCRIPTORS[:2] == ["mfcc1", "mfcc2"]


def test_golden_numbers() -> None:
    """When these move, raise VERSION: columns in stores would mix two kinds of numbers."""
    assert mfcc.VERSION == 1
    numbers = named(tone(150, 0.5))
    assert {name: numbers[name] for name in GOLDEN} == pytest.approx(GOLDEN, rel=1e-3)


GOLDEN = {
    "mfcc1_mean": 23.61,
    "mfcc7_p90": 2.6736,
    "loudness_db_p50": -21.176,
    "centroid_hz_mean": 267.44,
    "pitch_mean": 17.371,
    "harmonics_to_noise_db": 24.086,
    "crest_db": 5.7725,
}
