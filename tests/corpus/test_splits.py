"""Dialogues to splits: stable, disjoint, none left empty."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hbaf.corpus.folds import Fold
from hbaf.corpus.schema import Corpus, CorpusError, as_utterances, empty_splits
from hbaf.corpus.splits import assign_splits

SHARES = (0.7, 0.15, 0.15)


def corpus(dialogues: int, first: int = 0, unlabelled: tuple[str, ...] = ()) -> Corpus:
    names = [f"d{number}" for number in range(first, first + dialogues)]
    table = pd.DataFrame(
        {
            "corpus": "c",
            "dialogue_id": [name for name in names for _ in range(2)],
            "turn": [0, 1] * dialogues,
            "emotion": [label for name in names for label in (None, None if name in unlabelled else "joy")],
        }
    )
    return Corpus("c", Path("/c"), as_utterances(table), empty_splits(), ("joy",))


def assigned(*args: object, seed: int = 0, **settings: object) -> dict[str, str]:
    splits = assign_splits(corpus(*args, **settings), SHARES, seed).splits  # type: ignore[arg-type]
    return dict(splits.itertuples(index=False))


def test_every_dialogue_is_in_one_split_and_shares_are_kept() -> None:
    splits = assign_splits(corpus(1000), SHARES, 0).splits
    assert splits["dialogue_id"].is_unique
    assert len(splits) == 1000
    counts = splits["split"].value_counts()
    assert counts["train"] == pytest.approx(700, abs=50)
    assert counts["dev"] == pytest.approx(150, abs=35)
    assert counts["test"] == pytest.approx(150, abs=35)


def test_a_dialogue_that_is_added_moves_no_other() -> None:
    few, many = assigned(50), assigned(80)
    assert {name: many[name] for name in few} == few


def test_the_seed_decides_and_nothing_else() -> None:
    assert assigned(50) == assigned(50)
    assert assigned(50, seed=1) != assigned(50)


@pytest.mark.parametrize("dialogues", [3, 4, 5, 8])
@pytest.mark.parametrize("seed", range(10))
def test_no_split_is_empty_even_in_a_tiny_corpus(dialogues: int, seed: int) -> None:
    assert set(assigned(dialogues, seed=seed).values()) == {"train", "dev", "test"}


def test_a_split_without_a_share_stays_empty() -> None:
    splits = assign_splits(corpus(40), (0.5, 0.0, 0.5), 0).splits
    assert set(splits["split"]) == {"train", "test"}
    splits = assign_splits(corpus(40), (1.0, 0.0, 0.0), 0).splits
    assert set(splits["split"]) == {"train"}
    with pytest.raises(CorpusError, match="above zero"):
        assign_splits(corpus(4), (0.0, 0.0, 0.0), 0)


def test_only_dialogues_with_a_label_are_assigned() -> None:
    found = assigned(10, unlabelled=("d3", "d7"))
    assert set(found) == {f"d{number}" for number in range(10)} - {"d3", "d7"}
    nothing = assign_splits(corpus(1, unlabelled=("d0",)), SHARES, 0).splits
    assert len(nothing) == 0
    assert list(nothing.columns) == ["dialogue_id", "split"]


def test_given_splits_are_left_alone() -> None:
    given = pd.DataFrame({"dialogue_id": ["d0"], "split": ["test"]}, dtype="str")
    one = corpus(5)
    one = Corpus(one.name, one.root, one.utterances, given, one.emotions)
    assert assign_splits(one, SHARES, 0) is one


def test_the_gate_takes_from_train_alone_and_stays_as_the_corpus_grows() -> None:
    plain = assigned(400)
    gated = dict(assign_splits(corpus(400), SHARES, 0, 0.1).splits.itertuples(index=False))
    moved = {name for name, split in gated.items() if split == "gate"}
    assert {name for name in plain if plain[name] != gated[name]} == moved
    assert {plain[name] for name in moved} == {"train"}
    assert len(moved) == pytest.approx(28, abs=12)
    grown = dict(assign_splits(corpus(600), SHARES, 0, 0.1).splits.itertuples(index=False))
    assert {name: grown[name] for name in gated} == gated


def test_a_gate_leaves_something_to_train_on() -> None:
    assert "train" in set(assign_splits(corpus(4), SHARES, 0, 1.0).splits["split"])


def test_dev_is_drawn_from_train_where_the_source_names_none() -> None:
    one = corpus(40)
    given = pd.DataFrame(
        {"dialogue_id": [f"d{n}" for n in range(40)], "split": ["train"] * 30 + ["test"] * 10}, dtype="str"
    )
    one = Corpus(one.name, one.root, one.utterances, given, one.emotions)
    drawn = assign_splits(one, SHARES, 0)
    counts = drawn.splits["split"].value_counts()
    assert counts["test"] == 10
    assert 1 <= counts["dev"] <= 12
    assert counts["train"] == 30 - counts["dev"]
    assert f"{counts['dev']} of 30 train dialogues" in drawn.notes[-1]
    assert assign_splits(one, SHARES, 0).splits.equals(drawn.splits)
    assert assign_splits(one, (0.7, 0.0, 0.3), 0) is one


def test_a_single_train_dialogue_stays_in_train() -> None:
    one = corpus(2)
    given = pd.DataFrame({"dialogue_id": ["d0", "d1"], "split": ["train", "test"]}, dtype="str")
    one = Corpus(one.name, one.root, one.utterances, given, one.emotions)
    assert assign_splits(one, SHARES, 0) is one


EMOTIONS = ("anger", "joy", "sadness")


def calls(customers: int, *, agents: int = 0, seed: int = 0) -> Corpus:
    """Each customer calls three times, alone or with an agent of whom each serves his own customers."""
    random = np.random.default_rng(seed)
    rows = []
    for customer in range(customers):
        for call in range(3):
            for turn in range(4):
                speaker = f"agent{customer % agents}" if agents and turn % 2 else f"customer{customer}"
                emotion = EMOTIONS[random.choice(3, p=(0.1, 0.6, 0.3))]
                rows.append(("c", f"{customer}-{call}", turn, speaker, emotion))
    table = pd.DataFrame(rows, columns=["corpus", "dialogue_id", "turn", "speaker", "emotion"])
    return Corpus("c", Path("/c"), as_utterances(table), empty_splits(), EMOTIONS)


def with_split(split: Corpus) -> pd.DataFrame:
    return split.utterances.merge(split.splits, on="dialogue_id", validate="many_to_one")


@pytest.mark.parametrize(("agents", "gate_share"), [(0, 0.0), (0, 0.2), (12, 0.1)])
@pytest.mark.parametrize("stratify", [None, False])
def test_no_speaker_is_in_two_splits(agents: int, gate_share: float, stratify: bool | None) -> None:
    split = assign_splits(calls(60, agents=agents), SHARES, 0, gate_share, by="speaker", stratify=stratify)
    rows = with_split(split)
    assert rows.groupby("speaker")["split"].nunique().max() == 1
    assert {"train", "dev", "test"} <= set(rows["split"])
    assert ("gate" in set(rows["split"])) == bool(gate_share) or (agents and stratify is False), "a hash may miss it"
    # Customers of one agent are one group, which his dialogues name.
    assert split.splits["group"].nunique() == (agents or 60)
    assert rows.groupby("group")["split"].nunique().max() == 1


def test_stratified_splits_hold_their_share_of_every_emotion() -> None:
    for seed in range(5):
        table = with_split(assign_splits(calls(40, seed=seed), SHARES, seed, 0.1, by="speaker"))
        shares = pd.crosstab(table["emotion"], table["split"], normalize="index")
        wanted = {"train": 0.63, "gate": 0.07, "dev": 0.15, "test": 0.15}
        for split, share in wanted.items():
            assert shares[split].to_numpy() == pytest.approx(share, abs=0.05), (seed, split)


def test_dialogues_can_be_stratified_too() -> None:
    by_hash, stratified = (
        with_split(assign_splits(calls(20), SHARES, 0, stratify=stratify)) for stratify in (False, True)
    )
    off = [
        np.abs(pd.crosstab(table["emotion"], table["split"], normalize="index")["test"] - 0.15).max()
        for table in (by_hash, stratified)
    ]
    assert off[1] < 0.05 < off[0]
    assert "group" not in stratified


def test_a_stranger_among_speakers_is_an_error_that_names_a_dialogue() -> None:
    given = calls(10)
    rows = given.utterances.copy()
    rows.loc[rows["dialogue_id"] == "3-1", "speaker"] = "unknown"
    with pytest.raises(CorpusError, match=r"1 of 30 labelled dialogues name no speaker, 3-1 first"):
        assign_splits(given.with_utterances(rows), SHARES, 0, by="speaker")


def test_speakers_who_all_meet_cannot_be_parted() -> None:
    with pytest.raises(CorpusError, match=r"30 labelled dialogues are 1 groups .* Split by dialogue"):
        assign_splits(calls(10, agents=1), SHARES, 0, by="speaker")


@pytest.mark.parametrize("stratify", [None, False])
def test_dev_is_drawn_by_speaker_too(stratify: bool | None) -> None:
    given = calls(20)
    names = given.utterances["dialogue_id"].unique()
    named = pd.DataFrame({"dialogue_id": names, "split": ["test" if n.startswith("1") else "train" for n in names]})
    rows = with_split(assign_splits(replace(given, splits=named), SHARES, 0, by="speaker", stratify=stratify))
    assert set(rows["split"]) == {"train", "dev", "test"}
    assert rows.groupby("speaker")["split"].nunique().max() == 1


def test_splits_of_the_source_stay_and_folds_keep_speakers_together() -> None:
    given = calls(20)
    names = list(given.utterances["dialogue_id"].unique())
    parts = pd.DataFrame({"dialogue_id": names, "split": [("train", "dev")[at % 2] for at in range(len(names))]})
    kept = assign_splits(replace(given, splits=parts), SHARES, 0, by="speaker")
    assert kept.splits[["dialogue_id", "split"]].equals(parts)
    assert re.search(r"\d+ groups of speakers are in several of them; folds keep", kept.notes[-1])
    for number in range(3):
        rows = with_split(Fold(number, 3).of_corpus(kept))
        assert rows.groupby("speaker")["split"].nunique().max() == 1
