"""Any file to one mono signal, or a problem with a name."""

import os
import random
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hbaf.corpus.sound.audio import SAMPLE_RATE, AudioProblem, load_audio, load_native

DATA = Path(__file__).parents[3] / ".." / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="real data absent: ../shared/data")


def tone(seconds: float = 2.0, rate: int = 16_000, hertz: float = 300.0, level: float = 0.3) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def noise(seed: int, seconds: float = 2.0, rate: int = 16_000) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * rate))).astype(np.float32)


def two_tones(rate: int) -> np.ndarray:
    """300 Hz in the first second, 1200 Hz in the second one."""
    return np.concatenate([tone(1, rate, 300), tone(1, rate, 1200)])


def loudest_hertz(signal: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(signal)).argmax() * SAMPLE_RATE / len(signal))


def write_with_pyav(path: Path, signal: np.ndarray, rate: int, codec: str = "aac", layout: str = "mono") -> None:
    import av

    channels = av.AudioLayout(layout).nb_channels

    with av.open(str(path), "w", options={"movflags": "faststart"} if path.suffix != ".webm" else {}) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(np.repeat(signal, channels)[np.newaxis], format="flt", layout=layout)
        frame.sample_rate = rate
        frame.pts = 0
        resampler = av.AudioResampler(
            format=stream.format, layout=layout, rate=rate, frame_size=stream.frame_size or 1024
        )
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))


def problem(path: Path, **segment: object) -> AudioProblem:
    with pytest.raises(AudioProblem) as caught:
        load_audio(path, **segment)  # type: ignore[arg-type]
    assert str(path) in str(caught.value)
    assert str(path.parent) not in caught.value.without_path
    return caught.value


KINDS = [
    ("wav", 8_000),
    ("wav", 48_000),
    ("flac", 44_100),
    ("mp3", 44_100),
    ("ogg", 22_050),
    ("opus", 48_000),
    ("m4a", 44_100),
    ("mp4", 48_000),
    ("webm", 48_000),
]


def write(path: Path, signal: np.ndarray, rate: int) -> Path:
    if path.suffix in (".m4a", ".mp4"):
        write_with_pyav(path, signal, rate)
    elif path.suffix == ".webm":
        write_with_pyav(path, signal, rate, "libopus")
    elif path.suffix == ".opus":
        soundfile.write(path, signal, rate, format="OGG", subtype="OPUS")
    else:
        soundfile.write(path, signal, rate)
    return path


@pytest.mark.parametrize(("suffix", "rate"), KINDS)
def test_every_kind_becomes_16_khz_mono(tmp_path: Path, suffix: str, rate: int) -> None:
    signal = load_audio(write(tmp_path / f"a.{suffix}", two_tones(rate), rate))
    assert signal.dtype == np.float32
    assert signal.ndim == 1
    assert abs(len(signal) / SAMPLE_RATE - 2.0) < 0.1
    assert np.abs(signal).max() <= 1.0
    assert abs(loudest_hertz(signal[:15_000]) - 300) < 5
    assert abs(loudest_hertz(signal[-15_000:]) - 1200) < 5


def test_another_rate_keeps_what_16_khz_would_lose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    high = (0.3 * np.sin(2 * np.pi * 12_000 * np.arange(48_000) / 48_000)).astype(np.float32)
    path = write(tmp_path / "a.wav", high, 48_000)
    np.testing.assert_allclose(load_audio(path, sample_rate=48_000), high, atol=1e-4)
    assert np.abs(load_audio(path)[100:-100]).max() < 0.01
    low = write(tmp_path / "b.wav", tone(2, 16_000), 16_000)
    assert len(load_audio(low, sample_rate=48_000)) == 96_000
    monkeypatch.setattr("hbaf.corpus.sound.audio_problem.MAX_VALUES", 48_000)
    assert len(load_audio(low)) == 32_000
    with pytest.raises(AudioProblem, match="too long to decode at once"):
        load_audio(low, sample_rate=48_000)


@pytest.mark.parametrize(("suffix", "rate"), KINDS)
def test_a_segment_is_what_lies_between_its_times(tmp_path: Path, suffix: str, rate: int) -> None:
    path = write(tmp_path / f"a.{suffix}", two_tones(rate), rate)
    before, after = load_audio(path, start=0.5, end=0.9), load_audio(path, start=1.1, end=1.9)
    assert abs(len(before) - 0.4 * SAMPLE_RATE) <= 2
    assert abs(len(after) - 0.8 * SAMPLE_RATE) <= 2
    assert abs(loudest_hertz(before) - 300) < 5
    assert abs(loudest_hertz(after) - 1200) < 5


@pytest.mark.parametrize("suffix", ["m4a", "webm"])
def test_a_segment_found_by_seeking_equals_the_cut_of_the_whole(tmp_path: Path, suffix: str) -> None:
    times = np.arange(6 * 48_000) / 48_000
    rising = (0.3 * np.sin(2 * np.pi * (200 + 100 * times) * times)).astype(np.float32)  # no two moments are alike
    path = write(tmp_path / f"a.{suffix}", rising, 48_000)
    whole, _ = load_native(path)
    part, rate = load_native(path, start=4.0, end=4.5)
    cut = whole[4 * rate : round(4.5 * rate)]
    assert len(part) == len(cut)
    shift = int(np.correlate(part, cut, "full").argmax()) - (len(cut) - 1)
    assert abs(shift) <= rate / 1000  # Matroska counts in milliseconds


def test_content_counts_and_not_the_suffix(tmp_path: Path) -> None:
    for suffix, lie in [("wav", "mp3"), ("flac", "vox"), ("ogg", "raw"), ("m4a", "wav"), ("mp3", "txt")]:
        path = write(tmp_path / f"a.{suffix}", tone(), 16_000).rename(tmp_path / f"{suffix}.{lie}")
        assert abs(len(load_audio(path)) / SAMPLE_RATE - 2.0) < 0.1


def test_only_the_segment_of_a_long_recording_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "long.wav", tone(60, 8_000), 8_000)
    monkeypatch.setattr("hbaf.corpus.sound.audio_problem.MAX_VALUES", 8_000 * 8)
    assert len(load_audio(path, start=50, end=53)) == 3 * SAMPLE_RATE
    assert problem(path).reason == "too long to decode at once"


def test_correlated_channels_are_mixed_down(tmp_path: Path) -> None:
    voice = noise(0)
    soundfile.write(tmp_path / "a.wav", np.stack([voice, 0.5 * voice], axis=1), 16_000, subtype="FLOAT")
    np.testing.assert_allclose(load_audio(tmp_path / "a.wav"), 0.75 * voice, atol=1e-6)


def test_two_microphones_of_one_room_are_mixed_down_and_a_reversed_one_is_left_out(tmp_path: Path) -> None:
    voice = noise(0)
    soundfile.write(tmp_path / "delay.wav", np.stack([voice[20:], voice[:-20]], axis=1), 16_000, subtype="FLOAT")
    assert len(load_audio(tmp_path / "delay.wav")) == len(voice) - 20
    soundfile.write(tmp_path / "reversed.wav", np.stack([voice, -0.9 * voice], axis=1), 16_000, subtype="FLOAT")
    np.testing.assert_allclose(load_audio(tmp_path / "reversed.wav"), voice, atol=1e-6)


def test_silent_channels_are_left_out(tmp_path: Path) -> None:
    voice = noise(0)
    channels = np.stack([0 * voice, 0 * voice, voice], axis=1)
    soundfile.write(tmp_path / "a.wav", channels, 16_000, subtype="FLOAT")
    np.testing.assert_allclose(load_audio(tmp_path / "a.wav"), voice, atol=1e-6)
    assert problem(tmp_path / "a.wav", channel=0).reason == "silent"


def test_uncorrelated_channels_are_never_mixed(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    soundfile.write(path, np.stack([noise(0), noise(1)], axis=1), 16_000, subtype="FLOAT")
    found = problem(path)
    assert found.reason == "uncorrelated channels"
    assert "--channels 0=agent,1=customer" in str(found)
    np.testing.assert_allclose(load_audio(path, channel=1), noise(1), atol=1e-6)
    assert problem(path, channel=2).reason == "no such channel"


def test_six_channels_of_one_scene_are_mixed_down(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "six.wav", np.stack([noise(0)] * 6, axis=1), 16_000)
    assert len(load_audio(tmp_path / "six.wav")) == 32_000


@pytest.mark.parametrize("layout", ["5.1", "7.1"])
def test_the_surround_sound_of_a_film(tmp_path: Path, layout: str) -> None:
    write_with_pyav(tmp_path / "film.mp4", tone(2, 48_000), 48_000, layout=layout)
    assert abs(loudest_hertz(load_audio(tmp_path / "film.mp4", channel=2)) - 300) < 5
    found = problem(tmp_path / "film.mp4")  # the bass channel holds something else
    assert found.reason == "uncorrelated channels"
    assert "channel 2" in str(found)


def test_files_that_are_not_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "loop.wav").symlink_to(tmp_path / "loop.wav")
    (tmp_path / "empty.wav").touch()
    assert problem(tmp_path / "pipe.wav").reason == "not a regular file"
    assert problem(tmp_path / "folder.wav").reason == "not a regular file"
    assert problem(tmp_path / "loop.wav").reason == "cannot be opened"
    assert problem(tmp_path / "empty.wav").reason == "empty file"
    assert problem(tmp_path / "absent.wav").reason == "no such file"
    with pytest.raises(AudioProblem, match="not a regular file"):
        load_audio(Path("/dev/zero"))


def test_content_that_is_no_sound(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("this is a shopping list\n" * 100)
    (tmp_path / "noise.mp3").write_bytes(b"\x00\x01\x02junk" * 5000)
    for name in ("text.wav", "noise.mp3"):
        assert problem(tmp_path / name).reason == "not audio"


def test_playlists_and_scripts_that_name_other_files_are_not_followed(tmp_path: Path) -> None:
    write(tmp_path / "secret.wav", tone(), 16_000)
    (tmp_path / "concat.wav").write_text("ffconcat version 1.0\nfile secret.wav\n")
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/x.ts\n")
    assert problem(tmp_path / "concat.wav").reason == "not audio"
    assert problem(tmp_path / "list.m3u8").reason == "not audio"


def test_header_only(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.empty(0, np.float32), 16_000)
    assert problem(tmp_path / "a.wav").reason == "no samples"


@pytest.mark.parametrize("suffix", ["wav", "mp3", "m4a"])
def test_a_file_cut_short_is_noticed_and_its_sound_part_still_usable(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a.{suffix}", tone(4) + noise(0, 4), 16_000)
    content = path.read_bytes()
    path.write_bytes(content[: round(len(content) * 0.6)])
    assert problem(path).reason == "shorter than its header says"
    assert problem(path, start=3.0, end=3.5).reason == "shorter than its header says"
    assert len(load_audio(path, start=0.5, end=1.0)) == 8_000


def test_a_damaged_flac_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.flac", noise(0, 4), 16_000)
    path.write_bytes(path.read_bytes()[:60_000])
    assert problem(path).reason == "cut short or damaged"


def test_a_wav_header_that_lies_about_its_length(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", tone(), 16_000)
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = struct.pack("<I", 10 * len(content))
    path.write_bytes(content)
    assert problem(path).reason == "shorter than its header says"
    content[at : at + 4] = b"\xff\xff\xff\xff"  # a recorder that writes into a pipe leaves the size open
    path.write_bytes(content)
    assert len(load_audio(path)) == 32_000


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_no_numbers(tmp_path: Path, value: float) -> None:
    signal = tone()
    signal[100] = value
    soundfile.write(tmp_path / "a.wav", signal, 16_000, subtype="FLOAT")
    assert problem(tmp_path / "a.wav").reason == "NaN or infinite samples"


def test_silence_and_wrong_units(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silent.wav", np.zeros(16_000), 16_000)
    assert problem(tmp_path / "silent.wav").reason == "silent"
    soundfile.write(tmp_path / "loud.wav", tone() * 30_000, 16_000, subtype="FLOAT")
    assert problem(tmp_path / "loud.wav").reason == "samples beyond full scale"


def test_an_implausible_rate(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(), 3)
    assert problem(tmp_path / "a.wav").reason == "implausible sample rate"


@pytest.mark.parametrize("suffix", ["wav", "m4a"])
def test_segments_that_are_not_there(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a.{suffix}", tone(), 16_000)
    assert problem(path, start=5.0).reason == "segment beyond the end"
    assert problem(path, start=1.0, end=9.0).reason == "segment beyond the end"
    assert problem(path, start=1.5, end=1.0).reason == "end before start"
    assert problem(path, start=1.0, end=1.0).reason == "end before start"
    assert problem(path, start=-1.0).reason == "impossible segment"
    assert problem(path, end=float("nan")).reason == "impossible segment"
    assert len(load_audio(path, start=1.5, end=2.1)) >= 8_000  # a transcript that rounds up


@pytest.mark.parametrize(("suffix", "rate"), KINDS)
def test_damage_at_random_places_is_a_named_problem_or_still_sound(tmp_path: Path, suffix: str, rate: int) -> None:
    chance = random.Random(3)
    content = write(tmp_path / f"a.{suffix}", tone(1, rate) + noise(0, 1, rate), rate).read_bytes()
    problems = 0
    for attempt in range(40):
        damaged = bytearray(content)
        reach = len(content) if attempt % 2 else min(400, len(content))  # every second time the header
        for _ in range(chance.choice([1, 5, 50])):
            damaged[chance.randrange(reach)] = chance.randrange(256)
        (tmp_path / "b").write_bytes(damaged)
        try:
            signal = load_audio(tmp_path / "b")
        except AudioProblem:
            problems += 1
        else:
            assert len(signal)
            assert np.abs(signal).max() <= 1.0
    assert problems


@needs_data
def test_real_clips_have_the_length_that_their_transcript_says() -> None:
    import pandas as pd

    table = pd.read_csv(DATA / "meld_clips" / "transcript.csv")
    for row in table.itertuples():
        signal = load_audio(DATA / "meld_clips" / f"dia{row.Dialogue_ID}_utt{row.Utterance_ID}.flac")
        assert abs(len(signal) / SAMPLE_RATE - float(row.duration_s)) < 0.05


def test_what_would_grow_too_large_in_resampling_is_refused_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hbaf.corpus.sound.audio_problem.MAX_VALUES", 3 * SAMPLE_RATE)
    slow = write(tmp_path / "slow.flac", tone(4, 1_000), 1_000)  # 4,000 samples, 64,000 at 16 kHz
    assert problem(slow).reason == "too long to decode at once"
    assert len(load_audio(slow, start=1, end=3)) == 2 * SAMPLE_RATE


@pytest.mark.slow
def test_a_small_file_at_1_khz_costs_no_gigabytes(tmp_path: Path) -> None:
    import tracemalloc

    import soundfile

    path = tmp_path / "hours.flac"  # 9.3 hours: 0.13 GB decoded, 2.1 GB at 16 kHz
    with soundfile.SoundFile(path, "w", 1_000, 1) as file:
        block = 0.1 * np.sin(np.arange(1 << 20) / 3)
        for _ in range(32):
            file.write(block)
    tracemalloc.start()
    assert problem(path).reason == "too long to decode at once"
    assert tracemalloc.get_traced_memory()[1] < 1 << 29
    tracemalloc.stop()
