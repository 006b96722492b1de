"""OpenL3 (Cramer et al., ICASSP 2019): one second of log-mel every tenth through a small VGG, 6144 numbers each.

The variant is the default of the package `openl3` (0.4.2): 256 mel bands and 6144 numbers; whether the network was
trained on videos of music (also the default) or of surroundings (`env`) is a matter of the weights. N windows,
S = 48000 samples, F = 256 bands, T = 199 frames.
"""

from pathlib import Path
from typing import Any

import numpy as np

from hbaf.features.weights import WeightsError

SAMPLE_RATE = 48_000  # Hz
SECOND, STEP = 48_000, 4_800  # samples of a window, and from one to the next
FFT, HOP = 2048, 242  # samples
BANDS = 256  # up to 24 kHz
FRAMES = -(-SECOND // HOP)  # of a window; the last ones reach into silence
QUIETEST, RANGE = 1e-10, 80.0  # magnitude, dB below the loudest of the window
DIM = 6144
LAYERS = (64, 64, "pool", 128, 128, "pool", 256, 256, "pool", 512, 512)
POOL = 8  # of the last layer's bands and frames, which leaves 4 x 3
EPSILON = 1e-3  # of Keras' batch normalisation
REPRESENTATION = "mel256"

# Tensors of a layer: Keras' name -> torch's.
CONVOLUTION = {"kernel": "weight", "bias": "bias"}
NORMALISATION = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


def windows(signal: np.ndarray) -> np.ndarray:
    """(N, S), N >= 1, of (samples,): the first one's middle is the first sample, and each sample is in one."""
    before = SECOND // 2
    steps = max(0, -(-(before + len(signal) - SECOND) // STEP))
    padded = np.pad(signal, (before, SECOND + steps * STEP - before - len(signal)))
    return np.lib.stride_tricks.sliding_window_view(padded, SECOND)[::STEP]


def log_mel(samples: Any) -> Any:
    """(N, S) -> (N, 1, F, T) float32, 10 log10 of the magnitude (not the power) below the window's loudest: -80..0.

    Computed in float64: 80 dB of magnitude are more than float32 holds.
    """
    import torch

    padded = torch.nn.functional.pad(samples.double(), (0, (FRAMES - 1) * HOP + FFT - SECOND))
    hann = torch.hann_window(FFT, dtype=torch.float64, device=samples.device)
    spectrum = torch.stft(padded, FFT, HOP, window=hann, center=False, return_complex=True).abs()
    bands = torch.from_numpy(mel_bands()).to(samples.device)
    decibels = 10 * torch.log10((bands.T @ spectrum).clamp_min(QUIETEST))
    return (decibels - decibels.amax((1, 2), keepdim=True)).clamp_min(-RANGE).float().unsqueeze(1)


def mel_bands() -> np.ndarray:
    """(1025, F) Slaney's triangles, of equal area."""
    from transformers.audio_utils import mel_filter_bank

    bands: np.ndarray = mel_filter_bank(
        FFT // 2 + 1, BANDS, 0.0, SAMPLE_RATE / 2, SAMPLE_RATE, norm="slaney", mel_scale="slaney"
    )
    return bands


def make_network() -> Any:
    """The network with fresh weights; (N, S) samples -> (N, 6144)."""
    from torch import nn

    layers: list[nn.Module] = [nn.BatchNorm2d(1, EPSILON)]
    channels = 1
    for layer in LAYERS:
        if layer == "pool":
            layers.append(nn.MaxPool2d(2))
            continue
        layers += [nn.Conv2d(channels, int(layer), 3, padding=1), nn.BatchNorm2d(int(layer), EPSILON), nn.ReLU()]
        channels = int(layer)

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(*layers[:-2], nn.MaxPool2d(POOL))  # the last convolution is the embedding

        def forward(self, samples: Any) -> Any:
            # Flattened as Keras does: band, frame, channel.
            return self.layers(log_mel(samples)).permute(0, 2, 3, 1).flatten(1)

    return Network()


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The network's tensors from Keras' HDF5 `openl3_audio_mel256_music.h5`, `..._env.h5`, or these as `.gz`.

    Layers go by their order, since Keras numbers their names anew in each process; files before 0.4.0 hold the front
    end too, which is left out. What a strange file raises is of any kind.

    Raises:
        WeightsError: the file's name is of another representation, or h5py is not installed.
    """
    import gzip
    from io import BytesIO

    import torch
    from torch import nn

    if REPRESENTATION not in path.name:
        raise WeightsError(
            f"{path}: {REPRESENTATION} is not in its name, and other spectrograms' weights have the same shapes. "
            "The published name is openl3_audio_mel256_music.h5 (or _env.h5, or .gz)."
        )
    try:
        import h5py
    except ImportError as error:
        raise WeightsError("reading OpenL3's HDF5 needs the library, once: pip install 'hbaf[openl3]'.") from error
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    network = make_network()
    state = network.state_dict()
    ours = [(name, part) for name, part in network.named_modules() if isinstance(part, nn.Conv2d | nn.BatchNorm2d)]
    with h5py.File(BytesIO(content), "r") as file:
        layers = [file[name] for name in file.attrs["layer_names"] if b"spectrogram" not in _bytes(name)]
        theirs = [layer for layer in layers if len(layer.attrs["weight_names"])]
        if len(theirs) != len(ours):
            raise ValueError(f"{len(theirs)} layers with weights, not {len(ours)}")
        for (name, part), layer in zip(ours, theirs, strict=True):
            tensors = {_kind(weight): torch.from_numpy(layer[weight][()]) for weight in layer.attrs["weight_names"]}
            for kind, called in (CONVOLUTION if isinstance(part, nn.Conv2d) else NORMALISATION).items():
                # Keras has (height, width, in, out), torch (out, in, height, width).
                tensor = tensors[kind].permute(3, 2, 0, 1) if kind == "kernel" else tensors[kind]
                state[f"{name}.{called}"] = tensor.float()
    return state


def _bytes(name: bytes | str) -> bytes:
    return name.encode() if isinstance(name, str) else name


def _kind(weight: bytes | str) -> str:
    """`conv2d_1/kernel:0` -> `kernel`."""
    return _bytes(weight).decode().rpartition("/")[2].removesuffix(":0")
