"""Columns of a fine-tuned encoder: each train utterance from the part that has not seen its dialogue.

The store is keyed by content, and "Yeah." comes in many dialogues: so each part has a column of its own, and which part
an utterance is read from is decided by its dialogue.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from feature_store.store import FeatureStore
from hbaf.corpus.schema import Corpus
from hbaf.features.extract import ColumnReference, extract_column, read_column
from hbaf.features.finetuned import FULL, KIND, find_encoder


def is_fine_tuned(name: str) -> bool:
    """Whether an extractor's name stands for an encoder that was fine-tuned here."""
    return name.startswith(f"{KIND}:")


def extract_cross_fitted(corpus: Corpus, name: str, store: FeatureStore, **how: Any) -> ColumnReference:
    """Computes what the store lacks of every part.

    Args:
        how: as `extract_column` takes it.

    Raises:
        LeakError: a dialogue that the encoder learned from is in dev or test.
    """
    settings = how.pop("settings", None) or {}
    encoder = find_encoder(name.partition(":")[2])
    folds = encoder.fold_of_rows(corpus)
    columns: dict[int, ColumnReference] = {}
    for fold, part in _parts(encoder.facts["folds"]):
        rows = folds == fold
        if fold < 0 or rows.any():
            some = corpus.with_utterances(corpus.utterances[rows].reset_index(drop=True))
            columns[fold] = extract_column(some, name, store, settings={**settings, "part": part}, **how)
    parts = tuple((fold, column.digest) for fold, column in columns.items() if fold >= 0)
    return replace(columns[-1], folds=parts)


def read_cross_fitted(corpus: Corpus, reference: ColumnReference, store: FeatureStore) -> tuple[np.ndarray, np.ndarray]:
    """As `read_column`, each row from its part."""
    folds = find_encoder(reference.name.partition(":")[2]).fold_of_rows(corpus)
    columns = {-1: reference.digest, **dict(reference.folds)}
    vectors = np.full((len(folds), reference.dim), np.nan, np.float32)
    present = np.zeros(len(folds), bool)
    for fold in np.unique(folds):
        rows = np.flatnonzero(folds == fold)
        some = corpus.with_utterances(corpus.utterances.iloc[rows].reset_index(drop=True))
        part = replace(reference, digest=columns[int(fold)], folds=())
        vectors[rows], present[rows] = read_column(some, part, store)
    return vectors, present


def _parts(folds: list[list[str]]) -> Iterator[tuple[int, str]]:
    yield -1, FULL
    yield from ((fold, f"fold-{fold}") for fold in range(len(folds)))
