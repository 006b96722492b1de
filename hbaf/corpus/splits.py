"""Which dialogues are train, dev, test and gate where the corpus itself does not say."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd

from hbaf.corpus.schema import GATE, SPLITS, UNNAMED_SPEAKER, Corpus, CorpusError

SplitBy = Literal["dialogue", "speaker"]
Deal = Callable[[Mapping[str, np.ndarray], Sequence[float], int], dict[str, int]]  # groups, shares, seed -> places


def assign_splits(
    corpus: Corpus,
    shares: tuple[float, float, float],
    seed: int,
    gate_share: float = 0.0,
    *,
    by: SplitBy = "dialogue",
    stratify: bool | None = None,
) -> Corpus:
    """Assigns dialogues to splits; splits that the corpus names are left alone.

    Where it names train and no dev, dev dialogues are drawn from train by their share of the two.

    By a hash of names, each dialogue's place depends on its own id and the seed only, so a dialogue that is added
    moves no other. The one exception are corpora so small that a split would stay empty: it gets what is nearest to
    it. Stratified, groups are dealt so that each split holds its share of every emotion; a dialogue that is added may
    move others.

    Args:
        shares: of train, dev and test; their sum counts as the whole.
        seed: another seed is another assignment.
        gate_share: of train, set aside as `gate`; dev and test are the same with and without it.
        by: `speaker`: dialogues that share a speaker, also by way of others, stay together; the column `group` of the
            splits tells which do.
        stratify: default: with speakers alone, whose groups are few.

    Returns:
        The corpus with a split for every dialogue that holds a label; the others are in none.

    Raises:
        CorpusError: the shares are all zero; or by speaker, where a labelled dialogue names none or too few groups are
            without a speaker in common.
    """
    names = set(corpus.splits["split"])
    if names and ("dev" in names or not shares[1]):
        return corpus if by == "dialogue" else _of_source_by_speaker(corpus)
    if sum(shares) <= 0:
        raise CorpusError("split_shares: at least one of train, dev and test must be above zero.")
    deal = _deal_stratified if (by == "speaker" if stratify is None else stratify) else _deal_by_place
    labelled = corpus.utterances.loc[corpus.utterances["emotion"].notna(), "dialogue_id"].unique()
    group_of = {str(dialogue): str(dialogue) for dialogue in labelled} if by == "dialogue" else _by_speaker(corpus)
    if names:
        drawn = _with_dev(corpus, shares, seed, group_of, deal)
        return drawn if by == "dialogue" else _of_source_by_speaker(drawn)
    groups = _labels_of(corpus, group_of)
    wanted = sum(share > 0 for share in shares)
    if by == "speaker" and len(groups) < wanted:
        raise CorpusError(
            f"corpus {corpus.name}: split_by speaker: its {len(group_of)} labelled dialogues are {len(groups)} "
            f"groups without a speaker in common, and {wanted} splits want one each: speakers meet in too many "
            "dialogues. Split by dialogue, or name the splits in a column `split`."
        )
    places = deal(groups, shares, seed)
    split_of: dict[str, str] = {group: SPLITS[place] for group, place in places.items()}
    train = {group: labels for group, labels in groups.items() if split_of[group] == "train"}
    gate = _gate(train, gate_share, seed, deal)
    if len(gate) < len(train):  # a corpus of a few dialogues: nothing to learn from is worse than no gate
        split_of |= dict.fromkeys(gate, GATE)
    splits = pd.DataFrame(
        {"dialogue_id": list(group_of), "split": [split_of[group] for group in group_of.values()]}, dtype="str"
    )
    if by == "speaker":
        splits = _with_groups(splits, group_of)
    return replace(corpus, splits=splits.sort_values("dialogue_id", ignore_index=True))


def _with_groups(splits: pd.DataFrame, group_of: Mapping[str, str]) -> pd.DataFrame:
    """The column by which folds keep speakers together; a dialogue without a label is a group of its own."""
    groups = [group_of.get(str(dialogue), str(dialogue)) for dialogue in splits["dialogue_id"]]
    return splits.assign(group=pd.Series(groups, splits.index, dtype="str"))


def _of_source_by_speaker(corpus: Corpus) -> Corpus:
    """The source's splits with the groups that folds keep together, and what became of the wish in a note."""
    splits = _with_groups(corpus.splits, _by_speaker(corpus))
    shared = int((splits.groupby("group")["split"].nunique() > 1).sum())
    met = f"{shared} groups of speakers are in several of them" if shared else "no speaker is in two of them"
    note = f"split_by speaker: the splits are the source's, and {met}; folds keep speakers together"
    return replace(corpus, splits=splits, notes=(*corpus.notes, note))


def _by_speaker(corpus: Corpus) -> dict[str, str]:
    """Labelled dialogue -> the first, by name, of the speakers that it shares, also by way of other dialogues."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows = corpus.utterances[["dialogue_id", "speaker", "emotion"]].astype({"dialogue_id": "str"})
    labelled = rows.loc[rows["emotion"].notna(), "dialogue_id"].unique()
    rows = rows[rows["dialogue_id"].isin(labelled)]
    named = rows[rows["speaker"].notna() & (rows["speaker"] != UNNAMED_SPEAKER)]
    nobody = sorted(set(labelled) - set(named["dialogue_id"]))
    if nobody:
        raise CorpusError(
            f"corpus {corpus.name}: split_by speaker: {len(nobody)} of {len(labelled)} labelled dialogues name no "
            f"speaker, {nobody[0]} first. Name the speakers, say in which column they stand "
            "(`--columns NAME=speaker`), or split by dialogue."
        )
    dialogue, dialogues = pd.factorize(named["dialogue_id"])
    speaker, speakers = pd.factorize(named["speaker"].astype("str"), sort=True)
    size = len(dialogues) + len(speakers)
    edges = coo_array((np.ones(len(named)), (dialogue, len(dialogues) + speaker)), shape=(size, size))
    _, part = connected_components(edges, directed=False)
    first: dict[int, str] = {}
    for name, number in zip(speakers, part[len(dialogues) :], strict=True):
        first.setdefault(int(number), str(name))
    return {str(name): first[int(number)] for name, number in zip(dialogues, part, strict=False)}


def _labels_of(corpus: Corpus, group_of: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Group -> (C,) how often each emotion occurs in it."""
    rows = corpus.utterances[corpus.utterances["emotion"].notna()]
    counts = pd.crosstab(rows["dialogue_id"].astype("str").map(group_of), rows["emotion"])
    of = {str(group): row.to_numpy(float) for group, row in counts.iterrows()}
    return {group: of[group] for group in dict.fromkeys(group_of.values()) if group in of}


def _with_dev(
    corpus: Corpus, shares: tuple[float, float, float], seed: int, group_of: Mapping[str, str], deal: Deal
) -> Corpus:
    train = {str(name) for name in corpus.splits.loc[corpus.splits["split"] == "train", "dialogue_id"]}
    own = {dialogue: group for dialogue, group in group_of.items() if dialogue in train}
    groups = _labels_of(corpus, own)
    if len(groups) < 2:
        return corpus
    share = shares[1] / (shares[0] + shares[1])
    places = {group: place_of(group, seed) for group in groups}
    if deal is _deal_by_place:  # the first of the row, so that dev stays as the corpus grows
        count = sum(place < share for place in places.values())
        drawn_groups = set(sorted(groups, key=places.__getitem__)[: min(max(count, 1), len(groups) - 1)])
    else:
        dealt = deal(groups, (1 - share, share), seed)
        drawn_groups = {group for group, place in dealt.items() if place}
    drawn = [dialogue for dialogue, group in own.items() if group in drawn_groups]
    splits = corpus.splits.copy()
    splits.loc[splits["dialogue_id"].isin(drawn), "split"] = "dev"
    note = f"no dev split is named: {len(drawn)} of {len(own)} train dialogues were drawn for it by the seed"
    return replace(corpus, splits=splits, notes=(*corpus.notes, note))


def _gate(train: Mapping[str, np.ndarray], share: float, seed: int, deal: Deal) -> list[str]:
    """The groups of train that are set aside."""
    if deal is _deal_by_place:
        return [group for group in train if place_of(f"{GATE}:{group}", seed) < share]
    return [group for group, place in deal(train, (1 - share, share), seed).items() if place] if share > 0 else []


def place_of(dialogue: str, seed: int) -> float:
    """A number in [0, 1) that looks drawn by chance and always is the same."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{dialogue}".encode()).digest()[:6], "big") / 2**48


def _deal_by_place(groups: Mapping[str, np.ndarray], shares: Sequence[float], seed: int) -> dict[str, int]:
    places = {group: place_of(group, seed) for group in groups}
    bounds = [sum(shares[: index + 1]) / sum(shares) for index in range(len(shares))]
    bounds[-1] = 1.0
    chosen = {
        group: next(index for index, bound in enumerate(bounds) if place < bound or bound == 1.0)
        for group, place in places.items()
    }
    _fill_empty_splits(chosen, places, shares, bounds)
    return chosen


def _deal_stratified(groups: Mapping[str, np.ndarray], shares: Sequence[float], seed: int) -> dict[str, int]:
    """The largest group first, each to the split where it brings the emotions nearest to their shares.

    As scikit-learn's StratifiedGroupKFold, which deals to folds of equal size alone.
    """
    total = np.maximum(sum(groups.values(), np.zeros(())), 1)
    wanted = np.array(shares)[:, None] / sum(shares)  # (splits, 1)
    held = np.zeros((len(shares), len(np.atleast_1d(total))))  # (splits, C) share of each emotion
    counts = np.zeros(len(shares), int)
    chosen: dict[str, int] = {}
    order = sorted(groups, key=lambda group: (-groups[group].sum(), place_of(group, seed)))
    for at, group in enumerate(order):
        gain = ((wanted - held) ** 2 - (wanted - held - groups[group] / total) ** 2).sum(1)
        empty = (counts == 0) & (wanted[:, 0] > 0)
        # As many groups are left as splits are empty: each of these gets one.
        open_to = empty if len(order) - at <= empty.sum() else wanted[:, 0] > 0
        chosen[group] = int(np.where(open_to, gain, -np.inf).argmax())
        held[chosen[group]] += groups[group] / total
        counts[chosen[group]] += 1
    return chosen


def _fill_empty_splits(
    chosen: dict[str, int], places: dict[str, float], shares: Sequence[float], bounds: Sequence[float]
) -> None:
    wanted = [index for index, share in enumerate(shares) if share > 0]
    if len(chosen) < len(wanted):
        return
    for index in wanted:
        counts = [sum(split == other for split in chosen.values()) for other in range(len(shares))]
        if counts[index]:
            continue
        middle = bounds[index] - shares[index] / sum(shares) / 2
        spare = [group for group, split in chosen.items() if counts[split] > 1]
        chosen[min(spare, key=lambda group: abs(places[group] - middle))] = index
