"""Columns of published features: in the store like any other, but keyed by the utterance, for no one can compute them.

A file's features are called `imported:<name>`, or `imported:<name>/<feature>` where it holds several.
"""

import hashlib
import json
import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from feature_store.manifest import Column
from feature_store.store import FeatureStore
from hbaf.corpus.published.load import PublishedFeatures
from hbaf.corpus.published.pickles import RELATIONS as COMET_RELATIONS
from hbaf.corpus.published.pickles import ROBERTA
from hbaf.corpus.schema import Corpus, CorpusError, is_missing
from hbaf.features.extract import ColumnReference
from hbaf.features.imported.facts import KIND, facts_file, imported_facts
from hbaf.features.text.commonsense import RELATIONS
from hbaf.home import write_atomically

SHARD = 1024  # rows
VERSION = 1
# What the field's files call features of the words; everything else came from sound or picture.
OF_TEXT = {"text", "roberta", *ROBERTA, *COMET_RELATIONS, "commonsense"}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImportedColumn:
    """One feature of one file, as it lies in the store.

    Attributes:
        name: as in `features.audio`: `imported:<name>` or `imported:<name>/<feature>`.
        dim: numbers per utterance.
        utterances: of the corpus, how many it has a row for.
    """

    name: str
    digest: str
    dim: int
    utterances: int


def import_features(
    published: PublishedFeatures, corpus: Corpus, store: FeatureStore, name: str
) -> list[ImportedColumn]:
    """Puts the vectors of a file into the store, for the utterances of a corpus that it knows.

    Args:
        corpus: the file's own (`published.corpus()`) or another; joined by the source's number of an utterance where
            both know it, else by utterance_id.
        name: what the columns are called.

    Raises:
        CorpusError: the file has a row for none of the utterances.
        feature_store.manifest.StoreError: the store cannot be written.
    """
    rows = published.rows_for(corpus.utterances)
    known = np.flatnonzero(rows >= 0)
    if not len(known):
        ours, theirs = corpus.utterances["utterance_id"], published.utterances["utterance_id"]
        raise CorpusError(
            f"{published.path}: has a row for none of the {len(ours)} utterances of {corpus.name}. Ids there are like "
            f"{theirs.iloc[0]!r}, here like {ours.iloc[0]!r}."
        )
    keys = imported_keys(corpus.utterances.iloc[known])
    with published.path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    columns, described = [], {}
    for feature, vectors in with_commonsense(published.features).items():
        called = f"{KIND}:{name}" if len(published.features) == 1 else f"{KIND}:{name}/{feature}"
        identity = {"name": KIND, "version": VERSION, "file": content, "like": published.like, "feature": feature}
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        column = Column(digest, called, vectors.shape[1], identity)
        for start in range(0, len(known), SHARD):
            part = slice(start, start + SHARD)
            store.put(column, keys[part], vectors[rows[known[part]]].astype(np.float32))
        modality = "text" if feature in OF_TEXT else "audio"
        described[feature] = {"digest": digest, "dim": column.dim, "modality": modality, "identity": identity}
        columns.append(ImportedColumn(called, digest, column.dim, len(known)))
    write_atomically(facts_file(name), json.dumps(described, indent=1).encode())
    return columns


def with_commonsense(features: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Adds `commonsense`, the paper's three relations in the order of `comet`'s vector, where a file has all three."""
    wanted = list(RELATIONS.values())
    if not set(wanted) <= set(features):
        return features
    return {**features, "commonsense": np.concatenate([features[relation] for relation in wanted], axis=1)}


def imported_column(corpus: Corpus, name: str, store: FeatureStore, **_: Any) -> ColumnReference:
    """The reference of an imported column; nothing is computed.

    Utterances that the file does not know have no vector; where it knows none at all there is a warning.
    """
    facts = imported_facts(name.partition(":")[2])
    column = Column(facts["digest"], name, facts["dim"])
    keys = imported_keys(corpus.utterances)
    missing = len(store.missing(column, keys))
    if missing == len(keys) > 1:
        log.warning("%s: none of the %d utterances of %s has a row in it", name, len(keys), corpus.name)
    return ColumnReference(column.digest, name, facts["modality"], column.dim, store.url, keyed_by="utterance")


def read_imported_column(
    corpus: Corpus, reference: ColumnReference, store: FeatureStore, *, partly: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """As `hbaf.features.extract.read_column`; whether there is sound or text does not matter here.

    Args:
        partly: a row with some values missing counts as one that is there; the scaling fills it in.
    """
    keys = imported_keys(corpus.utterances)
    missing = set(store.missing(reference.column(), keys))
    there = np.array([key not in missing for key in keys], bool)
    vectors = np.full((len(keys), reference.dim), np.nan, np.float32)
    if there.any():
        vectors[there], _ = store.get(reference.column(), [key for key in keys if key not in missing])
    absent = np.isnan(vectors)
    return vectors, np.logical_not(absent.all(axis=1) if partly else absent.any(axis=1))


def imported_keys(utterances: pd.DataFrame) -> list[str]:
    """The key of each row: its id and the source's own number, so that shifted ranks never join another's vector."""
    pairs = zip(utterances["utterance_id"], utterances["source_id"], strict=True)
    return [
        hashlib.sha256(f"{KIND}|{name}|{'' if is_missing(source) else source}".encode()).hexdigest()
        for name, source in pairs
    ]
