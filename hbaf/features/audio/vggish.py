"""VGGish (Hershey et al., ICASSP 2017): windows of .96 s of log-mel through a small VGG, 128 numbers each, averaged.

Front end and network follow AudioSet's `vggish_input.py` and `vggish_slim.py`; the last ReLU is kept and nothing is
whitened or quantised after it. N windows, T = 96 frames, F = 64 bands.
"""

import json
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hbaf.features.extractor import SAMPLE_RATE
from hbaf.features.text.language_models import chosen_device
from hbaf.features.weights import Weights, WeightsError, locate_weights
from hbaf.home import home_folder, published, write_atomically

VERSION = 1  # raised when the golden vectors move
WINDOW, HOP, FFT = 400, 160, 512  # samples: 25 ms every 10 ms
BANDS, LOWEST, HIGHEST = 64, 125.0, 7500.0  # Hz
FRAMES = 96  # of a window; the next one begins where it ends
FLOOR = 0.01  # added before the logarithm
SHORTEST = WINDOW + (FRAMES - 1) * HOP  # samples of one window
DIM = 128
LAYERS = (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool")
INNER = 4096
LICENCE = "Apache-2.0"


class VGGish:
    """One vector per utterance: the mean over its windows; a shorter one is one window, with silence after it.

    Args:
        model: folder with the weights, or a hub id; default: what `hbaf models convert vggish` made in the home.
        revision: commit, tag or branch of a hub id.
        batch_size: windows that are computed at once; changes nothing but the speed.
        device: "auto" takes a GPU where there is one.
        download: whether the hub may be asked; default: the variable HBAF_DOWNLOAD.

    Raises:
        WeightsError: the weights are not here, or are not VGGish's.
    """

    name = "vggish"
    modality: Literal["audio", "text"] = "audio"
    dim = DIM
    in_processes = False
    selected = False
    licence = LICENCE
    commercial = True

    def __init__(
        self,
        *,
        model: str | None = None,
        revision: str = "main",
        batch_size: int = 64,
        device: str = "auto",
        download: bool | None = None,
    ) -> None:
        if model is None and not is_here():
            raise WeightsError(
                "vggish: its weights are not here. Convert the published ones once: `hbaf models convert vggish "
                "vggish-10086976.pth` (docs/representations.md says where they are)."
            )
        self.weights = locate_weights(model or str(home_weights()), revision, download)
        self.batch_size, self.device = batch_size, device

    def identity(self) -> dict[str, object]:
        """What the vectors depend on: the weights."""
        return {"name": self.name, "version": VERSION, "model": self.weights.model, "revision": self.weights.revision}

    def extract(self, items: Sequence[np.ndarray] | Sequence[str]) -> np.ndarray:
        """(items, 128) float32, not negative; NaN rows for signals shorter than 25 ms or not finite."""
        import torch

        signals = [np.asarray(item, np.float32) for item in items]
        heard = [len(signal) >= WINDOW and bool(np.isfinite(signal).all()) for signal in signals]
        windows = [log_mel_windows(signal) for signal, is_heard in zip(signals, heard, strict=True) if is_heard]
        vectors = np.full((len(items), DIM), np.nan, np.float32)
        if not windows:
            return vectors
        device = chosen_device(self.device)
        stacked = torch.from_numpy(np.concatenate(windows)).unsqueeze(1)  # (N, 1, T, F)
        with torch.inference_mode():
            parts = [self._network(part.to(device)).cpu() for part in stacked.split(self.batch_size)]
        ends = np.cumsum([len(one) for one in windows])[:-1]
        vectors[heard] = [part.mean(0) for part in np.split(torch.cat(parts).numpy(), ends)]
        return vectors

    @cached_property
    def _network(self) -> Any:
        from safetensors.torch import load_file

        network = make_network()
        try:
            network.load_state_dict(load_file(self.weights.folder / "model.safetensors"))
        except (RuntimeError, OSError) as error:
            raise WeightsError(f"{self.weights.folder}: not the weights of VGGish ({_first(error)}).") from error
        return network.eval().to(chosen_device(self.device))


def log_mel_windows(signal: np.ndarray) -> np.ndarray:
    """(N, T, F) float32, N >= 1, of a signal at 16 kHz; what is left after the last whole window is not heard."""
    if len(signal) < SHORTEST:
        signal = np.pad(signal, (0, SHORTEST - len(signal)))
    frames = np.lib.stride_tricks.sliding_window_view(signal.astype(np.float64), WINDOW)[::HOP]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    spectrum = np.abs(np.fft.rfft(frames * hann, FFT))
    mel = np.log(spectrum @ mel_bands() + FLOOR).astype(np.float32)
    whole = len(mel) // FRAMES
    return mel[: whole * FRAMES].reshape(whole, FRAMES, BANDS)


def mel_bands() -> np.ndarray:
    """(257, F) triangles, whose sides are straight over mels (HTK's); the constant part of a signal is in none."""

    def mel(hertz: np.ndarray) -> np.ndarray:
        return 1127.0 * np.log1p(hertz / 700.0)

    bins = mel(np.linspace(0.0, SAMPLE_RATE / 2, FFT // 2 + 1))[:, None]
    first, last = mel(np.array([LOWEST, HIGHEST]))
    edges = np.linspace(first, last, BANDS + 2)
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    bands = np.maximum(0.0, np.minimum((bins - lower) / (centre - lower), (upper - bins) / (upper - centre)))
    bands[0] = 0.0
    return bands


def make_network() -> Any:
    """The network with fresh weights; (N, 1, T, F) -> (N, 128)."""
    from torch import nn

    features: list[nn.Module] = []
    channels = 1
    for layer in LAYERS:
        if layer == "pool":
            features.append(nn.MaxPool2d(2))
            continue
        features += [nn.Conv2d(channels, int(layer), 3, padding=1), nn.ReLU()]
        channels = int(layer)
    flat = channels * (FRAMES // 16) * (BANDS // 16)
    sizes = (flat, INNER, INNER, DIM)
    embeddings = [layer for size in pairwise(sizes) for layer in (nn.Linear(*size), nn.ReLU())]

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(*features)
            self.embeddings = nn.Sequential(*embeddings)

        def forward(self, windows: Any) -> Any:
            # Flattened as the published weights have it: time, band, channel.
            return self.embeddings(self.features(windows).permute(0, 2, 3, 1).flatten(1))

    return Network()


def home_weights() -> Path:
    """The folder in which the home keeps converted weights."""
    return home_folder() / "models" / "vggish"


def is_here() -> bool:
    """Whether weights were converted in this home."""
    return (home_weights() / "config.json").is_file()


def convert(checkpoint: Path) -> Weights:
    """Keeps the weights of a published state dict in the home: `vggish-10086976.pth` of torchvggish, or safetensors.

    The file is read as numbers alone: nothing in it can run.

    Raises:
        WeightsError: it is not there, or holds other weights.
    """
    from safetensors.torch import load_file, save_file

    if not checkpoint.is_file():
        raise WeightsError(f"{checkpoint}: no such file. docs/representations.md says where the published one is.")
    import torch

    try:
        if checkpoint.suffix == ".safetensors":
            state = load_file(checkpoint)
        else:
            state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        wanted = make_network().state_dict()
        state = {name: state[name].float().contiguous() for name in wanted}
        make_network().load_state_dict(state)
    except Exception as error:  # whatever a damaged or strange file raises
        raise WeightsError(
            f"{checkpoint}: not a state dict of VGGish ({_first(error)}). Wanted are the tensors of torchvggish's "
            "`vggish-10086976.pth`: features.0.weight ... embeddings.4.bias."
        ) from error
    folder = home_weights()
    folder.mkdir(parents=True, exist_ok=True)
    with published(folder / "model.safetensors") as beside:
        save_file(state, beside)
    write_atomically(folder / "config.json", json.dumps({"model_type": "vggish"}).encode())
    return locate_weights(str(folder))


def _first(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
