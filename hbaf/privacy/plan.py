"""What a forget will remove, worked out before anything is: none of it can be found any more once rows are gone."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from hbaf.corpus.annotations import annotated_corpora
from hbaf.corpus.schema import Corpus, empty_set_aside, is_missing
from hbaf.corpus.sound.facts import utterance_keys
from hbaf.features.columns import default_store
from hbaf.features.imported.columns import imported_keys
from hbaf.privacy.places import telling
from hbaf.privacy.receipts import Receipt, earlier_digests
from hbaf.privacy.subject import KINDS, Kind, SavedCorpus, Subject, labels_of, lines_of, matches, saved_corpora
from hbaf.registry.trained_on import feature_stores, models_trained_on
from hbaf.scoring.store import SELECTED_BY, ScoredTable, ScoreStore

# What keys and words are made of.
READ = (
    *SELECTED_BY, "turn", "utterance_id", "text", "text_problem", "audio_digest", "audio_problem", "channel", "start",
    "end", "source_id",
)  # fmt: skip


class ForgetError(LookupError):
    """What shall be forgotten is not there, or not clear."""


@dataclass(frozen=True)
class Plan:
    """What goes, in plain values: a journal of it completes a forget that was interrupted.

    Attributes:
        scores: folders of scores outside the home.
        digests: of every version of a corpus that held it.
        corpora: names of saved corpora that held it; `whole`: those of which nothing is left.
        stores: other feature stores than the home's.
        keys: content keys of vectors.
        words: texts that nobody else says; the home is searched for them in the end.
    """

    subject: Subject
    receipt: Receipt
    scores: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    corpora: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()
    stores: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


def kind_of(name: str, store: ScoreStore) -> Kind:
    """What a name names.

    Raises:
        ForgetError: several kinds of things have it.
    """
    found: set[Kind] = set()
    found |= {kind for kind in ("conversation", "corpus") if any(lines_of(Subject(kind, name)))}
    if any(labels_of(Subject("annotator", name), corpus) for corpus in annotated_corpora()):
        found.add("annotator")
    for table in (*(saved.corpus.utterances for saved in saved_corpora()), *_parts(store)):
        found |= {kind for kind in KINDS if kind not in found and matches(table, kind, name).any()}
    if len(found) > 1:
        named = [kind for kind in KINDS if kind in found]
        kinds = " and of ".join(f"{'an' if kind == 'annotator' else 'a'} {kind}" for kind in named)
        raise ForgetError(f"that is the name of {kinds}. Say which: --kind {named[0]}.")
    return found.pop() if found else "conversation"


def plan_of(subject: Subject, store: ScoreStore, scores: tuple[str, ...] = ()) -> Plan:
    """Counts what goes and gathers what it is known by; changes nothing."""
    hit = [(saved, gone) for saved in saved_corpora() if (gone := subject.rows_of(saved)).any()]
    counts = [(table, _count(table, subject)) for table in store.tables]
    touched = [table for table, rows in counts if rows]
    # Models learned from every version that held it, and scoring runs from one that may not be saved any more.
    held = {saved.corpus.digest() for saved, _ in hit} | {
        str(table.facts.get("corpus_digest", "")) for table in touched
    }
    digests = earlier_digests(held)
    urls = sorted(feature_stores(digests))
    stores = [default_store(), *map(default_store, urls)]
    contexts = {0, *(int(info.identity.get("context", 0)) for one in stores for info in one.list())}
    keys, shared, words = _contents(subject, store, touched, contexts)
    salt = os.urandom(16).hex()
    asked = subject.name or f"before {subject.before}"
    receipt = Receipt(
        kind=subject.kind or "older than",
        subject=hashlib.sha256(f"{salt}{asked}".encode()).hexdigest(),
        salt=salt,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        state="dry run",
        utterances=int(sum(gone.sum() for _, gone in hit)),
        vectors=sum(one.count(keys) for one in stores),
        shared_contents=shared,
        scores=sum(rows for table, rows in counts if not table.source),
        score_folders=sum(not table.source for table in touched),
        published=sum(rows for table, rows in counts if table.source),
        arrivals=sum(len({*conversations, *arrivals}) for _, conversations, arrivals in lines_of(subject)),
        labels=sum(len(labels_of(subject, corpus)) for corpus in annotated_corpora()),
        corpora={saved.corpus.digest(): "" if gone.all() else left(saved, gone).digest() for saved, gone in hit},
        models=models_trained_on(digests),
    )
    return Plan(
        subject,
        receipt,
        scores=scores,
        digests=tuple(sorted(digests)),
        corpora=tuple(sorted({saved.corpus.name for saved, _ in hit})),
        whole=tuple(sorted({saved.corpus.name for saved, gone in hit if gone.all()})),
        stores=tuple(urls),
        keys=tuple(sorted(keys)),
        words=tuple(sorted(words)),
    )


def left(saved: SavedCorpus, gone: np.ndarray) -> Corpus:
    """The corpus without the rows that go; broken rows go whole, since nobody knows whose they are."""
    utterances = saved.corpus.utterances[~gone].reset_index(drop=True)
    splits = saved.corpus.splits
    kept = splits["dialogue_id"].isin(utterances["dialogue_id"])
    return replace(
        saved.corpus, utterances=utterances, splits=splits[kept].reset_index(drop=True), set_aside=empty_set_aside()
    )


def _parts(store: ScoreStore) -> Iterator[pd.DataFrame]:
    return (part for table in store.tables for part in table.frames(SELECTED_BY))


def _count(table: ScoredTable, subject: Subject) -> int:
    return int(sum(table.selected(subject.select, part).sum() for part in table.frames(SELECTED_BY)))


def _contents(
    subject: Subject, store: ScoreStore, touched: Sequence[ScoredTable], contexts: set[int]
) -> tuple[set[str], int, set[str]]:
    """Content keys that only rows which go have or were read with, how many more are shared, and the words alike."""

    def read(tables: Sequence[ScoredTable]) -> Iterator[tuple[pd.DataFrame, np.ndarray]]:
        yield from ((saved.corpus.utterances, subject.rows_of(saved)) for saved in saved_corpora())
        yield from ((part, table.selected(subject.select, part)) for table in tables for part in table.frames(READ))

    gone: set[str] = set()
    words: set[str] = set()
    for table, going in read(touched):
        if going.any():
            gone |= _keys_gone(table, going, contexts)
            words |= telling(table.loc[going, "text"])
    shared: set[str] = set()
    for table, going in read(store.tables if gone or words else ()):
        shared |= gone & _keys_kept(table[~going], contexts)
        words -= telling(table.loc[~going, "text"])
    return gone - shared, len(shared), words


def _keys_gone(table: pd.DataFrame, going: np.ndarray, contexts: set[int]) -> set[str]:
    """Keys of rows that go, and of rows that stay where a text encoder read those together with them.

    Args:
        contexts: of the text columns in the stores: the vector of a turn that stays holds words of turns before it.
    """
    # Published features are kept by utterance and not by content.
    keys = set(imported_keys(table[going]))
    if "audio_digest" in table:
        keys |= _present(utterance_keys(table[going], "audio"))
    for context in contexts:
        before = utterance_keys(table, "text", context)
        keys |= _present(before[going]) | (_present(before) - _present(utterance_keys(table[~going], "text", context)))
    return keys


def _keys_kept(table: pd.DataFrame, contexts: set[int]) -> set[str]:
    keys = _present(utterance_keys(table, "audio")) if "audio_digest" in table else set()
    return keys.union(*(_present(utterance_keys(table, "text", context)) for context in contexts))


def _present(keys: pd.Series) -> set[str]:
    return {str(key) for key in keys if not is_missing(key)}
