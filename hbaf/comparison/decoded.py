"""A system of the bench with the label chain behind it: no run of its own, but the kept predictions of one, decoded.

chain.json             exponents, metrics of dev and test with the chain, and the digest of its code
dev-chain.parquet      as dev.parquet, decoded
test-chain.parquet     as test.parquet, decoded; absent where that is
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from hbaf.comparison.systems import code_digest
from hbaf.corpus.schema import Corpus, CorpusReference, load_corpus
from hbaf.features.selection.audio_selection import identity_scaling
from hbaf.files import sync_tree
from hbaf.home import write_atomically
from hbaf.training.chain import fit_chain, with_chain
from hbaf.training.data import Dialogue, Representation, Vectors, label_indices, make_dialogues
from hbaf.training.evaluate import SplitPredictions

FACTS = "chain.json"
CODE = "hbaf.training.chain"


@dataclass(frozen=True)
class Decoded:
    """Tables of predictions with the chain: `dev`, and `test` where there is one; exponents a, b, c."""

    tables: dict[str, pd.DataFrame]
    metrics: dict[str, dict[str, float]]
    exponents: list[float]


def decode(reference: CorpusReference, tables: dict[str, pd.DataFrame]) -> Decoded:
    """Counts on the labels of train, chooses the exponents on the predictions of dev, and decodes every table.

    Args:
        tables: `dev`, and `test` where it was looked at, as `SplitPredictions.as_frame` makes them.
    """
    corpus = corpus_of(reference)
    train, dev = (dialogues(corpus, corpus.in_split(split)) for split in ("train", "dev"))
    chain = fit_chain(train, dev, predictions(tables["dev"], dev, corpus), "both")
    found, scores = {}, {}
    for split, table in tables.items():
        table = table.set_index("utterance_id")
        rows = corpus.utterances[corpus.utterances["utterance_id"].isin(table.index)]
        own = dialogues(corpus, rows)
        decoded = with_chain(chain, own, predictions(table.reset_index(), own, corpus))
        scores[split] = decoded.metrics()
        gates = [name for name in table.columns.astype(str) if name.startswith("gate_")]
        found[split] = decoded.as_frame().join(table[gates], on="utterance_id")
    return Decoded(found, scores, [float(value) for value in chain.exponents])


def decode_run(folder: Path, reference: CorpusReference) -> None:
    """Decodes what a finished run left in its folder; `chain.json` comes last."""
    splits = [split for split in ("dev", "test") if (folder / f"{split}.parquet").exists()]
    found = decode(reference, {split: pd.read_parquet(folder / f"{split}.parquet") for split in splits})
    for split, table in found.tables.items():
        table.to_parquet(folder / f"{split}-chain.parquet", index=False)
    sync_tree(folder)
    facts = {"code": code_digest(CODE), "exponents": found.exponents, **found.metrics}
    write_atomically(folder / FACTS, json.dumps(facts, indent=1).encode())


def decoded_metrics(folder: Path) -> dict[str, dict[str, float]] | None:
    """Metrics of dev and test with the chain; None where the run was not decoded by this version of the chain."""
    if not (folder / FACTS).exists():
        return None
    facts = json.loads((folder / FACTS).read_text())
    return facts if facts.get("code") == code_digest(CODE) else None


@lru_cache(maxsize=4)
def corpus_of(reference: CorpusReference) -> Corpus:
    """The corpus that a reference names; the last four stay in memory."""
    return load_corpus(reference)


def dialogues(corpus: Corpus, rows: pd.DataFrame) -> list[Dialogue]:
    """Who spoke and what is labelled; without any vectors."""
    n = len(corpus.utterances)
    nothing, absent = np.zeros((n, 0), np.float32), np.zeros(n, bool)
    return make_dialogues(
        corpus,
        Vectors(nothing, nothing, None, absent, absent),
        Representation(identity_scaling(0), None),
        rows,
        corpus.emotions,
    )


def predictions(table: pd.DataFrame, of: Sequence[Dialogue], corpus: Corpus) -> SplitPredictions:
    """A kept table in the order of the dialogues."""
    ids = [utterance for dialogue in of for utterance in dialogue.utterance_ids]
    table = table.set_index("utterance_id").loc[ids]
    return SplitPredictions(
        utterance_ids=tuple(ids),
        dialogue_ids=tuple(table["dialogue_id"]),
        probability=table[[f"p_{emotion}" for emotion in corpus.emotions]].to_numpy(np.float32),
        truth=label_indices(table["truth"], corpus.emotions),
        emotions=corpus.emotions,
    )
