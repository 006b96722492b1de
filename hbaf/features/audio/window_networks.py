"""Networks of fixed windows that others published and that are written out here: VGGish and OpenL3.

Nobody publishes their weights as a folder that `locate_weights` knows. `convert` makes one in the home, once, from the
published file; a folder of one's own or a hub id with the same two files does as well. N windows, S samples of each.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hbaf.features.audio import openl3, vggish
from hbaf.features.text.language_models import chosen_device
from hbaf.features.weights import Weights, WeightsError, locate_weights
from hbaf.home import home_folder, published, write_atomically


@dataclass(frozen=True)
class PublishedNetwork:
    """What differs between them.

    Attributes:
        title: as its authors write it.
        version: raised when the golden vectors move.
        dim: numbers per window.
        sample_rate: Hz.
        shortest: samples, one frame of the spectrogram; there is no vector for less.
        at_once: windows that are computed together at most, which bounds the memory whatever batch_size says.
        licence: of the weights; each allows commercial use.
        checkpoint: name of the published file.
        windows: (samples,) -> (N, S), N >= 1.
        make: the network with fresh weights, (N, S) -> (N, dim).
        read: its tensors from the published file.
    """

    title: str
    version: int
    dim: int
    sample_rate: int
    shortest: int
    at_once: int
    licence: str
    checkpoint: str
    windows: Callable[[np.ndarray], np.ndarray]
    make: Callable[[], Any]
    read: Callable[[Path], dict[str, Any]]


NETWORKS = {
    "vggish": PublishedNetwork(
        title="VGGish",
        version=1,
        dim=vggish.DIM,
        sample_rate=vggish.SAMPLE_RATE,
        shortest=vggish.WINDOW,
        at_once=256,
        licence="Apache-2.0",
        checkpoint="vggish-10086976.pth",
        windows=vggish.windows,
        make=vggish.make_network,
        read=vggish.read_checkpoint,
    ),
    "openl3": PublishedNetwork(
        title="OpenL3",
        version=1,
        dim=openl3.DIM,
        sample_rate=openl3.SAMPLE_RATE,
        shortest=openl3.FFT,
        at_once=16,
        licence="CC-BY-4.0",
        checkpoint="openl3_audio_mel256_music.h5",
        windows=openl3.windows,
        make=openl3.make_network,
        read=openl3.read_checkpoint,
    ),
}


class WindowNetwork:
    """One vector per utterance: the mean over its windows; a shorter one is one window, with silence after it.

    Args:
        name: a name of `NETWORKS`.
        model: folder with the weights, or a hub id; default: what `hbaf models convert` made in the home.
        revision: commit, tag or branch of a hub id.
        batch_size: windows that are computed at once; changes nothing but the speed.
        device: "auto" takes a GPU where there is one.
        download: whether the hub may be asked; default: the variable HBAF_DOWNLOAD.

    Raises:
        WeightsError: the weights are not here, or are another network's.
    """

    modality: Literal["audio", "text"] = "audio"
    in_processes = False
    selected = False
    commercial = True

    def __init__(
        self,
        name: str = "vggish",
        *,
        model: str | None = None,
        revision: str = "main",
        batch_size: int = 64,
        device: str = "auto",
        download: bool | None = None,
    ) -> None:
        if model is None and what_lacks(name):
            raise WeightsError(what_lacks(name))
        self.name, self.network = name, NETWORKS[name]
        self.dim, self.sample_rate, self.licence = self.network.dim, self.network.sample_rate, self.network.licence
        self.weights = locate_weights(model or str(home_weights(name)), revision, download)
        self.batch_size, self.device = batch_size, device

    def identity(self) -> dict[str, object]:
        """What the vectors depend on: the weights."""
        return {
            "name": self.name,
            "version": self.network.version,
            "model": self.weights.model,
            "revision": self.weights.revision,
        }

    def extract(self, items: Sequence[np.ndarray] | Sequence[str]) -> np.ndarray:
        """(items, dim) float32; NaN rows for signals under one frame of the spectrogram or not finite."""
        import torch

        signals = [np.asarray(item, np.float32) for item in items]
        heard = [len(signal) >= self.network.shortest and bool(np.isfinite(signal).all()) for signal in signals]
        windows = [
            (row, window) for row, signal in enumerate(signals) if heard[row] for window in self.network.windows(signal)
        ]
        sums = np.zeros((len(items), self.dim), np.float64)
        size, device = min(self.batch_size, self.network.at_once), chosen_device(self.device)
        for start in range(0, len(windows), size):
            rows, batch = zip(*windows[start : start + size], strict=True)
            with torch.inference_mode():
                found = self._network(torch.from_numpy(np.stack(batch)).to(device))
            np.add.at(sums, list(rows), found.double().cpu().numpy())
        counts = np.bincount([row for row, _ in windows], minlength=len(items))
        vectors = np.full((len(items), self.dim), np.nan, np.float32)
        vectors[heard] = sums[heard] / counts[heard, None]
        return vectors

    @cached_property
    def _network(self) -> Any:
        from safetensors.torch import load_file

        network = self.network.make()
        try:
            network.load_state_dict(load_file(self.weights.folder / "model.safetensors"))
        except (RuntimeError, OSError) as error:
            raise WeightsError(
                f"{self.weights.folder}: not the weights of {self.network.title} ({_first(error)})."
            ) from error
        return network.eval().to(chosen_device(self.device))


def home_weights(name: str) -> Path:
    """The folder in which the home keeps a network's converted weights."""
    return home_folder() / "models" / name


def what_lacks(name: str) -> str:
    """What to do where a network's weights were not converted in this home; "" where they were."""
    if (home_weights(name) / "config.json").is_file():
        return ""
    return (
        f"{name}: its weights are not here. Convert the published ones once: `hbaf models convert {name} "
        f"{NETWORKS[name].checkpoint}` (docs/representations.md says where they are)."
    )


def convert(name: str, checkpoint: Path) -> Weights:
    """Keeps the weights of a published file in the home, as safetensors.

    Raises:
        WeightsError: it is not there, or holds other weights.
    """
    from safetensors.torch import save_file

    if not checkpoint.is_file():
        raise WeightsError(f"{checkpoint}: no such file. docs/representations.md says where the published one is.")
    network = NETWORKS[name]
    try:
        state = network.read(checkpoint)
        network.make().load_state_dict(state)
    except WeightsError:
        raise
    except Exception as error:  # whatever a damaged or strange file raises
        raise WeightsError(
            f"{checkpoint}: not the weights of {network.title} ({_first(error)}). Wanted is what is in the published "
            f"{network.checkpoint}."
        ) from error
    folder = home_weights(name)
    folder.mkdir(parents=True, exist_ok=True)
    with published(folder / "model.safetensors") as beside:
        save_file({called: tensor.contiguous() for called, tensor in state.items()}, beside)
    write_atomically(folder / "config.json", json.dumps({"model_type": name}).encode())
    return locate_weights(str(folder))


def _first(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
