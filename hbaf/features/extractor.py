"""The Extractor protocol: raw audio or text of single utterances -> one vector each."""

import hashlib
import json
from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

import numpy as np

SAMPLE_RATE = 16_000  # Hz, of the signals that an extractor sees unless it asks for another


@runtime_checkable
class Extractor(Protocol):
    """Turns utterances into vectors, independent of what else is in the batch.

    Attributes:
        name: the key in `hbaf.features.registry.EXTRACTORS`.
        modality: what an item is: "audio" is a float32 array (samples,) at 16 kHz in -1..1, "text" is a str.
        dim: numbers per utterance.
        licence: of the features and of models trained on them.
        commercial: whether that licence allows commercial use.
        in_processes: True when items are best spread over processes, False for batched torch models.
        selected: whether the SVM selection (`FeatureParameters.select`) applies: openSMILE functionals only.

    A text extractor may have `context`, the number of turns before that it reads too: then an item is a
    `hbaf.corpus.windows.Window`, or a str for a turn that nothing came before, and the identity names `context`.
    An audio extractor may have `sample_rate`, in Hz, and then gets its signals at that rate in place of 16 kHz.
    """

    name: str
    modality: Literal["audio", "text"]
    dim: int
    licence: str
    commercial: bool
    in_processes: bool
    selected: bool

    def identity(self) -> dict[str, object]:
        """What the vectors depend on: name, version, settings, model revision. Library versions do not count."""
        ...

    def extract(self, items: Sequence[np.ndarray] | Sequence[str]) -> np.ndarray:
        """One row per item.

        Returns:
            (items, dim) float32. A row that cannot be computed (too short a signal) is all NaN; a row is never partly
            NaN by accident of the batch.
        """
        ...


def context_of(extractor: Extractor) -> int:
    """Turns before that an item of this extractor brings along."""
    return int(getattr(extractor, "context", 0))


def sample_rate_of(extractor: Extractor) -> int:
    """Hz of the signals that this extractor wants."""
    return int(getattr(extractor, "sample_rate", SAMPLE_RATE))


def extractor_digest(extractor: Extractor) -> str:
    """sha256 of the identity: the name of the extractor's column in the feature store."""
    return hashlib.sha256(json.dumps(extractor.identity(), sort_keys=True).encode()).hexdigest()
