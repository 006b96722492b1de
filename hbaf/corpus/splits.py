"""Which dialogues are train, dev, test and gate where the corpus itself does not say."""

import hashlib
from dataclasses import replace

import pandas as pd

from hbaf.corpus.schema import GATE, SPLITS, Corpus, CorpusError


def assign_splits(corpus: Corpus, shares: tuple[float, float, float], seed: int, gate_share: float = 0.0) -> Corpus:
    """Assigns dialogues to splits by a hash of their ids; splits that the corpus names are left alone.

    Where it names train and no dev, dev dialogues are drawn from train by their share of the two.

    Each dialogue's place depends on its own id and the seed only, so a dialogue that is added moves no other. The one
    exception are corpora so small that a split would stay empty: it gets the dialogue nearest to it.

    Args:
        shares: of train, dev and test; their sum counts as the whole.
        seed: another seed is another assignment.
        gate_share: of the train dialogues, set aside as `gate`; dev and test are the same with and without it.

    Returns:
        The corpus with a split for every dialogue that holds a label; the others are in none.

    Raises:
        CorpusError: the shares are all zero.
    """
    if len(corpus.splits):
        return _with_dev(corpus, shares, seed)
    if sum(shares) <= 0:
        raise CorpusError("split_shares: at least one of train, dev and test must be above zero.")
    labelled = corpus.utterances.loc[corpus.utterances["emotion"].notna(), "dialogue_id"].unique()
    places = {str(dialogue): place_of(str(dialogue), seed) for dialogue in labelled}
    bounds = [sum(shares[: index + 1]) / sum(shares) for index in range(len(SPLITS))]
    bounds[-1] = 1.0
    chosen = {
        dialogue: next(index for index, bound in enumerate(bounds) if place < bound or bound == 1.0)
        for dialogue, place in places.items()
    }
    _fill_empty_splits(chosen, places, shares, bounds)
    named: dict[str, str] = {dialogue: SPLITS[index] for dialogue, index in chosen.items()}
    for dialogue, split in named.items():
        if split == "train" and place_of(f"{GATE}:{dialogue}", seed) < gate_share:
            named[dialogue] = GATE
    if "train" not in named.values():  # a corpus of a few dialogues: nothing to learn from is worse than no gate
        named = {dialogue: "train" if split == GATE else split for dialogue, split in named.items()}
    splits = pd.DataFrame({"dialogue_id": list(named), "split": list(named.values())}, dtype="str")
    return replace(corpus, splits=splits.sort_values("dialogue_id", ignore_index=True))


def _with_dev(corpus: Corpus, shares: tuple[float, float, float], seed: int) -> Corpus:
    names = set(corpus.splits["split"])
    labelled = set(corpus.utterances.loc[corpus.utterances["emotion"].notna(), "dialogue_id"])
    train = [name for name in corpus.splits.loc[corpus.splits["split"] == "train", "dialogue_id"] if name in labelled]
    if "dev" in names or not shares[1] or len(train) < 2:
        return corpus
    train.sort(key=lambda dialogue: place_of(dialogue, seed))
    share = shares[1] / (shares[0] + shares[1])
    count = sum(place_of(dialogue, seed) < share for dialogue in train)
    drawn = train[: min(max(count, 1), len(train) - 1)]
    splits = corpus.splits.copy()
    splits.loc[splits["dialogue_id"].isin(drawn), "split"] = "dev"
    note = f"no dev split is named: {len(drawn)} of {len(train)} train dialogues were drawn for it by the seed"
    return replace(corpus, splits=splits, notes=(*corpus.notes, note))


def place_of(dialogue: str, seed: int) -> float:
    """A number in [0, 1) that looks drawn by chance and always is the same."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{dialogue}".encode()).digest()[:6], "big") / 2**48


def _fill_empty_splits(
    chosen: dict[str, int], places: dict[str, float], shares: tuple[float, float, float], bounds: list[float]
) -> None:
    wanted = [index for index, share in enumerate(shares) if share > 0]
    if len(chosen) < len(wanted):
        return
    for index in wanted:
        counts = [sum(split == other for split in chosen.values()) for other in range(len(SPLITS))]
        if counts[index]:
            continue
        middle = bounds[index] - shares[index] / sum(shares) / 2
        spare = [dialogue for dialogue, split in chosen.items() if counts[split] > 1]
        chosen[min(spare, key=lambda dialogue: abs(places[dialogue] - middle))] = index
