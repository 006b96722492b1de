"""Speech models of the wav2vec 2.0 family: one hidden layer, averaged over its frames.

Every model on the Hugging Face hub that reads a raw waveform through a convolutional front end goes: wav2vec 2.0,
data2vec, HuBERT, WavLM, UniSpeech and what was fine-tuned from them. B signals in a batch, S samples (padded), T frames
(20 ms each), D width of the model.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from hbaf.features.extractor import SAMPLE_RATE
from hbaf.features.text.language_models import chosen_device, half_precision, masked_mean, quiet_loading, read_config
from hbaf.features.transformers_internals import frame_counts
from hbaf.features.weights import Weights, WeightsError, locate_weights

VERSION = 1  # raised when the golden vectors move
BATCH_SECONDS = 160  # audio in one batch, padding included: bounds the memory, whatever batch_size says

# Padding changes nothing in these, given the mask. Elsewhere it leaks: through the group norm over time of the
# front end (wav2vec 2.0 and HuBERT base), or through data2vec's stack of positional convolutions.
PADDING_IS_SAFE = ("wav2vec2", "hubert", "wavlm", "unispeech", "unispeech-sat")


@dataclass(frozen=True)
class Speech:
    """A known speech model: hub id, commit or branch, and licence of the weights."""

    model: str
    revision: str
    licence: str


SPEECH = {
    "wav2vec2": Speech("facebook/wav2vec2-base-960h", "22aad52d435eb6dbaf354bdad9b0da84ce7d6156", "Apache-2.0"),
    "data2vec-audio": Speech("facebook/data2vec-audio-base-960h", "main", "Apache-2.0"),
}


class SpeechModel:
    """One vector per utterance: the masked mean over the frames of one layer.

    Args:
        name: a name of `SPEECH`, or any other name together with `model`.
        model: hub id or folder, in place of the known one.
        revision: of the hub id; default: the known one, "main" for a model that is not known here.
        layer: of the hidden states: 0 is the input of the first Transformer layer, -1 the output of the last. Emotion
            is often easier to read from the middle than from the end.
        chunk_seconds: longer audio is cut into equal parts no longer than this; the mean is over all their frames.
        batch_size: signals that are computed at once; changes nothing but the speed.
        device: "auto" takes a GPU where there is one, in bfloat16; the CPU computes in float32.
        download: whether the hub may be asked; default: the variable HBAF_DOWNLOAD.

    Raises:
        WeightsError: the weights are not here, or are no model of this family.
    """

    modality: Literal["audio", "text"] = "audio"
    in_processes = False
    selected = False
    licence = "of the weights: see the model's card"  # of the kind; an object knows its own
    commercial = False

    def __init__(
        self,
        name: str = "wav2vec2",
        *,
        model: str | None = None,
        revision: str | None = None,
        layer: int = -1,
        chunk_seconds: float = 20.0,
        batch_size: int = 64,
        device: str = "auto",
        download: bool | None = None,
    ) -> None:
        known = SPEECH.get(name)
        if model is None and known is None:
            raise WeightsError(
                f"{name}: needs a model. Name it behind a colon, `{name}:microsoft/wavlm-base-plus` or a folder."
            )
        self.name = name
        self.licence = known.licence if known and model is None else "unknown: see the model's card"
        self.commercial = known is not None and model is None
        chosen = model or (known.model if known else "")
        self.weights = locate_weights(chosen, revision or (known.revision if known and not model else "main"), download)
        config = read_config(self.weights)
        self.dim, layers, self.shortest = _checked_config(self.weights, config)
        if not -layers - 1 <= layer <= layers:
            raise ValueError(f"{name}: layer must be {-layers - 1} to {layers}, not {layer}")
        if chunk_seconds * SAMPLE_RATE < 2 * self.shortest:
            raise ValueError(f"{name}: chunk_seconds must hold {2 * self.shortest} samples, not {chunk_seconds} s")
        self.layer = layer % (layers + 1)
        self.chunk_seconds = chunk_seconds
        self.batch_size, self.device = batch_size, device

    def identity(self) -> dict[str, object]:
        """What the vectors depend on: weights, layer and length of the parts; neither batch size nor device."""
        return {
            "name": self.name,
            "version": VERSION,
            "model": self.weights.model,
            "revision": self.weights.revision,
            "layer": self.layer,
            "chunk_seconds": self.chunk_seconds,
        }

    def extract(self, items: Sequence[np.ndarray] | Sequence[str]) -> np.ndarray:
        """(items, dim) float32; NaN rows for signals shorter than the front end (400 samples) or not finite."""
        sums = np.zeros((len(items), self.dim), np.float64)
        frames = np.zeros(len(items), np.int64)
        pieces = [
            (row, piece)
            for row, item in enumerate(items)
            for piece in self.pieces(np.asarray(item, np.float32))
        ]  # fmt: skip
        for batch in _length_batches([len(piece) for _, piece in pieces], self.batch_size, exact=not self.pads):
            means, lengths = self.compute([pieces[place][1] for place in batch])
            for place, mean, length in zip(batch, means, lengths, strict=True):
                sums[pieces[place][0]] += mean * length
                frames[pieces[place][0]] += length
        vectors = np.full((len(items), self.dim), np.nan, np.float32)
        heard = frames > 0
        vectors[heard] = sums[heard] / frames[heard, None]
        return vectors

    @property
    def pads(self) -> bool:
        """Whether signals of several lengths may share a batch."""
        config = read_config(self.weights)
        masks = bool(self._preprocessor.get("return_attention_mask", False))
        return masks and config.get("model_type") in PADDING_IS_SAFE and config.get("feat_extract_norm") == "layer"

    def pieces(self, signal: np.ndarray) -> list[np.ndarray]:
        """The signal in parts that the model takes, normalised as a whole; none of one that cannot be computed."""
        if len(signal) < self.shortest or not np.isfinite(signal).all():
            return []
        if self._preprocessor.get("do_normalize", True):
            centred = signal - signal.mean(dtype=np.float64)
            signal = (centred / np.sqrt(np.mean(np.square(centred)) + 1e-7)).astype(np.float32)
        return np.array_split(signal, -(-len(signal) // int(self.chunk_seconds * SAMPLE_RATE)))

    def compute(self, signals: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """(B, D) float32 means and (B,) frames that each was taken over."""
        import torch

        device = chosen_device(self.device)
        samples, mask = padded(signals)  # (B, S)
        with torch.inference_mode(), half_precision(device):
            hidden, frame_mask = frames_of(self._model, samples.to(device), mask.to(device) if self.pads else None)
            means = masked_mean(hidden[self.layer].float(), frame_mask)  # (B, T, D) -> (B, D)
        return means.cpu().numpy(), frame_mask.sum(dim=1).cpu().numpy()

    @cached_property
    def _preprocessor(self) -> dict[str, Any]:
        return read_preprocessor(self.weights)

    @cached_property
    def _model(self) -> Any:
        return load_speech_model(self.weights).eval().to(chosen_device(self.device))


def load_speech_model(weights: Weights) -> Any:
    """The bare model in float32, on the CPU."""
    import torch
    from transformers import AutoModel

    with quiet_loading():
        return AutoModel.from_pretrained(
            weights.folder, local_files_only=True, dtype=torch.float32, trust_remote_code=False
        )


def frames_of(model: Any, samples: Any, mask: Any | None) -> tuple[Any, Any]:
    """(B, S) samples and mask -> hidden states, layers + 1 of (B, T, D), and the mask of frames (B, T)."""
    import torch

    hidden = model(samples, attention_mask=mask, output_hidden_states=True).hidden_states
    frames = hidden[0].shape[1]
    if mask is None:
        return hidden, torch.ones(len(samples), frames, device=samples.device)
    lengths = frame_counts(model, mask.sum(dim=1))
    return hidden, torch.arange(frames, device=samples.device)[None] < lengths[:, None]


def padded(signals: Sequence[np.ndarray]) -> tuple[Any, Any]:
    """(B, S) float32 samples, zero behind the end, and int64 mask: 1 on samples."""
    import torch

    samples = torch.zeros(len(signals), max(map(len, signals)))
    mask = torch.zeros(samples.shape, dtype=torch.int64)
    for row, signal in enumerate(signals):
        samples[row, : len(signal)] = torch.from_numpy(signal)
        mask[row, : len(signal)] = 1
    return samples, mask


def _length_batches(lengths: Sequence[int], size: int, *, exact: bool) -> Iterator[list[int]]:
    """Places of like length, the longest first, at most `size` and `BATCH_SECONDS` together.

    Args:
        exact: of the same length only, for models that padding would change.
    """
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        fits = not batch or (
            len(batch) < size
            and (len(batch) + 1) * lengths[batch[0]] <= BATCH_SECONDS * SAMPLE_RATE
            and (not exact or lengths[place] == lengths[batch[0]])
        )
        if not fits:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def read_preprocessor(weights: Weights) -> dict[str, Any]:
    """How the model wants its waveform: `do_normalize`, `return_attention_mask`.

    Raises:
        WeightsError: the file is not there, or the model wants something other than a waveform at 16 kHz.
    """
    path = weights.folder / "preprocessor_config.json"
    if not path.is_file():
        raise WeightsError(f"{path}: not there, so nobody knows whether the model wants normalised audio. Add it.")
    found = json.loads(path.read_text())
    kind, rate = found.get("feature_extractor_type", "Wav2Vec2FeatureExtractor"), found.get("sampling_rate")
    if kind != "Wav2Vec2FeatureExtractor" or rate != SAMPLE_RATE:
        raise WeightsError(
            f"{path}: {kind} at {rate} Hz; models that read a waveform at {SAMPLE_RATE} Hz are supported."
        )
    return found


def _checked_config(weights: Weights, config: dict[str, Any]) -> tuple[int, int, int]:
    """Width, layers, and the fewest samples that make one frame."""
    try:
        kernels, strides = config["conv_kernel"], config["conv_stride"]
        width, layers = int(config["hidden_size"]), int(config["num_hidden_layers"])
    except KeyError as error:
        raise WeightsError(
            f"{weights.folder / 'config.json'}: no {error}, so no model of the wav2vec 2.0 family. Whisper and other "
            "models of spectrograms are not supported; import their vectors as a column."
        ) from error
    shortest = 1
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        shortest = (shortest - 1) * stride + kernel
    return width, layers, shortest
