"""Repeated splits of train and dev by dialogue, for choices that one small dev split cannot carry."""

from dataclasses import dataclass, replace

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
        dialogue is dev in exactly one part; where the corpus was split by speaker, with all that share its speakers.

        Raises:
            CorpusError: there are fewer dialogues, or groups of them, than parts.
        """
        known = set(corpus.splits.loc[corpus.splits["split"].isin(["train", "dev"]), "dialogue_id"])
        rows = corpus.utterances[corpus.utterances["dialogue_id"].isin(known)].reset_index(drop=True)
        splits = corpus.splits[corpus.splits["dialogue_id"].isin(rows["dialogue_id"])]
        groups = splits.set_index("dialogue_id", drop=False)["group" if "group" in splits else "dialogue_id"]
        kinds = {
            str(group): min(emotions.dropna().mode(), default="")
            for group, emotions in rows["emotion"].groupby(rows["dialogue_id"].map(groups))
        }
        if len(kinds) < self.of:
            what = "groups of dialogues with speakers of their own" if "group" in splits else "dialogues"
            raise CorpusError(
                f"corpus {corpus.name}: {len(kinds)} {what} in train and dev, fewer than {self.of} folds. Ask for "
                "fewer folds, or give more dialogues."
            )
        dealt = sorted(kinds, key=lambda group: (kinds[group], place_of(group, self.seed)))
        of_group = {group: "dev" if at % self.of == self.number else "train" for at, group in enumerate(dealt)}
        splits = splits.assign(split=splits["dialogue_id"].map(groups).map(of_group))
        return replace(corpus, utterances=rows, splits=splits.sort_values("dialogue_id", ignore_index=True))


def folds(count: int, seed: int = 0) -> tuple[Fold | None, ...]:
    """All parts; of one, None: the corpus with its own dev."""
    return tuple(Fold(number, count, seed) for number in range(count)) if count > 1 else (None,)
