"""How far the annotators of a corpus agree: Krippendorff's alpha, and the utterances on which they differ."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hbaf.corpus.annotations import Annotation, votes_of
from hbaf.corpus.labels import LabelMap
from hbaf.corpus.schema import Corpus
from hbaf.statistics import coincidences, interval, krippendorff_alpha

NO_LABEL = "(no label)"  # what a map of labels made nothing of


@dataclass(frozen=True)
class Disagreement:
    """An utterance that annotators labelled differently: who said what, and the words."""

    utterance_id: str
    said: dict[str, str]
    text: str


@dataclass(frozen=True)
class Agreement:
    """Of the annotators of one corpus.

    Attributes:
        annotators: name -> how many utterances each labelled.
        shared: utterances that two or more labelled.
        alpha: Krippendorff's, of those; NaN where it is not defined.
        interval: its 95 % interval over dialogues.
        same: share of pairs of annotations of an utterance that are equal, 0..1.
        confused: (one emotion, another, utterances) most first.
        disagreements: in order of the table.
    """

    annotators: dict[str, int]
    shared: int
    alpha: float
    interval: tuple[float, float]
    same: float
    confused: tuple[tuple[str, str, int], ...]
    disagreements: tuple[Disagreement, ...]


def agreement_of(corpus: Corpus, annotations: Sequence[Annotation], labels: LabelMap) -> Agreement | None:
    """The agreement on a corpus; None where no utterance has the labels of two annotators.

    Args:
        labels: what becomes of labels before they are compared.
    """
    given = [one for one in annotations if one.emotion]
    votes, _ = votes_of(corpus, given, labels)
    several = {name: of for name, of in votes.items() if of.total() > 1}
    if not several:
        return None
    emotions = sorted({emotion for of in several.values() for emotion in of})
    table = corpus.utterances.set_index("utterance_id").loc[list(several)]
    counts = np.array([[of[emotion] for emotion in emotions] for of in several.values()])
    by_dialogue = coincidences(table["dialogue_id"].to_numpy(), counts)
    whole = by_dialogue.sum(0)
    said: dict[str, dict[str, str]] = {}
    for one in given:
        if one.utterance_id in several:
            said.setdefault(one.utterance_id, {})[one.annotator] = labels(one.emotion) or NO_LABEL
    confused: Counter[tuple[str, str]] = Counter()
    for of in several.values():
        names = sorted(emotion or NO_LABEL for emotion in of)
        confused.update((first, second) for place, first in enumerate(names) for second in names[place + 1 :])
    return Agreement(
        annotators=dict(sorted(Counter(one.annotator for one in given).items())),
        shared=len(several),
        alpha=float(krippendorff_alpha(whole)),
        interval=interval(by_dialogue, krippendorff_alpha),
        same=float(np.trace(whole) / whole.sum()),
        confused=tuple((*pair, count) for pair, count in confused.most_common()),
        disagreements=tuple(
            Disagreement(str(name), said[str(name)], "" if pd.isna(text) else str(text))
            for name, text in table["text"].items()
            if len(several[str(name)]) > 1
        ),
    )
