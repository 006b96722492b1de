"""VGGish (Hershey et al., ICASSP 2017): windows of .96 s of log-mel through a small VGG, 128 numbers each.

Front end and network follow AudioSet's `vggish_input.py` and `vggish_slim.py`; the last ReLU is kept and nothing is
whitened or quantised after it. N windows, S = 15600 samples, T = 96 frames, F = 64 bands.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

SAMPLE_RATE = 16_000  # Hz
WINDOW, HOP, FFT = 400, 160, 512  # samples: 25 ms every 10 ms
BANDS, LOWEST, HIGHEST = 64, 125.0, 7500.0  # Hz
FRAMES = 96  # of a window; the next one begins where it ends
FLOOR = 0.01  # added before the logarithm
SHORTEST = WINDOW + (FRAMES - 1) * HOP  # samples of one window
DIM = 128
LAYERS = (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool")
INNER = 4096


def windows(signal: np.ndarray) -> np.ndarray:
    """(N, S), N >= 1, of (samples,); what is left after the last whole window is not heard."""
    if len(signal) < SHORTEST:
        signal = np.pad(signal, (0, SHORTEST - len(signal)))
    return np.lib.stride_tricks.sliding_window_view(signal, SHORTEST)[:: FRAMES * HOP]


def log_mel(samples: Any) -> Any:
    """(N, S) -> (N, 1, T, F) float32; computed in float64."""
    import torch

    hann = torch.hann_window(WINDOW, dtype=torch.float64, device=samples.device)
    spectrum = torch.fft.rfft(samples.double().unfold(1, WINDOW, HOP) * hann, FFT).abs()
    bands = torch.from_numpy(mel_bands()).to(samples.device)
    return torch.log(spectrum @ bands + FLOOR).float().unsqueeze(1)


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
    """The network with fresh weights; (N, S) samples -> (N, 128), not negative."""
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

        def forward(self, samples: Any) -> Any:
            # Flattened as the published weights have it: time, band, channel.
            return self.embeddings(self.features(log_mel(samples)).permute(0, 2, 3, 1).flatten(1))

    return Network()


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The network's tensors from torchvggish's `vggish-10086976.pth`, or the same in safetensors.

    The file is read as numbers alone: nothing in it can run. What a strange file raises is of any kind.
    """
    import torch
    from safetensors.torch import load_file

    safe = path.suffix == ".safetensors"
    state = load_file(path) if safe else torch.load(path, map_location="cpu", weights_only=True)
    return {name: state[name].float() for name in make_network().state_dict()}
