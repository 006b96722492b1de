"""Prediction reads the vectors of some whole dialogues at a time."""

from pathlib import Path

import pandas as pd

from hbaf.corpus.schema import Corpus, as_utterances, empty_splits
from hbaf.inference.predictor import batches_of, in_shards


def corpus(*lengths: int) -> Corpus:
    rows = [
        {"corpus": "c", "dialogue_id": f"d{dialogue}", "turn": turn, "speaker": "A", "text": "yes"}
        for dialogue, length in enumerate(lengths)
        for turn in range(length)
    ]
    return Corpus("c", Path("/"), as_utterances(pd.DataFrame(rows)), empty_splits())


def test_shards_are_whole_dialogues_in_order_and_no_larger_than_they_must_be() -> None:
    whole = corpus(3, 3, 9, 1, 2)
    parts = [part.utterances for part in in_shards(whole, 5)]
    assert [part["dialogue_id"].unique().tolist() for part in parts] == [["d0", "d1"], ["d2"], ["d3", "d4"]]
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), whole.utterances)
    assert [len(part.utterances) for part in in_shards(corpus(2), 5)] == [2]


def test_a_corpus_without_rows_is_one_empty_shard() -> None:
    whole = corpus(2)
    assert [len(part.utterances) for part in in_shards(whole.with_utterances(whole.utterances.iloc[:0]), 5)] == [0]


def test_batches_hold_dialogues_of_like_length_within_their_turns() -> None:
    lengths = [3, 10, 3, 50, 1, 3]
    batches = [*batches_of(lengths, 12)]
    assert batches == [[4, 0, 2, 5], [1], [3]]
    assert [*batches_of([], 12)] == []
