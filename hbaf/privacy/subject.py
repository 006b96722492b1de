"""What shall be forgotten, and which rows that are."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from hbaf.corpus.annotations import Annotation, read_annotations
from hbaf.corpus.schema import Corpus, load_corpus
from hbaf.home import home_folder
from hbaf.inbox.ledger.database import Ledger
from hbaf.scoring.store import ScoreStore, Select, older_than

Kind = Literal["conversation", "speaker", "corpus", "annotator"]
KINDS: tuple[Kind, ...] = ("conversation", "speaker", "corpus", "annotator")


@dataclass(frozen=True)
class Subject:
    """A name of one kind, or an age.

    Attributes:
        kind, name: None where everything goes that is older.
        before: seconds since 1970; what was last prepared or scored before.
    """

    kind: Kind | None = None
    name: str | None = None
    before: float | None = None

    @property
    def select(self) -> Select:
        """The rows of a scored table, or of a saved corpus where it is a name."""
        if self.before is not None:
            return older_than(self.before)
        kind, name = self.kind, self.name
        assert kind is not None
        assert name is not None
        return lambda table: matches(table, kind, name)

    def rows_of(self, saved: "SavedCorpus") -> np.ndarray:
        """(rows,) bool: which rows of a saved corpus go."""
        if self.before is None:
            return self.select(saved.corpus.utterances)
        return np.full(len(saved.corpus.utterances), saved.written < self.before)


@dataclass(frozen=True, eq=False)
class SavedCorpus:
    """A corpus in `corpora` or, named by the user, in `imported`."""

    folder: Path
    corpus: Corpus

    @property
    def written(self) -> float:
        """Seconds since 1970."""
        try:
            return (self.folder / "corpus.json").stat().st_mtime
        except FileNotFoundError:
            return time.time()


def corpus_folders() -> list[Path]:
    """Of every saved corpus."""
    return [
        file.parent for name in ("corpora", "imported") for file in sorted((home_folder() / name).glob("*/corpus.json"))
    ]


def saved_corpora() -> Iterator[SavedCorpus]:
    """One at a time."""
    for folder in corpus_folders():
        yield SavedCorpus(folder, load_corpus(folder))


def labels_of(subject: Subject, corpus: str) -> list[Annotation]:
    """The annotations of a corpus that are by an annotator, or about what is forgotten; age does not count."""
    kind, name = subject.kind, subject.name
    if subject.before is not None or kind is None or name is None:
        return []
    annotations = read_annotations(corpus)
    if kind == "annotator":
        return [one for one in annotations if one.annotator == name]
    facts = [(corpus, one.dialogue_id, one.speaker) for one in annotations]
    table = pd.DataFrame(facts, columns=["corpus", "dialogue_id", "speaker"], dtype="str")
    return [one for one, gone in zip(annotations, matches(table, kind, name), strict=True) if gone]


def lines_of(subject: Subject) -> Iterator[tuple[str, list[str], list[str]]]:
    """Source, its conversations and its unread arrivals, by name; the ledger knows no speakers, and no age counts."""
    ledger = Ledger.existing()
    if ledger is None or subject.kind not in ("conversation", "corpus"):
        return
    for one in ledger.sources():
        if subject.kind == "corpus" and one.source != subject.name:
            continue
        conversations, arrivals = ledger.of(one.source).names_of(None if subject.kind == "corpus" else subject.name)
        if conversations or arrivals:
            yield one.source, conversations, arrivals


def matches(table: pd.DataFrame, kind: Kind, name: str) -> np.ndarray:
    """(rows,) bool: the rows of a conversation, a speaker or a corpus; of an annotator none."""
    if kind == "annotator":
        return np.zeros(len(table), bool)  # whoever labels says nothing in a conversation
    if kind == "speaker":
        return (table["speaker"] == name).fillna(False).to_numpy(bool)
    if kind == "corpus":
        return (table["corpus"] == name).to_numpy(bool)
    whole = table["corpus"] + "/" + table["dialogue_id"]
    return ((table["dialogue_id"] == name) | (whole == name)).to_numpy(bool)


def is_anything_older(store: ScoreStore, before: float) -> bool:
    """Whether an age selects a row; asked after every scoring, so it reads one column."""
    return any((folder / "corpus.json").stat().st_mtime < before for folder in corpus_folders()) or store.holds(
        older_than(before)
    )
