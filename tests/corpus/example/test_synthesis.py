import io
import wave
from array import array
from pathlib import Path

import numpy as np
import pytest

from hbaf.corpus.example.synthesis import SAMPLE_RATE, SpokenLine, as_wav, synthesise, synthesiser_missing
from hbaf.corpus.schema import CorpusError

needs_synthesiser = pytest.mark.skipif(synthesiser_missing() is not None, reason="espeakng-loader is not installed")
SENTENCE = "The blue bag is on the table by the door."
VARIED = {
    "plain": {},
    "high": {"pitch": 85},
    "wide": {"range": 95},
    "monotone": {"range": 0},
    "loud": {"volume": 150},
    "quick": {"rate": 260},
    "other": {"voice": "en-us+f2"},
}


def median_pitch(signal: np.ndarray) -> float:
    """Median of the voiced frames' fundamental frequency in Hz."""
    return float(np.median(pitches(signal)))


def pitches(signal: np.ndarray) -> np.ndarray:
    """Per voiced frame of 1024 samples: the lag of the highest autocorrelation between 60 and 400 Hz."""
    shortest, longest, found = SAMPLE_RATE // 400, SAMPLE_RATE // 60, []
    for start in range(0, len(signal) - 1024, 512):
        frame = signal[start : start + 1024] - signal[start : start + 1024].mean()
        correlation = np.correlate(frame, frame, "full")[1023:]
        lag = shortest + int(correlation[shortest:longest].argmax())
        if correlation[0] > 0.5 and correlation[lag] > 0.5 * correlation[0]:
            found.append(SAMPLE_RATE / lag)
    return np.array(found)


def read_wav(path: Path) -> np.ndarray:
    with wave.open(str(path)) as source:
        assert (source.getframerate(), source.getnchannels(), source.getsampwidth()) == (SAMPLE_RATE, 1, 2)
        return np.frombuffer(source.readframes(source.getnframes()), "<i2") / 32768.0


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    folder = tmp_path_factory.mktemp("spoken")
    lines = [
        SpokenLine(folder / f"{name}.wav", SENTENCE, **{"voice": "en-us+m3", **changed})
        for name, changed in VARIED.items()
    ]
    seconds = synthesise(lines, processes=2)
    signals = {line.wav.stem: read_wav(line.wav) for line in lines}
    assert {path.stem: round(value * SAMPLE_RATE) for path, value in seconds.items()} == {
        name: len(signal) for name, signal in signals.items()
    }
    assert not [path for path in folder.iterdir() if path.suffix != ".wav"]
    return signals


@needs_synthesiser
def test_pitch_raises_the_fundamental_frequency(spoken: dict[str, np.ndarray]) -> None:
    assert median_pitch(spoken["high"]) > 1.2 * median_pitch(spoken["plain"])


@needs_synthesiser
def test_range_widens_the_melody(spoken: dict[str, np.ndarray]) -> None:
    def width(signal: np.ndarray) -> float:
        low, high = np.percentile(pitches(signal), [20, 80])
        return float(high / low)

    assert width(spoken["wide"]) > width(spoken["plain"]) > width(spoken["monotone"])


@needs_synthesiser
def test_volume_raises_the_level_and_is_not_normalised_away(spoken: dict[str, np.ndarray]) -> None:
    levels = {name: float(np.sqrt(np.mean(signal**2))) for name, signal in spoken.items()}
    assert levels["loud"] > 1.3 * levels["plain"]


@needs_synthesiser
def test_rate_shortens(spoken: dict[str, np.ndarray]) -> None:
    assert len(spoken["quick"]) < 0.8 * len(spoken["plain"])


@needs_synthesiser
def test_a_variant_is_another_voice(spoken: dict[str, np.ndarray]) -> None:
    assert median_pitch(spoken["other"]) > 1.4 * median_pitch(spoken["plain"])


@needs_synthesiser
def test_unknown_voice_is_named_and_what_was_made_is_kept(tmp_path: Path) -> None:
    good, bad = SpokenLine(tmp_path / "good.wav", "Hello."), SpokenLine(tmp_path / "bad.wav", "Hello.", voice="xx-yy")
    with pytest.raises(CorpusError, match="no voice 'xx-yy'"):
        synthesise([good, bad], processes=1)
    assert good.wav.exists()
    assert not bad.wav.exists()


@needs_synthesiser
def test_parameter_out_of_range_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"rate 900 is not in 80\.\.450"):
        synthesise([SpokenLine(tmp_path / "a.wav", "Hello.", rate=900)])


def test_missing_synthesiser_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(CorpusError, match=r"pip install 'hbaf\[examples\]'"):
        synthesise([SpokenLine(tmp_path / "a.wav", "Hello.")])


def test_wav_holds_the_samples() -> None:
    with wave.open(io.BytesIO(as_wav(array("h", [0, 1, -2, 300])))) as source:
        assert np.frombuffer(source.readframes(4), "<i2").tolist() == [0, 1, -2, 300]
