"""Which conversations to label first: what the model is unsure of, what is not covered yet, and a random part.

Whole conversations, since a turn is judged in its context. D conversations, C classes.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

from hbaf.corpus.schema import Corpus, is_missing
from hbaf.labelling.given import LabellingError
from hbaf.scoring.store import ScoreStore

Part = Literal["chosen", "random"]


@dataclass(frozen=True)
class Candidate:
    """A conversation that could be labelled.

    Attributes:
        dialogue_id: of the corpus.
        turns: usable ones without a label of their own.
        uncertainty: mean entropy of the calibrated probabilities as a share of the highest possible, 0..1; NaN where
            none of its turns is scored.
        disagreement: share of the turns with words and sound on which audio alone and text alone say different things,
            0..1; NaN where no turn has both.
        classes: predicted emotion -> turns.
        speakers: who speaks -> turns.
    """

    dialogue_id: str
    turns: int
    uncertainty: float = math.nan
    disagreement: float = math.nan
    classes: Counter[str] = field(default_factory=Counter)
    speakers: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Chosen:
    """A conversation to label, with why: `random` ones alone give an honest estimate of anything."""

    candidate: Candidate
    part: Part


def candidates(corpus: Corpus, scores: pd.DataFrame) -> list[Candidate]:
    """The conversations of a corpus that have unlabelled turns, in order of the table.

    Args:
        corpus: with the labels that people gave already.
        scores: rows of it as any model left them, or none; see `latest_scores`.
    """
    table = corpus.utterances
    usable = table["text_problem"].isna() | table["audio_problem"].isna()
    open_turns = table[table["emotion"].isna() & usable]
    scored = scores.set_index("utterance_id") if len(scores) else pd.DataFrame()
    found = []
    for dialogue, rows in open_turns.groupby("dialogue_id", sort=False):
        said = scored.loc[scored.index.intersection(pd.Index(rows["utterance_id"]))] if len(scored) else scored
        said = said[said["label"].notna()] if len(said) else said
        found.append(
            Candidate(
                str(dialogue),
                len(rows),
                _uncertainty(said),
                _disagreement(said),
                Counter(said["label"].astype(str)) if len(said) else Counter(),
                Counter("" if is_missing(name) else str(name) for name in rows["speaker"]),
            )
        )
    return found


def latest_scores(corpus: Corpus, store: ScoreStore) -> pd.DataFrame:
    """The newest scored row of each utterance of a corpus that a store holds; no rows where it was never scored."""
    parts = []
    for table in store.tables:
        for part in table.frames():
            mine = part[part["utterance_id"].isin(corpus.utterances["utterance_id"])]
            if len(mine):
                parts.append(mine)
    if not parts:
        return pd.DataFrame()
    rows = pd.concat(parts, ignore_index=True).sort_values("scored_at", kind="stable")
    return rows.drop_duplicates("utterance_id", keep="last").reset_index(drop=True)


def choose(found: Sequence[Candidate], turns: int, *, random_share: float = 0.25, seed: int = 0) -> list[Chosen]:
    """Whole conversations until there are so many turns; the random ones first.

    The random part is drawn by chance alone. Of the others each next one has the highest sum of three figures, each a
    mean over its turns and about 0 to 1: uncertainty, disagreement of the modalities, and what it adds to predicted
    classes and speakers that those before it hold few of (the growth of the logarithm of their counts).

    Args:
        turns: at least so many, or all there are.
        random_share: of the turns, 0..1.

    Raises:
        LabellingError: every usable turn has a label.
    """
    if not found:
        raise LabellingError("every conversation is labelled, or has neither words nor sound: nothing to choose from.")
    random = np.random.default_rng(seed)
    left = [found[number] for number in random.permutation(len(found))]
    chosen: list[Chosen] = []
    count = 0
    while left and count < turns * random_share:
        count += _take(chosen, left, 0, "random")
    classes, speakers = Counter[str](), Counter[str]()
    for one in chosen:
        classes, speakers = classes + one.candidate.classes, speakers + one.candidate.speakers
    while left and count < turns:
        values = [_value(one, classes, speakers) for one in left]
        place = int(np.argmax(values))
        classes, speakers = classes + left[place].classes, speakers + left[place].speakers
        count += _take(chosen, left, place, "chosen")
    return chosen


def _take(chosen: list[Chosen], left: list[Candidate], place: int, part: Part) -> int:
    one = left.pop(place)
    chosen.append(Chosen(one, part))
    return one.turns


def _value(one: Candidate, classes: Counter[str], speakers: Counter[str]) -> float:
    unsure = [value for value in (one.uncertainty, one.disagreement) if not math.isnan(value)]
    return sum(unsure) + _adds(one.classes, classes) + _adds(one.speakers, speakers)


def _adds(new: Counter[str], there: Counter[str]) -> float:
    """How much rarer than before nothing becomes: the mean over the turns of the growth of log(1 + count)."""
    grows = sum(math.log1p(there[name] + count) - math.log1p(there[name]) for name, count in new.items())
    return grows / new.total() if new else 0.0


def _uncertainty(rows: pd.DataFrame) -> float:
    columns = [name for name in rows if str(name).startswith("p_")] if len(rows) else []
    if len(columns) < 2:
        return math.nan
    p = np.clip(rows[columns].to_numpy(float), 1e-12, 1)
    p = np.where(np.isnan(p), 1e-12, p)  # classes that this row's model does not know
    known = rows[columns].notna().sum(axis=1).to_numpy(float)
    return float((-(p * np.log(p)).sum(1) / np.log(np.maximum(known, 2))).mean())


def _disagreement(rows: pd.DataFrame) -> float:
    if not len(rows) or not {"audio_label", "text_label"} <= set(rows):
        return math.nan
    both = rows[rows["audio_label"].notna() & rows["text_label"].notna()]
    return float((both["audio_label"] != both["text_label"]).mean()) if len(both) else math.nan
