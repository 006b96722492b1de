"""Published emotion classifiers of the Hugging Face hub: text or speech, one utterance at a time.

Text: whatever Transformers loads for sequence classification. Speech: the wav2vec 2.0 family for audio classification.
The numbers of an utterance are the probabilities of the model's own labels; the store keeps them as any others.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np

from hbaf.features.audio.speech_models import SpeechModel, padded
from hbaf.features.text.language_models import LanguageModel, chosen_device, half_precision, quiet_loading, read_config
from hbaf.features.weights import Weights, WeightsError, locate_weights

VERSION = 1  # raised when the golden probabilities move


class HubClassifier:
    """A classifier by its hub id or folder; what it reads is told by its configuration.

    Args:
        name: key in `hbaf.features.registry.EXTRACTORS`.
        model: hub id or folder.
        revision: commit, tag or branch of the hub id.
        max_length: tokens of a text, with the special ones; what is longer is cut at its end.
        batch_size: utterances that are computed at once; changes nothing but the speed.
        device: "auto" takes a GPU where there is one, in bfloat16; the CPU computes in float32.
        download: whether the hub may be asked; default: the variable HBAF_DOWNLOAD.

    Raises:
        WeightsError: the weights are not here, or are no classifier.
    """

    in_processes = False
    selected = False
    licence = "unknown: see the model's card"
    commercial = False

    def __init__(
        self,
        name: str = "hub",
        *,
        model: str | None = None,
        revision: str = "main",
        max_length: int = 128,
        batch_size: int = 64,
        device: str = "auto",
        download: bool | None = None,
    ) -> None:
        if model is None:
            raise WeightsError(f"{name}: needs a model. Name it behind a colon: `{name}:ID`, or a folder.")
        self.name = name
        self.weights = locate_weights(model, revision, download)
        config = read_config(self.weights)
        self.labels = _labels(self.weights, config)
        self.dim = len(self.labels)
        self.modality: Literal["audio", "text"] = "audio" if "conv_kernel" in config else "text"
        shared: dict[str, Any] = {"model": model, "revision": revision, "batch_size": batch_size, "device": device}
        self._reader: _SpeechClassifier | _TextClassifier = (
            _SpeechClassifier(name, **shared, download=download)
            if self.modality == "audio"
            else _TextClassifier(name, **shared, download=download, max_length=max_length)
        )
        self._reader.dim = self.dim

    def identity(self) -> dict[str, object]:
        """What the probabilities depend on: weights and the length of a text; neither batch size nor device."""
        length = {"max_length": self._reader.max_length} if isinstance(self._reader, _TextClassifier) else {}
        return {
            "name": self.name,
            "version": VERSION,
            "model": self.weights.model,
            "revision": self.weights.revision,
            **length,
        }

    def extract(self, items: Sequence[np.ndarray] | Sequence[str]) -> np.ndarray:
        """(items, labels) float32 that add up to 1; NaN rows for blank texts and for signals too short."""
        return self._reader.extract(items)


class _TextClassifier(LanguageModel):
    def compute(self, ids: Any, mask: Any, own: Any) -> Any:  # the classifier has a pooling of its own
        """(B, T) -> (B, labels)."""
        return _shares(self._model(input_ids=ids, attention_mask=mask).logits.float(), self._model.config)

    @cached_property
    def _model(self) -> Any:
        from transformers import AutoModelForSequenceClassification as Kind

        return _load(Kind, self.weights).to(chosen_device(self.device))


class _SpeechClassifier(SpeechModel):
    def compute(self, signals: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """(B, labels) float32, and (B,) samples: the probabilities of a long signal are the mean over its parts."""
        import torch

        device = chosen_device(self.device)
        samples, mask = padded(signals)
        with torch.inference_mode(), half_precision(device):
            logits = self._model(samples.to(device), attention_mask=mask.to(device) if self.pads else None).logits
        shares = _shares(logits.float(), self._model.config).cpu().numpy()
        return shares, np.array([len(signal) for signal in signals])

    @cached_property
    def _model(self) -> Any:
        from transformers import AutoModelForAudioClassification as Kind

        return _load(Kind, self.weights).to(chosen_device(self.device))


def _labels(weights: Weights, config: dict[str, Any]) -> tuple[str, ...]:
    kinds = config.get("architectures") or []
    named = config.get("id2label") or {}
    if not any("Classification" in kind for kind in kinds) or len(named) < 2:
        raise WeightsError(
            f"{weights.model}: {', '.join(kinds) or 'its configuration'} is no classifier with labels. Name a model "
            "for text classification, or for audio classification of the wav2vec 2.0 family; a bare encoder gives "
            "features instead: `features.text=encoder:ID` or `features.audio=speech:ID`, and a model to train."
        )
    return tuple(str(named[key]) for key in sorted(named, key=int))


def _shares(logits: Any, config: Any) -> Any:
    """(B, labels) that add up to 1; of a model that gives several labels at once, their scores in proportion."""
    if config.problem_type == "multi_label_classification":
        scores = logits.sigmoid()
        return scores / scores.sum(-1, keepdim=True)
    return logits.softmax(-1)


def _load(kind: Any, weights: Weights) -> Any:
    import torch

    with quiet_loading():
        model, notes = kind.from_pretrained(
            weights.folder,
            local_files_only=True,
            dtype=torch.float32,
            trust_remote_code=False,
            output_loading_info=True,
        )
    if missing := sorted(notes["missing_keys"]):
        raise WeightsError(
            f"{weights.model}: its files lack {len(missing)} weights of the model ({missing[0]} ...), which would be "
            "random. Name a checkpoint that was trained for classification."
        )
    return model.eval()
