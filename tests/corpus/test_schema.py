"""The utterance table: order, dtypes, ids, digests, saving."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from hbaf.corpus.schema import (
    UTTERANCE_COLUMNS,
    Corpus,
    CorpusError,
    as_utterances,
    empty_set_aside,
    is_missing,
    load_corpus,
    save_corpus,
)


def rows() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "corpus": "c",
            "dialogue_id": ["b", "a", "a"],
            "turn": [0, 1, 0],
            "text": ["three", None, "one"],
            "cue": ["x", "y", "z"],
        }
    )


def corpus(table: pd.DataFrame | None = None) -> Corpus:
    splits = pd.DataFrame({"dialogue_id": ["b", "a"], "split": ["test", "train"]}, dtype="str")
    return Corpus("c", Path("/somewhere"), as_utterances(rows() if table is None else table), splits, ("joy",))


def test_rows_are_completed_ordered_and_named() -> None:
    table = as_utterances(rows())
    assert list(table["utterance_id"]) == ["c/a/0", "c/a/1", "c/b/0"]
    assert list(table.columns) == [*UTTERANCE_COLUMNS, "cue"]
    assert all(table[name].dtype == dtype for name, dtype in UTTERANCE_COLUMNS.items())
    assert list(table["text"].isna()) == [False, True, False]
    assert list(table["cue"]) == ["z", "y", "x"]
    assert table["channel"].isna().all()


def test_equal_dialogue_and_turn_are_refused() -> None:
    with pytest.raises(CorpusError, match="c/a/0: two rows have the same dialogue and turn"):
        as_utterances(rows().assign(turn=0))


def test_the_digest_is_of_the_content_and_not_of_the_place() -> None:
    one = corpus()
    assert corpus(rows().iloc[::-1]).digest() == one.digest()
    assert replace(one, root=Path("/elsewhere")).digest() == one.digest()
    assert corpus(rows().assign(audio="x.wav")).digest() == one.digest()
    changed = rows()
    changed.loc[0, "text"] = "four"
    assert corpus(changed).digest() != one.digest()
    assert replace(one, emotions=("joy", "anger")).digest() != one.digest()
    missing, word = rows(), rows()
    missing["emotion"], word["emotion"] = None, "None"
    assert corpus(missing).digest() != corpus(word).digest()


def test_splits_have_a_digest_of_their_own() -> None:
    one = corpus()
    assert replace(one, splits=one.splits.iloc[::-1]).splits_digest() == one.splits_digest()
    moved = replace(one, splits=one.splits.assign(split="train"))
    assert moved.splits_digest() != one.splits_digest()
    assert moved.digest() == one.digest()
    assert list(one.in_split("train")["utterance_id"]) == ["c/a/0", "c/a/1"]


def test_a_saved_corpus_comes_back_equal(tmp_path: Path) -> None:
    one = replace(corpus(), set_aside=empty_set_aside(), licence="CC0-1.0")
    reference = save_corpus(one, tmp_path / "saved")
    back = load_corpus(reference)
    pd.testing.assert_frame_equal(back.utterances, one.utterances)
    assert (back.name, back.root, back.emotions, back.licence) == (one.name, one.root, one.emotions, one.licence)
    assert (back.digest(), back.splits_digest()) == (reference.digest, reference.splits_digest)
    assert load_corpus(tmp_path / "saved").digest() == one.digest()


def test_what_is_no_saved_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"no corpus\.json"):
        load_corpus(tmp_path)
    reference = save_corpus(corpus(), tmp_path)
    with pytest.raises(CorpusError, match="was asked for"):
        load_corpus(replace(reference, digest="0" * 64))


def test_missing_values_are_missing_and_words_are_not() -> None:
    assert all(is_missing(value) for value in (None, float("nan"), pd.NA, pd.NaT))
    assert not any(is_missing(value) for value in ("", "None", 0, 0.0, False))
