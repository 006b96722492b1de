"""Joining, padding and batching."""

import numpy as np
import pandas as pd
import pytest
import torch

from hbaf.corpus.schema import Corpus, as_utterances
from hbaf.features.selection.audio_selection import fit_selection
from hbaf.model.batch import UNLABELLED
from hbaf.parameters import FeatureParameters
from hbaf.training.data import (
    LengthBuckets,
    Representation,
    SplitError,
    Vectors,
    beside_deviations,
    collate,
    fit_representation,
    load_split,
    padding_share,
)

EMOTIONS = ("neutral", "joy")


@pytest.fixture
def corpus(tmp_path) -> Corpus:
    rows = [
        {"corpus": "c", "dialogue_id": dialogue, "turn": turn, "speaker": "AB"[turn % 2], "emotion": EMOTIONS[turn % 2]}
        for dialogue, length in (("d1", 3), ("d2", 1), ("d3", 2))
        for turn in range(length)
    ]
    splits = pd.DataFrame({"dialogue_id": ["d1", "d2", "d3"], "split": ["train", "dev", "test"]})
    return Corpus("c", tmp_path, as_utterances(pd.DataFrame(rows)), splits, EMOTIONS)


@pytest.fixture
def vectors() -> Vectors:
    audio = np.arange(24, dtype=np.float32).reshape(6, 4)
    text = np.arange(12, dtype=np.float32).reshape(6, 2) + 1
    has_audio = np.array([True, False, True, True, True, True])
    audio[1] = np.nan
    return Vectors(audio, text, None, has_audio, np.ones(6, dtype=bool))


def test_the_representation_sees_the_train_split_only(corpus, vectors):
    features = FeatureParameters(scale_text=True)
    before = fit_representation(corpus, vectors, features, selects=False)
    vectors.audio[3:] = 1e6
    vectors.text[3:] = 1e6
    after = fit_representation(corpus, vectors, features, selects=False)
    assert before.audio.digest() == after.audio.digest()
    assert before.text.digest() == after.text.digest()
    vectors.audio[0] += 1
    assert fit_representation(corpus, vectors, features, selects=False).audio.digest() != before.audio.digest()


def test_batches_are_joined_by_id_and_padded_with_nothing(corpus, vectors):
    scale = fit_selection(np.array([[0.0] * 4, [2.0] * 4]), np.array([0, 1]), select=None, svm_c=1.0)
    representation = Representation(audio=scale, text=None)
    dialogues = load_split(corpus, vectors, representation, "train") + load_split(
        corpus, vectors, representation, "dev"
    )
    batch = collate(dialogues)
    assert batch.mask.tolist() == [[True, True, True], [True, False, False]]
    assert batch.label.tolist() == [[0, 1, 0], [0, UNLABELLED, UNLABELLED]]
    assert batch.has_audio.tolist() == [[True, False, True], [True, False, False]]
    assert batch.speaker.tolist() == [[0, 1, 0], [0, 0, 0]]
    assert batch.text[1, 0].tolist() == [7.0, 8.0]  # the fourth utterance of the table
    assert torch.equal(batch.text[1, 1:], torch.zeros(2, 2))
    assert torch.equal(batch.audio[0, 1], torch.zeros(4))  # missing audio
    assert torch.isfinite(batch.audio).all()


def test_rows_in_another_order_join_the_same(corpus, vectors):
    features = FeatureParameters()
    representation = fit_representation(corpus, vectors, features, selects=False)
    expected = load_split(corpus, vectors, representation, "train")[0]
    order = np.array([5, 2, 0, 1, 4, 3])
    shuffled = corpus.with_utterances(corpus.utterances.iloc[order])
    moved = Vectors(vectors.audio[order], vectors.text[order], None, vectors.has_audio[order], vectors.has_text[order])
    found = load_split(shuffled, moved, representation, "train")[0]
    row = {u: i for i, u in enumerate(found.utterance_ids)}
    for i, utterance in enumerate(expected.utterance_ids):
        assert np.array_equal(found.text[row[utterance]], expected.text[i])
        assert found.label[row[utterance]] == expected.label[i]


def test_a_split_without_labels_is_refused(corpus, vectors):
    unlabelled = corpus.with_utterances(corpus.utterances.assign(emotion=None))
    scale = fit_selection(vectors.audio, np.zeros(6, dtype=int), select=None, svm_c=1.0)
    with pytest.raises(SplitError, match="no labelled utterance in the dev split"):
        load_split(unlabelled, vectors, Representation(scale, None), "dev")


def test_buckets_give_every_dialogue_once_in_a_new_order_each_epoch():
    random = np.random.default_rng(0)
    lengths = random.integers(1, 30, 200)
    buckets = LengthBuckets(lengths, 8, seed=3)
    first = list(buckets)
    assert sorted(i for batch in first for i in batch) == list(range(200))
    assert len(first) == len(buckets)
    buckets.set_epoch(1)
    second = list(buckets)
    assert first != second
    buckets.set_epoch(0)
    assert list(buckets) == first


def test_buckets_pad_less_than_chance(corpus, vectors):
    random = np.random.default_rng(0)
    scale = fit_selection(vectors.audio, np.zeros(6, dtype=int), select=None, svm_c=1.0)
    one = load_split(corpus, vectors, Representation(scale, None), "train")[0]
    dialogues = [_of_length(one, int(n)) for n in random.integers(1, 40, 256)]
    lengths = [len(d) for d in dialogues]
    chance = [list(range(at, at + 16)) for at in range(0, 256, 16)]
    bucketed = list(LengthBuckets(lengths, 16, seed=0))
    assert padding_share(dialogues, bucketed) < 0.5 * padding_share(dialogues, chance)


def _of_length(dialogue, length):
    from dataclasses import replace

    return replace(dialogue, utterance_ids=tuple(str(i) for i in range(length)))


def test_a_small_rest_joins_the_last_pool():
    lengths = np.random.default_rng(0).integers(1, 40, 4 * 8 * 2 + 8)  # two pools and a quarter
    last = [sorted(int(lengths[i]) for i in batch) for batch in LengthBuckets(lengths, 8, seed=0, pool=4)]
    assert len(last) == 9
    assert max(batch[-1] - batch[0] for batch in last) < 20, "a batch of its own would hold any length"


def test_deviations_from_the_speakers_own_sound():
    """Three turns of one, two of another, of which one has no sound."""
    audio = np.array([[1.0], [5.0], [3.0], [9.0], [5.0]], np.float32)
    speaker, heard = np.array([0, 1, 0, 1, 0]), np.array([True, True, True, False, True])
    both = beside_deviations(audio, speaker, heard, "both")
    # Running mean of the first: -, 1, 2; mean of all: 3.
    assert both[:, 1].tolist() == [0, 0, 2, 0, 3]
    assert both[:, 2].tolist() == [-2, 0, 0, 0, 2]
    assert both[:, 0].tolist() == audio[:, 0].tolist()
    running = beside_deviations(audio, speaker, heard, "running")
    assert running.tolist() == both[:, :2].tolist()
    later = beside_deviations(audio + np.array([[0], [0], [0], [0], [7]]), speaker, heard, "running")
    assert later[:4].tolist() == running[:4].tolist(), "causal"
