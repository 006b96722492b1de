"""Folds of train and dev: by dialogue, each dev once, alike in emotions, without test, the same every time."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from hbaf.corpus.folds import Fold, folds
from hbaf.corpus.schema import Corpus, CorpusError, as_utterances, empty_splits
from hbaf.corpus.splits import assign_splits

SPLITS = {"train": range(20), "dev": range(20, 26), "test": range(26, 32), "gate": range(32, 34)}


def made() -> Corpus:
    """Dialogues of two turns, a third of them of anger."""
    rows = [
        {"corpus": "c", "dialogue_id": f"d{d}", "turn": t, "speaker": "A", "text": "x", "audio": None,
         "emotion": "anger" if d % 3 == 0 else "joy", "text_problem": None, "audio_problem": "none"}
        for d in range(34) for t in range(2)
    ]  # fmt: skip
    splits = pd.DataFrame(
        [(f"d{d}", split) for split, ds in SPLITS.items() for d in ds], columns=["dialogue_id", "split"]
    )
    return Corpus("c", Path("/"), as_utterances(pd.DataFrame(rows)), splits, emotions=("anger", "joy"))


def test_each_dialogue_is_dev_once_and_test_and_gate_are_gone() -> None:
    parts = [fold.of_corpus(made()) for fold in folds(5) if fold]
    known = {f"d{d}" for d in range(26)}
    dev = [set(part.in_split("dev")["dialogue_id"]) for part in parts]
    assert set().union(*dev) == known
    assert sum(map(len, dev)) == len(known)
    for part, held in zip(parts, dev, strict=True):
        assert set(part.utterances["dialogue_id"]) == known
        assert set(part.in_split("train")["dialogue_id"]) == known - held
        assert part.utterances.index.tolist() == list(range(52))
        # Nine dialogues of anger, seventeen of joy, dealt to five.
        anger = sum(int(d[1:]) % 3 == 0 for d in held)
        assert anger in (1, 2)
        assert len(held) - anger in (3, 4)


def test_the_seed_decides() -> None:
    once, again, other = (Fold(0, 5, seed).of_corpus(made()).splits_digest() for seed in (0, 0, 1))
    assert once == again != other


def test_one_fold_is_the_corpus_own_dev() -> None:
    assert folds(1) == (None,)


def test_too_few_dialogues() -> None:
    with pytest.raises(CorpusError, match="26 dialogues in train and dev, fewer than 27 folds"):
        Fold(0, 27).of_corpus(made())


def test_speakers_stay_together_in_the_folds_of_a_corpus_split_by_speaker() -> None:
    corpus = made()
    rows = corpus.utterances.assign(speaker=[f"s{int(name[1:]) // 3}" for name in corpus.utterances["dialogue_id"]])
    corpus = assign_splits(
        replace(corpus, splits=empty_splits()).with_utterances(rows), (0.8, 0.1, 0.1), 0, by="speaker"
    )
    dev = []
    for fold in folds(4):
        assert fold is not None
        part = fold.of_corpus(corpus)
        table = part.utterances.merge(part.splits, on="dialogue_id", validate="many_to_one")
        assert table.groupby("speaker")["split"].nunique().max() == 1
        dev += part.in_split("dev")["dialogue_id"].unique().tolist()
    assert sorted(dev) == sorted(corpus.splits.query("split in ['train', 'dev']")["dialogue_id"])
    with pytest.raises(CorpusError, match="groups of dialogues with speakers of their own"):
        Fold(0, 30).of_corpus(corpus)
