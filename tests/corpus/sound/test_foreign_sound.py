"""Sound as recorders, phone systems and scripts leave it: whole, whatever its header says of its length."""

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hbaf.corpus.sound.audio import AudioProblem, load_native
from hbaf.corpus.sound.mp3_frames import walk

RATE, SECONDS = 8_000, 6.0


def rising(rate: int = RATE, seconds: float = SECONDS) -> np.ndarray:
    """No two moments are alike, so that a shift is seen."""
    times = np.arange(round(rate * seconds)) / rate
    noise = 0.02 * np.random.default_rng(0).standard_normal(len(times))
    return (0.3 * np.sin(2 * np.pi * (200 + 60 * times) * times) + noise).astype(np.float32)


def kind(name: str, subtype: str | None = None, rate: int = RATE) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, rising(rate), rate, format=name, subtype=subtype)
    return file.getvalue()


def by_ffmpeg(name: str, codec: str, rate: int = 16_000, **options: str) -> bytes:
    import av

    file = io.BytesIO()
    with av.open(file, "w", format=name, options=options) as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(rising(rate)[np.newaxis], format="flt", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        context = stream.codec_context
        resampler = av.AudioResampler(context.format, "mono", rate, frame_size=context.frame_size or 1024)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return file.getvalue()


def put(content: bytes, at: int, value: bytes) -> bytes:
    return content[:at] + value + content[at + len(value) :]


def check_whole(path: Path, content: bytes, seconds: float = SECONDS) -> None:
    """All of it decodes, and a segment is the cut of the whole."""
    path.write_bytes(content)
    whole, rate = load_native(path)
    assert len(whole) / rate == pytest.approx(seconds, abs=0.25)
    start = 0.7 * seconds
    part, _ = load_native(path, start=start, end=start + 0.5)
    cut = whole[round(start * rate) : round((start + 0.5) * rate)]
    assert len(part) == len(cut)
    shift = int(np.correlate(part, cut, "full").argmax()) - (len(cut) - 1)
    assert abs(shift) <= rate / 500  # Matroska counts in milliseconds


WAV = kind("WAV", "PCM_16")
AT = WAV.index(b"data") + 4


@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        ("WAV", "GSM610"), ("AIFF", "GSM610"), ("W64", "GSM610"), ("WAV", "G721_32"), ("AU", "G721_32"),
        ("AU", "G723_24"), ("WAV", "MS_ADPCM"), ("WAV", "IMA_ADPCM"), ("AIFF", "IMA_ADPCM"), ("WAV", "ULAW"),
        ("WAV", "ALAW"), ("CAF", "ALAC_16"), ("RF64", "PCM_16"), ("NIST", "PCM_16"), ("VOC", "PCM_16"),
    ],
)  # fmt: skip
def test_kinds_of_phone_systems(tmp_path: Path, name: str, subtype: str) -> None:
    check_whole(tmp_path / "a.wav", kind(name, subtype))


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("adts", "aac", {}), ("amr", "libopencore_amrnb", {}), ("3gp", "libopencore_amrnb", {}), ("wav", "mp3", {}),
        ("wav", "g726", {}), ("wav", "adpcm_g722", {}), ("mp4", "aac", {"movflags": "frag_keyframe+empty_moov"}),
        ("mp2", "mp2", {}), ("ac3", "ac3", {}), ("mpegts", "aac", {}), ("webm", "libopus", {"live": "1"}),
    ],
)  # fmt: skip
def test_kinds_of_phones_and_streams(tmp_path: Path, name: str, codec: str, options: dict[str, str]) -> None:
    rate = 8_000 if codec in ("libopencore_amrnb", "g726") else 48_000 if codec in ("ac3", "libopus") else 16_000
    check_whole(tmp_path / "a", by_ffmpeg(name, codec, rate, **options))


def test_raw_gsm_is_known_by_its_content(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (300, 33), dtype=np.uint8)
    frames[:, 0] = 0xD0 | (frames[:, 0] & 0x0F)  # the mark that every frame begins with
    check_whole(tmp_path / "a.gsm", frames.tobytes())


@pytest.mark.parametrize("riff", [None, 0, 0xFFFF_FFFF])
@pytest.mark.parametrize("size", [0, 0xFFFF_FFFF, 0x7FFF_FFFF, 0x7FFF_F000, 0x8000_0000, 2_000_000_000, 0xFFFF_FFDB])
def test_a_wav_whose_length_was_left_open(tmp_path: Path, size: int, riff: int | None) -> None:
    content = put(WAV, AT, struct.pack("<I", size))
    check_whole(tmp_path / "a.wav", content if riff is None else put(content, 4, struct.pack("<I", riff)))


def test_a_wav_that_goes_on_after_the_size_of_its_first_moments(tmp_path: Path) -> None:
    check_whole(tmp_path / "a.wav", put(WAV, AT, struct.pack("<I", 8_000)))


@pytest.mark.parametrize("kept", [b"LIST\x04\0\0\0INFO", b"id3 \x04\0\0\0abcd"])
def test_what_stands_behind_the_samples_is_no_sound(tmp_path: Path, kept: bytes) -> None:
    (tmp_path / "a.wav").write_bytes(WAV + kept + bytes(8_000))
    assert len(load_native(tmp_path / "a.wav")[0]) == SECONDS * RATE


def test_a_flac_from_a_pipe(tmp_path: Path) -> None:
    content = kind("FLAC")
    content = put(content, 21, bytes([content[21] & 0xF0, 0, 0, 0, 0]))
    check_whole(tmp_path / "a.flac", content)
    (tmp_path / "a.flac").write_bytes(content[: len(content) // 2])
    assert 2 < len(load_native(tmp_path / "a.flac")[0]) / RATE < 4  # nobody can know that there was more


@pytest.mark.parametrize(("name", "at"), [("AU", 8), ("AIFF", None), ("CAF", None)])
def test_other_kinds_whose_length_was_left_open(tmp_path: Path, name: str, at: int | None) -> None:
    content = kind(name, "PCM_16")
    at = at if at is not None else content.index(b"SSND" if name == "AIFF" else b"data") + 4
    check_whole(tmp_path / "a", put(content, at, b"\xff" * (8 if name == "CAF" else 4)))


def tagged(mp3: bytes, words: bytes) -> bytes:
    """With an ID3 tag in front that holds these words."""
    frame = b"TXXX" + struct.pack(">IH", len(words) + 1, 0) + b"\0" + words
    size = len(frame)
    return b"ID3\x03\0\0" + bytes([0, 0, size >> 7 & 127, size & 127]) + frame + mp3


MP3 = by_ffmpeg("mp3", "mp3", write_xing="0")


@pytest.mark.parametrize("words", [b"Information", b"Xing", b"VBRI of the station"])
def test_words_in_a_tag_are_no_header(tmp_path: Path, words: bytes) -> None:
    check_whole(tmp_path / "a.mp3", tagged(MP3, words))
    assert [part.promised for part in walk(tagged(MP3, words)).parts] == [None]


def test_an_mp3_whose_first_frames_have_another_bit_rate(tmp_path: Path) -> None:
    """Decoders guess its length from the first frames: ten times too long here."""
    low = by_ffmpeg("mp3", "mp3", write_xing="0", b="8000")
    high = by_ffmpeg("mp3", "mp3", write_xing="0", b="128000")
    check_whole(tmp_path / "a.mp3", low + high, 2 * SECONDS + 0.1)
    check_whole(tmp_path / "a.mp3", high + low, 2 * SECONDS + 0.1)


def test_an_mp3_is_walked_frame_by_frame() -> None:
    found = walk(tagged(kind("MP3", rate=16_000), b"x") + b"TAG" + bytes(125))
    assert found.strange == 0
    (part,) = found.parts
    assert part.promised == part.frames
    assert part.rate == 16_000
    assert part.samples == pytest.approx(SECONDS * 16_000, abs=part.margin)
    assert walk(b"\xff" * 5000).parts == []


@pytest.mark.parametrize(
    "made",
    [
        lambda: WAV, lambda: kind("WAV", "GSM610"), lambda: kind("AIFF", "PCM_16"), lambda: kind("FLAC"),
        lambda: kind("OGG", "VORBIS"), lambda: kind("OGG", "OPUS"), lambda: kind("MP3"), lambda: MP3,
        lambda: tagged(kind("MP3"), b"second"), lambda: by_ffmpeg("adts", "aac"), lambda: by_ffmpeg("mp4", "aac"),
        lambda: by_ffmpeg("amr", "libopencore_amrnb", 8_000), lambda: by_ffmpeg("mpegts", "aac"),
        lambda: by_ffmpeg("webm", "libopus", 48_000), lambda: by_ffmpeg("ogg", "flac"),
    ],
    ids=["wav", "gsm", "aiff", "flac", "vorbis", "opus", "mp3", "mp3-bare", "mp3-tagged", "aac", "mp4", "amr", "ts",
         "webm", "ogg-flac"],
)  # fmt: skip
def test_files_that_were_joined_are_read_to_the_end(tmp_path: Path, made: Callable[[], bytes]) -> None:
    content = made()
    check_whole(tmp_path / "a", content + content, 2 * SECONDS)


def test_joined_files_of_different_rates_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.ogg").write_bytes(kind("OGG", "VORBIS") + kind("OGG", "VORBIS", 16_000))
    with pytest.raises(AudioProblem, match="format changes midway"):
        load_native(tmp_path / "a.ogg")


def test_a_long_joined_file_is_not_kept_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hbaf.corpus.sound.decode_in_order.KEPT", 100)
    check_whole(tmp_path / "a.ogg", 2 * kind("OGG", "VORBIS"), 2 * SECONDS)


def test_a_second_half_that_is_damaged_is_noticed(tmp_path: Path) -> None:
    content = kind("FLAC")
    (tmp_path / "a.flac").write_bytes(content + content[: len(content) // 2])
    with pytest.raises(AudioProblem):
        load_native(tmp_path / "a.flac")
