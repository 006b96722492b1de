"""Repeated splits of train and dev by dialogue, for choices that one small dev split cannot carry."""

from dataclasses import dataclass, replace

import pandas as pd

from hbaf.corpus.schema import Corpus, CorpusError
from hbaf.corpus.splits import place_of


@dataclass(frozen=True)
class Fold:
    """Part `number`, from 0, of the `of` into which `seed` deals the dialogues of train and dev."""

    number: int
    of: int
    seed: int = 0

    def name(self) -> str:
        """For records: which part of how many, by which seed."""
        return f"{self.number + 1} of {self.of}, seed {self.seed}"

    def of_corpus(self, corpus: Corpus) -> Corpus:
        """The corpus with this part as dev and the other parts as train; test and gate are gone.

        Dialogues are dealt by their most frequent emotion, so that every part holds about as many of each. Each
        dialogue is dev in exactly one part.

        Raises:
            CorpusError: there are fewer dialogues than parts.
        """
        known = set(corpus.splits.loc[corpus.splits["split"].isin(["train", "dev"]), "dialogue_id"])
        rows = corpus.utterances[corpus.utterances["dialogue_id"].isin(known)].reset_index(drop=True)
        kinds = {
            str(dialogue): min(emotions.dropna().mode(), default="")
            for dialogue, emotions in rows.groupby("dialogue_id")["emotion"]
        }
        if len(kinds) < self.of:
            raise CorpusError(
                f"corpus {corpus.name}: {len(kinds)} dialogues in train and dev, fewer than {self.of} folds. Ask for "
                "fewer folds, or give more dialogues."
            )
        dealt = sorted(kinds, key=lambda dialogue: (kinds[dialogue], place_of(dialogue, self.seed)))
        named = {d: "dev" if at % self.of == self.number else "train" for at, d in enumerate(dealt)}
        splits = pd.DataFrame({"dialogue_id": sorted(named), "split": [named[d] for d in sorted(named)]}, dtype="str")
        return replace(corpus, utterances=rows, splits=splits)


def folds(count: int, seed: int = 0) -> tuple[Fold | None, ...]:
    """All parts; of one, None: the corpus with its own dev."""
    return tuple(Fold(number, count, seed) for number in range(count)) if count > 1 else (None,)
