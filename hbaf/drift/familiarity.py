"""Whether conversations look like those that a model was trained on, asked before anyone believes their scores.

The monitor compares many conversations of one source; this asks of any corpus, one call included.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hbaf.drift.sketch import Sketcher, fit_sketcher
from hbaf.training.data import Vectors

USUAL = 0.95  # of held-out utterances lie nearer than an utterance that counts as unfamiliar
COMPONENTS = 128  # with fewer, other words seldom lie outside of them; a third of the width at most
GRANTED = 0.1  # share of unfamiliar utterances that new conversations of the same kind are granted
SURE = 0.01  # probability, with that share, of as many unfamiliar utterances


@dataclass(frozen=True, eq=False)
class Edge:
    """How far from what a model learned from its own held-out utterances lie, in one modality.

    Distance is what principal components leave over (`Sketcher.apply`): sounds and words of another kind lie outside
    of them. They are fitted without the held-out utterances, which would otherwise seem nearer than anything new.

    Attributes:
        sketcher: fitted on what the model learned from.
        distance: that `USUAL` of the held-out utterances do not reach.
    """

    sketcher: Sketcher
    distance: float

    def beyond(self, vectors: np.ndarray) -> int:
        """How many of the (n, W) model inputs lie farther out."""
        return int((self.sketcher.apply(vectors)[:, -1] > self.distance).sum())


def fit_edge(vectors: np.ndarray, learned: np.ndarray) -> Edge | None:
    """Args are (n, W) model inputs, NaN where missing, and (n,) bool, those learned from; None where either lacks."""
    there = np.isfinite(vectors).all(1)
    sketcher = fit_sketcher(vectors[there & learned], min(COMPONENTS, max(1, vectors.shape[1] // 3)))
    held_out = vectors[there & ~learned]
    if sketcher is None or not len(held_out):
        return None
    return Edge(sketcher, float(np.quantile(sketcher.apply(held_out)[:, -1], USUAL)))


@dataclass(frozen=True)
class Familiarity:
    """How many utterances of a corpus lie beyond the edge of what a model was trained on.

    Attributes:
        modality: audio or text.
        utterances: that have this modality.
        unfamiliar: how many of them lie beyond.
    """

    modality: str
    utterances: int
    unfamiliar: int

    @property
    def flagged(self) -> bool:
        """Whether most are unfamiliar, and more than chance makes of so few."""
        from scipy.special import bdtrc  # of the binomial distribution; scipy.stats takes .25 s to import

        by_chance = bdtrc(self.unfamiliar - 1, self.utterances, GRANTED)  # as many or more
        return bool(2 * self.unfamiliar > self.utterances and by_chance < SURE)


def familiarity(edges: Mapping[str, Edge], inputs: Vectors) -> tuple[Familiarity, ...]:
    """Asks of each modality that there is.

    Args:
        edges: by modality.
        inputs: of the model, (n, W) per modality, with `has_audio` and `has_text`.
    """
    there = {"audio": inputs.audio[inputs.has_audio], "text": inputs.text[inputs.has_text]}
    return tuple(
        Familiarity(modality, len(there[modality]), edge.beyond(there[modality]))
        for modality, edge in edges.items()
        if len(there[modality])
    )


def warning(found: tuple[Familiarity, ...], trained_on: str) -> str:
    """What to tell people about a corpus; empty where it looks like what the model was trained on.

    Args:
        trained_on: name of the corpus that the model was trained on.
    """
    names = {"audio": "sound", "text": "words"}
    unlike = [one for one in found if one.flagged]
    if not unlike:
        return ""
    shares = " and ".join(f"the {names[one.modality]} of {one.unfamiliar} of {one.utterances}" for one in unlike)
    return (
        f"these conversations are unlike {trained_on}, which the model was trained on: {shares} utterances are "
        f"farther from it than {USUAL:.0%} of its held-out ones. Its probabilities do not hold here; train a model "
        "on labels of your own before you rely on them."
    )
