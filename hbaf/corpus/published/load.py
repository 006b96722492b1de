"""Features that others published, as a corpus of their own: their dialogues, labels, splits and vectors.

Results can be compared with published code only on the same inputs. What the files look like: pickles in
`hbaf.corpus.published.pickles`, npz and Parquet in `hbaf.corpus.published.tables`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd

from hbaf.corpus.published.pickles import read_pickle
from hbaf.corpus.published.tables import FeatureTable, read_npz, read_parquet
from hbaf.corpus.readers.folder import safe_name
from hbaf.corpus.schema import Corpus, CorpusError, as_utterances

Like = Literal["cosmic-roberta", "cosmic-comet", "mmgcn", "sdt", "npz", "parquet"]


@dataclass(frozen=True)
class PublishedFeatures:
    """What one file holds.

    Attributes:
        path: the file.
        like: its structure.
        name: corpus name, the first part of every utterance_id.
        utterances: the utterance table; speaker, text and emotion are missing where the file has none.
        splits: `dialogue_id`, `split`; empty where the file names none.
        emotions: label set in the order of the file's numbers; empty without labels.
        features: name -> (utterances, dim) float32 in the order of the table; NaN where the file has no value.
    """

    path: Path
    like: Like
    name: str
    utterances: pd.DataFrame
    splits: pd.DataFrame
    emotions: tuple[str, ...]
    features: dict[str, np.ndarray]

    def corpus(self) -> Corpus:
        """The corpus without sound: its features stand for it."""
        return Corpus(
            name=self.name,
            root=self.path.parent.absolute(),
            utterances=self.utterances,
            splits=self.splits,
            emotions=self.emotions,
            licence="unknown: published features",
        )

    def rows_for(self, utterances: pd.DataFrame) -> np.ndarray:
        """(n,) int64: for each utterance of another table the row of it here, -1 where there is none.

        Where both tables know the source's own number of an utterance, dialogue and that number decide (ranks shift
        when one of them lacks a row), elsewhere the utterance_id.
        """
        by_id = {name: row for row, name in enumerate(self.utterances["utterance_id"])}
        keys = zip(self.utterances["dialogue_id"], self.utterances["source_id"], strict=True)
        by_source = {key: row for row, key in enumerate(keys) if isinstance(key[1], str)}
        wanted = zip(utterances["utterance_id"], utterances["dialogue_id"], utterances["source_id"], strict=True)
        return np.array(
            [
                by_source.get((dialogue, source), -1) if by_source and isinstance(source, str) else by_id.get(name, -1)
                for name, dialogue, source in wanted
            ],
            np.int64,
        )


def load_published(
    path: Path, like: Like, *, name: str | None = None, emotions: Sequence[str] = ()
) -> PublishedFeatures:
    """Reads published features; a pickle is read without running anything in it.

    Args:
        path: the file.
        like: its structure, one of `Like`.
        name: corpus name; default: the file's, or for `npz` and `parquet` what their utterance ids say.
        emotions: names of the label numbers in order, where the file is neither of IEMOCAP nor of MELD.

    Raises:
        CorpusError: the file cannot be read, is not of this structure, or asks for more than plain data.
    """
    if like not in get_args(Like):
        raise CorpusError(f"{like!r}: no such structure. There are: {', '.join(get_args(Like))}.")
    if not path.is_file():
        raise CorpusError(f"{path}: no such file. Check the path.")
    if like in ("npz", "parquet"):
        found = (read_npz if like == "npz" else read_parquet)(path)
        labels = found.utterances["emotion"].dropna() if "emotion" in found.utterances else ()
        known, name = tuple(emotions) or tuple(sorted(set(labels))), name or found.name
    else:
        found, known = read_pickle(path, like, tuple(emotions))
        name = safe_name(name or path.stem)
    return _put_together(path, like, name, found, known)


def _put_together(
    path: Path, like: Like, name: str, found: FeatureTable, emotions: tuple[str, ...]
) -> PublishedFeatures:
    """Brings table and vectors into the table's order; nothing may get lost on the way."""
    table = found.utterances.assign(corpus=name, audio_problem="no audio: published features only")
    if "text" not in table:
        table["text"] = None
    table["text_problem"] = table["text"].isna().map({True: "no text: published features only", False: None})
    utterances = as_utterances(table.assign(_row=range(len(table))))
    order = utterances.pop("_row").to_numpy(np.int64)
    features = {feature: values[order] for feature, values in found.features.items()}
    return PublishedFeatures(path, like, name, utterances, found.splits, emotions, features)
