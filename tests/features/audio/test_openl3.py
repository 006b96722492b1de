"""OpenL3: its front end and its network beside others in numpy, by the formulas and in the layout of Keras."""

import gzip
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.signal import get_window

from hbaf.comparison.reproduce import paper_set, representations_of_the_paper, what_lacks
from hbaf.features.audio.openl3 import log_mel, windows
from hbaf.features.audio.window_networks import convert
from hbaf.features.extractor import sample_rate_of
from hbaf.features.fetch import list_weights
from hbaf.features.registry import make_extractor
from hbaf.features.weights import WeightsError
from hbaf.verbs.encoders import models
from tests.features.conftest import openl3  # noqa: F401  # fixture

WIDTHS = (64, 64, 128, 128, 256, 256, 512, 512)
POOLED = (1, 3, 5)  # convolutions that a pooling layer comes after


def sound(seconds: float, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * 48_000)) / 48_000
    tones = sum(np.sin(2 * np.pi * pitch * time + pitch) for pitch in (180, 1210, 9_000, 20_500))
    return (0.1 * tones + 0.001 * random.standard_normal(len(time))).astype(np.float32)


@pytest.mark.parametrize(("samples", "count"), [(1, 1), (24_000, 1), (24_001, 2), (48_000, 6), (100_000, 17)])
def test_every_sample_is_in_a_window_and_the_first_in_the_middle_of_one(samples: int, count: int) -> None:
    signal = np.arange(1, samples + 1, dtype=np.float32)
    found = windows(signal)
    assert found.shape == (count, 48_000)
    for number in range(min(count, -(-samples // 4_800))):
        assert found[number][24_000] == signal[4_800 * number]
    assert found.max() == samples
    assert not found[0][:24_000].any()


def slaney(mel: np.ndarray) -> np.ndarray:
    """Hz: straight up to 15 mel, which is 1 kHz, then 27 steps to each factor of 6.4."""
    return np.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((mel - 15) / 27))


def decibels(window: np.ndarray) -> np.ndarray:
    """(256, 199) of one second: each frame begins at a multiple of 242 and reaches into silence at the end."""
    long = np.concatenate([window, np.zeros(2048)]).astype(np.float64)
    hann = get_window("hann", 2048)
    magnitude = np.stack([np.abs(np.fft.rfft(hann * long[at : at + 2048])) for at in range(0, 48_000, 242)], 1)
    edges = slaney(np.linspace(0, 15 + 27 * np.log(24) / np.log(6.4), 258))
    bins = np.arange(1025) * 48_000 / 2048
    bands = np.stack(
        [
            np.interp(bins, edges[at : at + 3], [0, 1, 0]) * 2 / (edges[at + 2] - edges[at])
            for at in range(256)
        ]
    )  # fmt: skip
    level = 10 * np.log10(np.maximum(bands @ magnitude, 1e-10))
    return np.maximum(level - level.max(), -80)


def test_the_front_end_is_that_of_the_package() -> None:
    half = np.pad(sound(0.5, 1), (0, 24_000))
    batch = np.stack([sound(1.0), half, np.zeros(48_000, np.float32)])
    found = log_mel(torch.from_numpy(batch))
    assert found.shape == (3, 1, 256, 199)
    assert found.dtype == torch.float32
    for ours, window in zip(found[:, 0].numpy(), batch, strict=True):
        np.testing.assert_allclose(ours, decibels(window), atol=1e-3)
    assert (found[1, 0, :, 100:] == -80).all()
    assert found[2].unique().tolist() == [0]


def layers(seed: int = 0) -> dict[str, dict[str, np.ndarray]]:
    """Made-up weights by the names and in the order and shapes that Keras gives them."""
    random = np.random.default_rng(seed)

    def normalisation(width: int) -> dict[str, np.ndarray]:
        return {
            "gamma": random.uniform(0.5, 1.5, width),
            "beta": random.normal(0, 0.2, width),
            "moving_mean": random.normal(-40 if width == 1 else 0, 1, width),
            "moving_variance": random.uniform(0.5, 2, width) * (400 if width == 1 else 1),
        }

    made = {"batch_normalization_1": normalisation(1)}
    for number, (before, width) in enumerate(zip((1, *WIDTHS), WIDTHS, strict=False)):
        last = number == len(WIDTHS) - 1
        made["audio_embedding_layer" if last else f"conv2d_{number + 1}"] = {
            "kernel": random.normal(0, np.sqrt(2 / (9 * before)), (3, 3, before, width)),
            "bias": random.normal(0, 0.1, width),
        }
        if not last:
            made[f"batch_normalization_{number + 2}"] = normalisation(width)
    return {name: {kind: value.astype(np.float32) for kind, value in part.items()} for name, part in made.items()}


def write(path: Path, made: dict[str, dict[str, np.ndarray]], *, front_end: bool = False) -> Path:
    """As Keras' `save_weights` does, with the layers that have no weights; `front_end` as before 0.4.0."""
    h5py: Any = pytest.importorskip("h5py", reason="the extra `openl3` is not installed")
    bank: dict[str, dict[str, np.ndarray]] = {"melspectrogram_1": {"freq2mel": np.ones((1025, 256), np.float32)}}
    named: dict[str, dict[str, np.ndarray]] = {"input_1": {}, **(bank if front_end else {})}
    for name, tensors in made.items():
        named[name] = tensors
        named[f"activation_after_{name}"] = {}
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in named]
        for name, tensors in named.items():
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}/{kind}:0".encode() for kind in tensors]
            for kind, value in tensors.items():
                group.create_dataset(f"{name}/{kind}:0", data=value)
    return path


def published(made: dict[str, dict[str, np.ndarray]], window: np.ndarray) -> np.ndarray:
    """(6144,): layer by layer with channels last, as Keras computes."""
    x = decibels(window)[:, :, None].astype(np.float32)  # (bands, frames, channels)
    number = 0
    for name, part in made.items():
        if name.startswith("batch"):
            x = (x - part["moving_mean"]) / np.sqrt(part["moving_variance"] + 1e-3) * part["gamma"] + part["beta"]
            if number:
                x = np.maximum(x, 0)
            if number - 1 in POOLED:
                x = x[: x.shape[0] // 2 * 2, : x.shape[1] // 2 * 2]
                x = np.maximum(np.maximum(x[::2, ::2], x[1::2, ::2]), np.maximum(x[::2, 1::2], x[1::2, 1::2]))
            continue
        high, wide = x.shape[:2]
        around = np.pad(x, ((1, 1), (1, 1), (0, 0)))
        x = part["bias"] + sum(
            around[row : row + high, column : column + wide] @ part["kernel"][row, column]
            for row in range(3)
            for column in range(3)
        )
        number += 1
    assert x.shape == (32, 24, 512)
    return np.stack([x[8 * i : 8 * i + 8, 8 * j : 8 * j + 8].max((0, 1)) for i in range(4) for j in range(3)]).ravel()


def test_published_weights_are_converted_once_and_computed_as_published(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(WeightsError, match="hbaf models convert openl3"):
        make_extractor("openl3")
    assert "openl3" in representations_of_the_paper()
    assert "hbaf models convert openl3" in what_lacks("openl3")
    assert any("hbaf models convert openl3" in line for line in list_weights())
    made = layers()
    path = write(tmp_path / "openl3_audio_mel256_music.h5", made)
    assert models("convert", "openl3", str(path)) == 0
    assert "--set features.audio=openl3" in capsys.readouterr().out
    assert what_lacks("openl3") == ""
    figure = paper_set(seeds=1, recipe="demo", audio="mfcc", text="minilm", representations=("vggish", "openl3"),
                       trials=0, workers=1)[-1]  # fmt: skip
    assert figure.asked.audio == ("openl3",)
    assert len(figure.skipped) == 1
    assert "hbaf models convert vggish" in figure.skipped[0]
    assert any(line.startswith("openl3 converted") and "CC-BY-4.0" in line for line in list_weights())
    extractor = make_extractor("openl3", device="cpu", batch_size=1)
    assert sample_rate_of(extractor) == 48_000
    signals = [sound(0.6), np.zeros(2_047, np.float32), sound(0.1, 1)]
    vectors = extractor.extract(signals)
    assert vectors.shape == (3, 6144)
    assert np.isnan(vectors[1]).all(), "shorter than a frame"
    for row, count in ((0, 2), (2, 1)):
        expected = [published(made, window) for window in windows(signals[row])]
        assert len(expected) == count
        scale = float(np.abs(expected).mean())
        np.testing.assert_allclose(vectors[row], np.mean(expected, 0), rtol=1e-3, atol=1e-3 * scale)


def test_older_and_packed_files_hold_the_same(tmp_path: Path) -> None:
    made = layers(1)
    plain = convert("openl3", write(tmp_path / "openl3_audio_mel256_env.h5", made)).revision
    older = write(tmp_path / "openl3_audio_mel256_env-v0_2_0.h5", made, front_end=True)
    assert convert("openl3", older).revision == plain
    packed = tmp_path / "openl3_audio_mel256_env-v0_4_0.h5.gz"
    packed.write_bytes(gzip.compress((tmp_path / "openl3_audio_mel256_env.h5").read_bytes(), 1))
    assert convert("openl3", packed).revision == plain
    assert convert("openl3", write(tmp_path / "openl3_audio_mel256_music.h5", layers(2))).revision != plain


@pytest.mark.parametrize("content", ["nothing", "no HDF5", "a layer less", "another shape", "an image network"])
def test_what_is_no_openl3_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "openl3_audio_mel256_music.h5"
    made = layers()
    if content == "no HDF5":
        path.write_bytes(b"\x80\x04cposix\nsystem\n(S'true'\ntR.")
    elif content == "a layer less":
        write(path, {name: part for name, part in made.items() if name != "batch_normalization_8"})
    elif content == "another shape":
        made["conv2d_3"]["kernel"] = made["conv2d_3"]["kernel"][:, :, :32]
        write(path, made)
    elif content == "an image network":
        made["batch_normalization_1"] = {kind: np.ones(3, np.float32) for kind in made["batch_normalization_1"]}
        write(path, made)
    with pytest.raises(WeightsError, match=r"no such file|not the weights of OpenL3"):
        convert("openl3", path)
    assert what_lacks("openl3")


def test_weights_of_another_spectrogram_and_a_missing_library_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write(tmp_path / "openl3_audio_mel128_music.h5", layers())
    with pytest.raises(WeightsError, match="mel256 is not in its name"):
        convert("openl3", other)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(WeightsError, match=r"pip install 'hbaf\[openl3\]'"):
        convert("openl3", other.rename(tmp_path / "openl3_audio_mel256_music.h5"))


def test_weights_of_another_network_are_refused(openl3: Path) -> None:  # noqa: F811
    with pytest.raises(WeightsError, match="not the weights of VGGish"):
        make_extractor("vggish", model=str(openl3), device="cpu").extract([sound(0.5)])
