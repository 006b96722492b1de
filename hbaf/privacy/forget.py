"""Removes a conversation, a speaker or a corpus from everything that the home keeps, and says which models knew it.

The source itself (the recordings, their manifest, the example corpus) is never touched: it is its owner's to delete.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from hbaf.corpus.prepare import save
from hbaf.corpus.schema import Corpus, empty_set_aside, is_missing, load_corpus, save_corpus
from hbaf.corpus.sound.facts import utterance_keys
from hbaf.features.columns import default_store
from hbaf.features.imported.columns import imported_keys
from hbaf.home import home_folder, room, write_atomically
from hbaf.privacy.places import earlier_digests, files_that_hold, remove_traces, telling
from hbaf.privacy.published import open_published, remove_published
from hbaf.registry.trained_on import TrainedModel, feature_stores, models_trained_on
from hbaf.scoring.rewrite import ScoresFolder, rewrite_scores

Kind = Literal["conversation", "speaker", "corpus"]
KINDS: tuple[Kind, ...] = ("conversation", "speaker", "corpus")


class ForgetError(LookupError):
    """What shall be forgotten is not there, or not clear."""


@dataclass(frozen=True)
class Receipt:
    """What was forgotten: counts and digests, no name and no word.

    Attributes:
        subject: salted sha256 of what was asked for; whoever knows the name can check it.
        utterances: rows of saved corpora.
        vectors: rows of the feature store, over all columns.
        shared_contents: contents that stay because conversations that stay hold the same words or sound.
        scores: rows of scored tables.
        score_folders: how many of them were written anew or removed.
        published: rows that scheduled scoring had published; conversations go whole there.
        validations, studies: runs of validations in MLflow, and searches, that were about those corpora.
        corpora: digest of each saved corpus before -> after; "" where nothing is left.
        models: runs that were trained on one of those corpora. They are not changed.
        left_in: files of the home that still hold one of the texts, as paths inside it; a person has to look.
        file: where this receipt lies; None for a dry run.
    """

    kind: str
    subject: str
    salt: str
    at: str
    state: Literal["begun", "done", "dry run"]
    utterances: int = 0
    vectors: int = 0
    shared_contents: int = 0
    scores: int = 0
    score_folders: int = 0
    published: int = 0
    validations: int = 0
    studies: int = 0
    corpora: dict[str, str] = field(default_factory=dict)
    models: tuple[TrainedModel, ...] = ()
    left_in: tuple[str, ...] = ()
    file: Path | None = None

    @property
    def touches_anything(self) -> bool:
        """Whether there is a row to remove."""
        return bool(self.utterances or self.scores or self.published)


@dataclass(frozen=True)
class _Saved:
    """A saved corpus and which of its rows go."""

    folder: Path
    corpus: Corpus
    gone: np.ndarray  # (rows,) bool


def forget(
    name: str | None = None,
    *,
    kind: Kind | None = None,
    older_than: timedelta | None = None,
    scores: tuple[Path, ...] = (),
    dry_run: bool = False,
) -> Receipt:
    """Forgets one subject, or everything that was not prepared or scored for a while.

    A forget that was interrupted is completed by running it again.

    Args:
        name: a corpus name, a dialogue id (or `corpus/dialogue`), or a speaker.
        kind: which of these, where the name alone does not tell.
        older_than: in place of a name: what was last prepared or scored before that.
        scores: folders of scores outside the home, which the home does not know.
        dry_run: only count.

    Raises:
        ForgetError: nothing has that name, or several kinds of things have it.
    """
    if (name is None) == (older_than is None):
        raise ForgetError("say what to forget: a name, or an age such as --older-than 90d.")
    corpora = {folder: load_corpus(folder) for folder in _corpus_folders()}
    scored = [ScoresFolder.open(folder) for folder in [*_score_folders(), *scores]]
    published = open_published()
    if name is not None:
        tables = [corpus.utterances for corpus in corpora.values()]
        tables += [folder.table for folder in scored] + [one.table for one in published]
        kind = kind or _kind_of(name, tables)
        saved = [_Saved(folder, corpus, matches(corpus.utterances, kind, name)) for folder, corpus in corpora.items()]
        rows = {folder.folder: matches(folder.table, kind, name) for folder in scored}
        shared_rows = {one.source: one.whole_conversations(matches(one.table, kind, name)) for one in published}
    else:
        assert older_than is not None
        limit = time.time() - older_than.total_seconds()
        old = {folder: _written(folder / "corpus.json") < limit for folder in corpora}
        saved = [_Saved(f, corpus, np.full(len(corpus.utterances), old[f])) for f, corpus in corpora.items()]
        rows = {s.folder: np.full(len(s.table), _written(s.folder / "scores.parquet") < limit) for s in scored}
        shared_rows = {one.source: one.whole_conversations(one.older_than(limit)) for one in published}
    hit = [one for one in saved if one.gone.any()]
    hit_scores = [folder for folder in scored if rows[folder.folder].any()]
    hit_published = [one for one in published if shared_rows[one.source].any()]
    if name is not None and not hit and not hit_scores and not hit_published:
        raise ForgetError(f"no {kind} of that name is kept in {home_folder()}. Names are compared letter by letter.")
    all_scored = [(folder.table, rows[folder.folder]) for folder in scored]
    all_scored += [(one.table, shared_rows[one.source]) for one in published]
    # Models learned from every version that held it, and scoring runs from one that may not be saved any more.
    digests = earlier_digests({one.corpus.digest() for one in hit} | {f.corpus_digest for f in hit_scores})
    stores = [default_store(), *map(default_store, sorted(feature_stores(digests)))]
    contexts = {0, *(int(info.identity.get("context", 0)) for store in stores for info in store.list())}
    keys, shared = _keys(saved, all_scored, contexts)
    salt = os.urandom(16).hex()
    receipt = Receipt(
        kind=kind or "older than",
        subject=hashlib.sha256(f"{salt}{name or older_than}".encode()).hexdigest(),
        salt=salt,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        state="dry run",
        utterances=int(sum(one.gone.sum() for one in hit)),
        vectors=sum(store.count(keys) for store in stores),
        shared_contents=shared,
        scores=int(sum(rows[folder.folder].sum() for folder in hit_scores)),
        score_folders=len(hit_scores),
        published=int(sum(shared_rows[one.source].sum() for one in hit_published)),
        corpora={one.corpus.digest(): _left(one).digest() if not one.gone.all() else "" for one in hit},
        models=models_trained_on(digests),
    )
    if dry_run:
        return receipt
    texts = _texts_that_go(saved, all_scored)
    file = room("receipts") / f"{receipt.at.replace(':', '')}-{receipt.subject[:8]}.json"
    _write(receipt, "begun", file)
    # The saved corpora go last: they know the rows, so whoever is interrupted can begin again.
    for folder in hit_scores:
        rewrite_scores(folder, rows[folder.folder])
    for one in hit_published:
        remove_published(one, shared_rows[one.source])
    for store in stores:
        store.forget(keys)
    whole = {one.corpus.name for one in hit if one.gone.all()}
    validations, studies = remove_traces(digests, {one.corpus.name for one in hit}, whole)
    for saved_corpus in hit:
        _replace(saved_corpus)
    receipt = replace(receipt, validations=validations, studies=studies, left_in=tuple(files_that_hold(texts)))
    return _write(receipt, "done", file)


def matches(table: pd.DataFrame, kind: Kind, name: str) -> np.ndarray:
    """(rows,) bool: the rows of a conversation, a speaker or a corpus."""
    if kind == "speaker":
        return (table["speaker"] == name).fillna(False).to_numpy(bool)
    if kind == "corpus":
        return (table["corpus"] == name).to_numpy(bool)
    whole = table["corpus"] + "/" + table["dialogue_id"]
    return ((table["dialogue_id"] == name) | (whole == name)).to_numpy(bool)


def _kind_of(name: str, tables: list[pd.DataFrame]) -> Kind:
    found: list[Kind] = [kind for kind in KINDS if any(matches(table, kind, name).any() for table in tables)]
    if len(found) > 1:
        raise ForgetError(f"that is the name of a {' and of a '.join(found)}. Say which: --kind {found[0]}.")
    return found[0] if found else "conversation"


def _keys(
    saved: list[_Saved], scored: list[tuple[pd.DataFrame, np.ndarray]], contexts: set[int]
) -> tuple[set[str], int]:
    """Content keys that rows which go have or were read with, and how many stay because of rows which stay.

    Args:
        contexts: of the text columns in the stores: the vector of a turn that stays holds words of turns before it.
    """
    gone: set[str] = set()
    kept: set[str] = set()
    for table, going in [*((one.corpus.utterances, one.gone) for one in saved), *scored]:
        left = table[~going]
        if "audio_digest" in table:
            gone.update(_present(utterance_keys(table[going], "audio")))
            kept.update(_present(utterance_keys(left, "audio")))
        for context in contexts:
            before = utterance_keys(table, "text", context)
            after = _present(utterance_keys(left, "text", context))
            gone.update(_present(before[going]), _present(before) - after)
            kept.update(after)
        # Published features are kept by utterance and not by content.
        gone.update(imported_keys(table[going]))
    return gone - kept, len(gone & kept)


def _present(keys: pd.Series) -> set[str]:
    return {str(key) for key in keys if not is_missing(key)}


def _left(one: _Saved) -> Corpus:
    """The corpus without the rows that go; broken rows go whole, since nobody knows whose they are."""
    utterances = one.corpus.utterances[~one.gone].reset_index(drop=True)
    splits = one.corpus.splits
    left = splits["dialogue_id"].isin(utterances["dialogue_id"])
    return replace(
        one.corpus, utterances=utterances, splits=splits[left].reset_index(drop=True), set_aside=empty_set_aside()
    )


def _replace(one: _Saved) -> None:
    """Puts what is left in the place of a saved corpus, or nothing."""
    if one.folder.parent.name == "imported":  # named by the user, not by content
        if one.gone.all():
            shutil.rmtree(one.folder)
        else:
            save_corpus(_left(one), one.folder)
        return
    if not one.gone.all():
        save(_left(one))
    shutil.rmtree(one.folder)


def _texts_that_go(saved: list[_Saved], scored: list[tuple[pd.DataFrame, np.ndarray]]) -> set[str]:
    """What only rows that go say, in words of their own."""
    tables = [*((one.corpus.utterances, one.gone) for one in saved), *scored]
    gone = set().union(*(telling(table.loc[going, "text"]) for table, going in tables))
    return gone - set().union(*(telling(table.loc[~going, "text"]) for table, going in tables))


def _write(receipt: Receipt, state: Literal["begun", "done"], file: Path) -> Receipt:
    written = replace(receipt, state=state, file=file)
    facts = {name: value for name, value in asdict(written).items() if name != "file"}
    write_atomically(file, json.dumps(facts, indent=1).encode())
    return written


def _corpus_folders() -> Iterator[Path]:
    for name in ("corpora", "imported"):
        yield from sorted(file.parent for file in (home_folder() / name).glob("*/corpus.json"))


def _score_folders() -> Iterator[Path]:
    yield from sorted(file.parent for file in (home_folder() / "scores").glob("*/scores.parquet"))


def _written(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return time.time()
