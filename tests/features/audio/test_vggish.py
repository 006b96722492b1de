"""VGGish: its front end beside transformers' own, its network beside one written from the names of its tensors."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import conv2d, linear, max_pool2d
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

from hbaf.comparison.reproduce import what_lacks
from hbaf.features.audio.vggish import SHORTEST, log_mel, windows
from hbaf.features.audio.window_networks import convert
from hbaf.features.registry import ExtractorError, make_extractor
from hbaf.features.weights import WeightsError
from hbaf.verbs.encoders import models
from tests.features.conftest import vggish  # noqa: F401  # fixture


def speech(seconds: float, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    time = np.arange(int(seconds * 16_000)) / 16_000
    tones = sum(np.sin(2 * np.pi * pitch * time + pitch) for pitch in (180, 440, 1210, 3300))
    return (0.1 * tones + 0.02 * random.standard_normal(len(time))).astype(np.float32)


def test_the_front_end_is_that_of_audioset() -> None:
    signal = speech(2.3)
    bands = mel_filter_bank(
        257, 64, 125.0, 7500.0, 16_000, norm=None, mel_scale="kaldi", triangularize_in_mel_space=True
    )
    bands[0] = 0  # AudioSet leaves the constant part out
    theirs = spectrogram(
        signal.astype(np.float64), window_function(400, "hann", periodic=True), 400, 160, fft_length=512, power=1.0,
        center=False, mel_filters=bands, mel_floor=0.0, log_mel=None,
    )  # fmt: skip
    expected = np.log(theirs.T + 0.01)
    ours = log_mel_windows(signal)
    assert ours.shape == (2, 96, 64)
    np.testing.assert_allclose(ours.reshape(-1, 64), expected[:192], atol=1e-4)


def log_mel_windows(signal: np.ndarray) -> np.ndarray:
    """(N, 96, 64)"""
    return log_mel(torch.from_numpy(windows(signal).copy()))[:, 0].numpy()


def published(state: dict[str, torch.Tensor], windows: np.ndarray) -> np.ndarray:
    """Layer by layer, by the numbers in the names; flattened as time, band, channel."""
    x = torch.from_numpy(windows).unsqueeze(1)
    for number, pools in ((0, True), (3, True), (6, False), (8, True), (11, False), (13, True)):
        x = conv2d(x, state[f"features.{number}.weight"], state[f"features.{number}.bias"], padding=1).relu()
        x = max_pool2d(x, 2) if pools else x
    x = torch.stack([x[:, :, time, band] for time in range(6) for band in range(4)], 1).reshape(len(x), -1)
    for number in (0, 2, 4):
        x = linear(x, state[f"embeddings.{number}.weight"], state[f"embeddings.{number}.bias"]).relu()
    return x.numpy()


def test_an_utterance_is_the_mean_of_its_windows(vggish: Path) -> None:  # noqa: F811
    from safetensors.torch import load_file

    state = load_file(vggish / "model.safetensors")
    signals = [speech(2.3), speech(0.4, 1), np.zeros(300, np.float32), speech(1.0, 2)]
    vectors = make_extractor("vggish", model=str(vggish), device="cpu", batch_size=2).extract(signals)
    assert np.isnan(vectors[2]).all(), "shorter than 25 ms"
    for at in (0, 1, 3):
        expected = published(state, log_mel_windows(signals[at])).mean(0)
        np.testing.assert_allclose(vectors[at], expected, rtol=1e-4, atol=1e-5)
    padded = np.pad(signals[1], (0, SHORTEST - len(signals[1])))
    np.testing.assert_array_equal(log_mel_windows(signals[1]), log_mel_windows(padded))


def test_published_weights_are_converted_once_and_found_by_name(
    vggish: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from safetensors.torch import load_file

    with pytest.raises(WeightsError, match="hbaf models convert vggish"):
        make_extractor("vggish")
    assert "hbaf models convert vggish" in what_lacks("vggish")
    state = load_file(vggish / "model.safetensors")
    torch.save({**state, "pproc.pca_means": torch.zeros(128, 1)}, tmp_path / "vggish-10086976.pth")
    assert models("convert", "vggish", str(tmp_path / "vggish-10086976.pth")) == 0
    assert "--set features.audio=vggish" in capsys.readouterr().out
    assert what_lacks("vggish") == ""
    signal = [speech(1.2)]
    by_folder = make_extractor("vggish", model=str(vggish), device="cpu").extract(signal)
    np.testing.assert_array_equal(make_extractor("vggish", device="cpu").extract(signal), by_folder)


@pytest.mark.parametrize("content", ["nothing", "other tensors", "no tensors"])
def test_what_is_no_vggish_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "weights.pth"
    if content == "other tensors":
        torch.save({"features.0.weight": torch.zeros(3)}, path)
    elif content == "no tensors":
        path.write_bytes(b"\x80\x04cposix\nsystem\n(S'true'\ntR.")
    with pytest.raises(WeightsError, match=r"no such file|not the weights of VGGish"):
        convert("vggish", path)
    assert what_lacks("vggish")
    with pytest.raises(WeightsError, match="say what and which file"):
        models("convert", "wav2vec2", str(path))
    with pytest.raises(ExtractorError):
        make_extractor("vggish", layer=3)
