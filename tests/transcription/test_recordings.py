"""Whole recordings, read piece by piece."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from hbaf.corpus.sound.audio import AudioProblem
from hbaf.transcription import recording
from hbaf.transcription.recording import read_whole, signals_of
from hbaf.transcription.voice_activity import stretches

RATE = 16_000


@pytest.mark.parametrize("seconds", [2.0, 2.01, 3.0, 4.7])
@pytest.mark.parametrize("kind", ["wav", "flac", "mp3"])
def test_pieces_are_the_whole(seconds: float, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(recording, "BLOCK", 1.0)
    noise = np.random.default_rng(0).normal(scale=0.1, size=round(seconds * RATE))
    noise[RATE : 2 * RATE] = 0  # a silent piece is no problem
    soundfile.write(tmp_path / f"a.{kind}", noise, RATE)
    found = read_whole(tmp_path / f"a.{kind}", None)
    assert abs(len(found) - len(noise)) <= 0.25 * RATE
    if kind != "mp3":
        assert np.abs(found[: len(noise)] - noise[: len(found)]).max() < 1e-3


def test_people_on_channels_of_their_own(tmp_path: Path):
    random = np.random.default_rng(0)
    one, other = random.normal(scale=0.1, size=(2, RATE))
    soundfile.write(tmp_path / "two.wav", np.stack([one, other], axis=1), RATE)
    soundfile.write(tmp_path / "one.wav", np.stack([one, 0.5 * one], axis=1), RATE)
    soundfile.write(tmp_path / "half.wav", np.stack([one, 0 * one], axis=1), RATE)
    soundfile.write(tmp_path / "film.wav", random.normal(scale=0.1, size=(RATE, 6)), RATE)
    assert [channel for channel, _ in signals_of(tmp_path / "two.wav")] == [0, 1]
    assert [channel for channel, _ in signals_of(tmp_path / "one.wav")] == [None]
    assert [channel for channel, _ in signals_of(tmp_path / "half.wav")] == [None]
    with pytest.raises(AudioProblem, match="uncorrelated channels"):
        list(signals_of(tmp_path / "film.wav"))


def test_stretches_are_cut_where_nobody_speaks():
    speech = [(0.0, 5.0), (6.0, 20.0), (21.0, 29.0), (40.0, 41.0), (43.0, 44.0)]
    assert stretches(speech) == [(0.0, 20.0), (21.0, 29.0), (40.0, 44.0)]
    assert stretches([]) == []
