"""What scoring kept of a model's inputs, for rows that were scored before. Reads and never computes."""

from typing import Literal

import numpy as np
import pandas as pd

from feature_store.manifest import Column
from feature_store.store import FeatureStore
from hbaf.corpus.schema import is_missing
from hbaf.corpus.sound.facts import utterance_keys
from hbaf.features.columns import default_store, extractors
from hbaf.features.extractor import context_of, extractor_digest
from hbaf.features.imported.facts import is_imported
from hbaf.features.selection.selected import digest_of, selected_identity
from hbaf.training.data import Vectors
from hbaf.training.package import ModelPackage


def stored_vectors(rows: pd.DataFrame, package: ModelPackage, store: FeatureStore | None = None) -> Vectors | None:
    """The model's inputs of scored rows, in their order; NaN rows where the store has nothing.

    Returns:
        None where the features were published by others (they are not kept by content), or nothing is there at all.
    """
    features = package.facts.features
    if is_imported(features.audio) or is_imported(features.text):
        return None
    store = store or default_store(features.store)
    named = extractors(features)
    audio_digest = extractor_digest(named["audio"])
    selection = package.representation.audio
    audio_column = Column(audio_digest, features.audio, named["audio"].dim)
    if selection.indices is not None:
        digest = digest_of(selected_identity(audio_digest, selection.digest()))
        audio_column = Column(digest, f"{features.audio} selected", selection.dim)
    audio = _read(rows, "audio", audio_column, store)
    text_column = Column(extractor_digest(named["text"]), features.text, named["text"].dim)
    text = _read(rows, "text", text_column, store, context_of(named["text"]))
    if not len(rows) or (np.isnan(audio).all() and np.isnan(text).all()):
        return None
    raw = Vectors(
        audio, text, None, _whole(audio), _whole(text), "" if selection.indices is None else selection.digest()
    )
    return package.representation.transform(raw)


def _read(
    rows: pd.DataFrame, modality: Literal["audio", "text"], column: Column, store: FeatureStore, context: int = 0
) -> np.ndarray:
    keys = utterance_keys(rows, modality, context)
    known = [key for key in keys if not is_missing(key)]
    absent = set(store.missing(column, known))
    there = np.array([not is_missing(key) and key not in absent for key in keys], bool)
    vectors = np.full((len(rows), column.dim), np.nan, np.float32)
    if there.any():
        vectors[there], _ = store.get(column, keys[there].tolist())
    return vectors


def _whole(vectors: np.ndarray) -> np.ndarray:
    return np.logical_not(np.isnan(vectors).any(1))
