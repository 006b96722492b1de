"""The selected numbers of an audio column as a column of its own: what scoring keeps, 512 numbers and not 6373.

The full rows exist for the length of one shard in memory. The column's digest is made of the extractor's and of the
selection's, so that a second scoring run with the same model finds it, and another model makes its own.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from feature_store.manifest import Column
from feature_store.store import FeatureStore
from hbaf.corpus.schema import Corpus, is_missing
from hbaf.corpus.sound.facts import utterance_keys
from hbaf.features.extract import ColumnReference, extract_column
from hbaf.features.extractor import extractor_digest
from hbaf.features.registry import make_extractor
from hbaf.features.selection.audio_selection import AudioSelection

SELECTED = "selected"
CHUNK = 1024  # full rows in memory at a time


def extract_selected(
    corpus: Corpus,
    name: str,
    store: FeatureStore,
    selection: AudioSelection,
    *,
    run: str = "",
    settings: Mapping[str, Any] | None = None,
    **how: Any,
) -> ColumnReference:
    """Computes what the store lacks of the selected column, and never puts a full row there.

    Rows that the full column has already, because the corpus was extracted for training, are taken from it.

    Args:
        selection: of the model; its numbers are stored scaled, as they go into the model.
        run: id of the run that made the model; `hbaf features --collect` keeps the column as long as it is there.
        how: as `extract_column` takes it.
    """
    extractor = make_extractor(name, **dict(settings or {}))
    full = Column(extractor_digest(extractor), name, extractor.dim, extractor.identity())
    identity = selected_identity(full.digest, selection.digest())
    digest = digest_of(identity)
    column = Column(digest, f"{name} selected", selection.dim, {**identity, "run": run})
    keys = [key for key in utterance_keys(corpus.utterances, extractor.modality) if not is_missing(key)]
    wanted = store.missing(column, keys)
    absent = set(store.missing(full, wanted))
    known = [key for key in wanted if key not in absent]
    for start in range(0, len(known), CHUNK):
        part = known[start : start + CHUNK]
        vectors, problems = store.get(full, part)
        store.put(column, part, selection.apply(vectors), problems)
    return extract_column(corpus, name, store, settings=settings, selection=selection, into=column, **how)


def selected_identity(extractor: str, selection: str) -> dict[str, str]:
    """Identity of the column of selected numbers, by the digests of extractor and selection."""
    return {"name": SELECTED, "extractor": extractor, "selection": selection}


def digest_of(identity: Mapping[str, Any]) -> str:
    """The digest of the column with this identity."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
