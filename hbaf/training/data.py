"""Corpus + feature columns -> dialogues joined by id -> padded batches. The only place that pads.

N utterances of a corpus, B dialogues in a batch, U utterances of a dialogue.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from torch.utils.data import Sampler

from feature_store.store import open_store
from hbaf.corpus.schema import Corpus, is_missing
from hbaf.features.columns import Columns
from hbaf.features.cross_fit import read_cross_fitted
from hbaf.features.extract import ColumnReference, read_column
from hbaf.features.imported.columns import read_imported_column
from hbaf.features.imported.facts import is_imported
from hbaf.features.selection.audio_selection import AudioSelection, fit_selection, identity_scaling
from hbaf.model.batch import UNLABELLED, DialogueBatch
from hbaf.parameters import FeatureParameters, SpeakerRelative


class SplitError(ValueError):
    """A split cannot be used for what was asked."""


COMMONSENSE_RELATIONS = 3  # external, internal, purpose


@dataclass(frozen=True)
class Vectors:
    """Vectors of a corpus, a row per utterance in the order of its table; NaN rows where there is nothing.

    Attributes:
        audio: (N, audio_dim) float32.
        text: (N, text_dim) float32.
        commonsense: (N, 3, commonsense_dim) float32, or None.
        has_audio: (N,) bool.
        has_text: (N,) bool.
        selected_by: digest of the selection that `audio` has been through already; "" for the extractor's own numbers.
    """

    audio: np.ndarray
    text: np.ndarray
    commonsense: np.ndarray | None
    has_audio: np.ndarray
    has_text: np.ndarray
    selected_by: str = ""


def read_vectors(corpus: Corpus, columns: Columns) -> Vectors:
    """Joins the columns to the corpus by the content of each utterance."""
    # Audio is always scaled, and the scaling fills in single missing values of imported rows; text is not.
    audio, has_audio = _read(corpus, columns.audio, partly=True)
    text, has_text = _read(corpus, columns.text)
    commonsense = None
    if columns.commonsense is not None:
        flat, has_commonsense = _read(corpus, columns.commonsense)
        commonsense = flat.reshape(len(flat), COMMONSENSE_RELATIONS, -1)
        has_text = has_text & has_commonsense
    return Vectors(audio, text, commonsense, has_audio, has_text, columns.audio.selection)


def _read(corpus: Corpus, column: ColumnReference, *, partly: bool = False) -> tuple[np.ndarray, np.ndarray]:
    if column.keyed_by == "utterance":
        return read_imported_column(corpus, column, open_store(column.store_url), partly=partly)
    read = read_cross_fitted if column.folds else read_column
    return read(corpus, column, open_store(column.store_url))


@dataclass(frozen=True)
class Representation:
    """What was fitted on the train split and turns raw vectors into model inputs; part of the model package.

    Attributes:
        audio: z-score and, for openSMILE functionals, the choice of numbers.
        text: z-score, or None when text goes in as it is.
        speaker_relative: which deviations from the speaker's own sound are appended, see `FeatureParameters`.
    """

    audio: AudioSelection
    text: AudioSelection | None
    speaker_relative: SpeakerRelative = "none"

    @property
    def audio_dim(self) -> int:
        """Width of the audio that a model reads."""
        return self.audio.dim * {"none": 1, "running": 2, "both": 3}[self.speaker_relative]

    def transform(self, vectors: Vectors) -> Vectors:
        """Raw vectors -> model inputs; audio that was stored selected goes in as it is.

        Raises:
            ValueError: it was selected for another model.
        """
        if vectors.selected_by and vectors.selected_by != self.audio.digest():
            raise ValueError(
                "the audio vectors were selected for another model. Read them with this model's selection."
            )
        return Vectors(
            audio=vectors.audio if vectors.selected_by else self.audio.apply(vectors.audio),
            text=vectors.text if self.text is None else self.text.apply(vectors.text),
            commonsense=vectors.commonsense,
            has_audio=vectors.has_audio,
            has_text=vectors.has_text,
        )

    def save(self, folder: Path) -> None:
        """Writes audio_selection.safetensors, and text_scaling.safetensors where text is scaled."""
        self.audio.save(folder / "audio_selection.safetensors")
        if self.text is not None:
            self.text.save(folder / "text_scaling.safetensors")

    @staticmethod
    def load(folder: Path, features: FeatureParameters) -> "Representation":
        """Reads what `save` wrote; `speaker_relative` was not fitted, so it comes from the parameters."""
        text = folder / "text_scaling.safetensors"
        return Representation(
            audio=AudioSelection.load(folder / "audio_selection.safetensors"),
            text=AudioSelection.load(text) if text.exists() else None,
            speaker_relative=features.speaker_relative,
        )


def fit_representation(
    corpus: Corpus, vectors: Vectors, features: FeatureParameters, *, selects: bool
) -> Representation:
    """Fits scaling and selection on the labelled utterances of the train split, and on nothing else.

    Args:
        selects: whether the audio representation is one that the SVM selection applies to.
    """
    train = set(corpus.in_split("train")["utterance_id"])
    in_train = corpus.utterances["utterance_id"].isin(train).to_numpy()
    labels = label_indices(corpus.utterances["emotion"], corpus.emotions)
    fitted_on = in_train & (labels != UNLABELLED)
    select = features.select if selects and vectors.audio.shape[1] > (features.select or 0) else None
    # A corpus without sound, or without words, has nothing to fit there: its vectors are all missing anyway.
    heard, read = vectors.has_audio[fitted_on].any(), vectors.has_text[in_train].any()
    audio = identity_scaling(vectors.audio.shape[1])
    if heard:
        audio = fit_selection(
            vectors.audio[fitted_on],
            labels[fitted_on],
            select=select,
            svm_c=features.svm_c,
            fill_in=is_imported(features.audio),
        )
    text = None
    if features.scale_text:
        text = fit_selection(vectors.text[in_train]) if read else identity_scaling(vectors.text.shape[1])
    return Representation(audio, text, features.speaker_relative)


@dataclass(frozen=True)
class Dialogue:
    """One dialogue, ready for a batch; missing rows are zero and marked. Shapes as in `Vectors`, with U for N."""

    dialogue_id: str
    utterance_ids: tuple[str, ...]
    audio: np.ndarray
    text: np.ndarray
    commonsense: np.ndarray | None
    has_audio: np.ndarray
    has_text: np.ndarray
    speaker: np.ndarray
    label: np.ndarray

    def __len__(self) -> int:
        return len(self.utterance_ids)


def load_split(
    corpus: Corpus,
    vectors: Vectors,
    representation: Representation,
    split: Literal["train", "dev"],
    emotions: Sequence[str] | None = None,
) -> list[Dialogue]:
    """The dialogues that learning may see. The test split has a reader of its own in `evaluate`.

    Args:
        emotions: as in `make_dialogues`; default: the corpus's own.

    Raises:
        SplitError: the split holds no labelled utterance.
    """
    found = make_dialogues(corpus, vectors, representation, corpus.in_split(split), emotions or corpus.emotions)
    if not any((dialogue.label != UNLABELLED).any() for dialogue in found):
        raise SplitError(f"corpus {corpus.name}: no labelled utterance in the {split} split. {_what_is_there(corpus)}")
    return found


def _what_is_there(corpus: Corpus) -> str:
    """Splits and labels as they are, and what is missing."""
    labelled = corpus.utterances.loc[corpus.utterances["emotion"].notna(), "dialogue_id"]
    if labelled.empty:
        return "No utterance has a label: give the emotions in the manifest."
    counts = corpus.splits["split"].value_counts()
    there = ", ".join(f"{count} are {split}" for split, count in counts.items()) or "none is in a split"
    return (
        f"Of {corpus.utterances['dialogue_id'].nunique()} dialogues, {labelled.nunique()} have labels; {there}. Mark "
        "labelled dialogues for each of train, dev and test, or give more dialogues."
    )


def make_dialogues(
    corpus: Corpus, vectors: Vectors, representation: Representation, rows: pd.DataFrame, emotions: Sequence[str]
) -> list[Dialogue]:
    """Dialogues of the given rows of `corpus.utterances`, in table order.

    Args:
        vectors: of the whole corpus, not of `rows` alone.
        emotions: the label set of the model that reads them, in the order of its classes. A trained model's is its
            own, whatever labels the corpus has; a label outside of it counts as none.
    """
    inputs = representation.transform(vectors)
    labels = label_indices(corpus.utterances["emotion"], emotions)
    has_audio, has_text = inputs.has_audio, inputs.has_text
    audio, text = _zero_missing(inputs.audio, has_audio), _zero_missing(inputs.text, has_text)
    commonsense = None if inputs.commonsense is None else _zero_missing(inputs.commonsense, has_text)
    position = pd.Series(np.arange(len(corpus.utterances)), index=corpus.utterances["utterance_id"])
    every = position[rows["utterance_id"]].to_numpy()
    ids, speakers = rows["utterance_id"].tolist(), rows["speaker"].fillna("").tolist()
    groups = rows.groupby("dialogue_id", sort=False).indices
    dialogues = []
    for dialogue_id, places in sorted(groups.items(), key=lambda group: group[1][0]):
        at = every[places]
        spoken = audio[at]
        ranks: dict[str, int] = {}
        speaker = np.array([ranks.setdefault(speakers[place], len(ranks)) for place in places], np.int64)
        if representation.speaker_relative != "none":
            spoken = beside_deviations(spoken, speaker, has_audio[at], representation.speaker_relative)
        dialogues.append(
            Dialogue(
                dialogue_id=str(dialogue_id),
                utterance_ids=tuple(ids[place] for place in places),
                audio=spoken,
                text=text[at],
                commonsense=None if commonsense is None else commonsense[at],
                has_audio=has_audio[at],
                has_text=has_text[at],
                # Unknown speakers each count as nobody in particular: one shared rank.
                speaker=speaker,
                label=labels[at],
            )
        )
    return dialogues


def beside_deviations(
    audio: np.ndarray, speaker: np.ndarray, has_audio: np.ndarray, kind: SpeakerRelative
) -> np.ndarray:
    """Appends how each turn differs from its speaker's own: from the mean of the turns before, and of all turns.

    A low voice is then no sad one. Appended, for what is low for everybody tells too.

    Args:
        audio: (U, audio_dim) scaled vectors of one dialogue.
        speaker: (U,) who speaks.
        has_audio: (U,) bool; other turns enter no mean, and their deviations are zero.
        kind: `running` (turns before alone: causal) or `both`.

    Returns:
        (U, 2 or 3 x audio_dim). Where a speaker has no turn with sound before, the first deviation is zero.
    """
    before, whole = np.zeros_like(audio), np.zeros_like(audio)
    for who in np.unique(speaker[has_audio]):
        at = np.flatnonzero((speaker == who) & has_audio)
        heard = audio[at]
        earlier = np.cumsum(heard, 0)[:-1] / np.arange(1, len(at))[:, None]
        before[at[1:]] = heard[1:] - earlier
        whole[at] = heard - heard.mean(0)
    return np.concatenate([audio, before] if kind == "running" else [audio, before, whole], 1).astype(np.float32)


def label_indices(emotions: pd.Series, label_set: Sequence[str]) -> np.ndarray:
    """(N,) int64 class indices, `UNLABELLED` where the emotion is missing or not in the set."""
    index = {emotion: number for number, emotion in enumerate(label_set)}
    return np.array(
        [UNLABELLED if is_missing(emotion) else index.get(emotion, UNLABELLED) for emotion in emotions], dtype=np.int64
    )


def collate(dialogues: Sequence[Dialogue]) -> DialogueBatch:
    """Pads dialogues to the longest of them."""
    longest = max(len(dialogue) for dialogue in dialogues)

    def padded(name: str, fill: float | bool | int) -> torch.Tensor:
        first = getattr(dialogues[0], name)
        out = np.full((len(dialogues), longest, *first.shape[1:]), fill, dtype=first.dtype)
        for row, dialogue in enumerate(dialogues):
            out[row, : len(dialogue)] = getattr(dialogue, name)
        return torch.from_numpy(out)

    lengths = torch.tensor([len(dialogue) for dialogue in dialogues])
    return DialogueBatch(
        audio=padded("audio", 0.0),
        text=padded("text", 0.0),
        commonsense=None if dialogues[0].commonsense is None else padded("commonsense", 0.0),
        mask=torch.arange(longest)[None, :] < lengths[:, None],
        has_audio=padded("has_audio", False),
        has_text=padded("has_text", False),
        speaker=padded("speaker", 0),
        label=padded("label", UNLABELLED),
    )


class LengthBuckets(Sampler[list[int]]):
    """Batches of dialogues of like length, in a new order every epoch.

    Dialogues are shuffled, sorted by length inside pools of `pool` batches, cut into batches, and the batches shuffled:
    little padding, and still other neighbours in every epoch, which the contrastive terms need.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, *, seed: int, shuffle: bool = True, pool: int = 32):
        self.lengths = np.asarray(lengths)
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.pool = pool
        self.epoch = 0

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Called before each epoch, on resuming too, so a resumed run sees the same order."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        if not self.shuffle:
            order = np.argsort(self.lengths, kind="stable")
            yield from (order[at : at + self.batch_size].tolist() for at in range(0, len(order), self.batch_size))
            return
        random = np.random.default_rng([self.seed, self.epoch])
        order = random.permutation(len(self.lengths))
        width = self.batch_size * self.pool
        starts = list(range(0, len(order), width))
        # A small rest would be batches of any length: it joins the last pool.
        if len(starts) > 1 and 2 * (len(order) - starts[-1]) < width:
            del starts[-1]
        batches: list[list[int]] = []
        for at, end in zip(starts, [*starts[1:], len(order)], strict=True):
            pool = order[at:end]
            pool = pool[np.argsort(self.lengths[pool], kind="stable")]
            batches += [pool[b : b + self.batch_size].tolist() for b in range(0, len(pool), self.batch_size)]
        for number in random.permutation(len(batches)):
            yield batches[number]


def padding_share(dialogues: Sequence[Dialogue], batches: Sequence[Sequence[int]]) -> float:
    """Share of the positions of all batches that are padding, 0..1."""
    positions = sum(max(len(dialogues[i]) for i in batch) * len(batch) for batch in batches)
    return 1 - sum(len(dialogues[i]) for batch in batches for i in batch) / positions


def _zero_missing(vectors: np.ndarray, present: np.ndarray) -> np.ndarray:
    return np.where(present.reshape(-1, *[1] * (vectors.ndim - 1)), vectors, 0).astype(np.float32, copy=False)
