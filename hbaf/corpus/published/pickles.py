"""The feature pickles that the field passes on; they differ in nothing but the order of what they hold.

A layout is a tuple of names. The orders are those in which the projects' own loaders unpack the files:

* COSMIC, text (`*_features_roberta.pkl`): speakers, labels, four RoBERTa layers, sentences, ids of train, test and
  validation; MELD's has sentiment labels behind the labels.
* COSMIC, commonsense (`*_features_comet.pkl`): nine relations, nothing else.
* MMGCN (also M3NET's and others' multimodal file): utterance ids, speakers, labels, text, audio and visual vectors,
  sentences, ids of train and test; MELD's has one more entry.
* SDT: the same with four RoBERTa layers in place of the text vectors.

All but the ids of the splits are tables from dialogue to a list with one entry per utterance. What could not be looked
up is assumed: the tables hold equally many entries per dialogue in the order of speaking; the additional last entry of
MELD's file is not needed; MELD's one-hot speakers count within a dialogue; label numbers are in the order of our label
sets (hap, sad, neu, ang, exc, fru; neutral, surprise, fear, sadness, joy, disgust, anger). MMGCN and SDT name no
validation dialogues: their train dialogues hold them, and with MELD those of dev.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hbaf.corpus.published.restricted_pickle import load_pickle
from hbaf.corpus.published.tables import FeatureTable
from hbaf.corpus.schema import LABEL_SETS, CorpusError, Split, empty_splits
from hbaf.corpus.text.manifest_values import clean

ROBERTA = ("roberta1", "roberta2", "roberta3", "roberta4")
RELATIONS = ("xIntent", "xAttr", "xNeed", "xWant", "xEffect", "xReact", "oWant", "oEffect", "oReact")
_IDS: dict[str, Split] = {"train ids": "train", "test ids": "test", "dev ids": "dev"}
_BEFORE, _BEHIND = ("utterance ids", "speakers", "labels"), ("audio", "visual", "sentences", "train ids", "test ids")
LAYOUTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "cosmic-roberta": (
        ("speakers", "labels", *ROBERTA, "sentences", "train ids", "test ids", "dev ids"),
        ("speakers", "labels", "sentiments", *ROBERTA, "sentences", "train ids", "test ids", "dev ids"),
    ),
    "cosmic-comet": (RELATIONS,),
    "mmgcn": ((*_BEFORE, "text", *_BEHIND), (*_BEFORE, "text", *_BEHIND, "rest")),
    "sdt": ((*_BEFORE, *ROBERTA, *_BEHIND), (*_BEFORE, *ROBERTA, *_BEHIND, "rest")),
}
FEATURES = {*ROBERTA, *RELATIONS, "text", "audio", "visual"}


def read_pickle(path: Path, like: str, emotions: tuple[str, ...]) -> tuple[FeatureTable, tuple[str, ...]]:
    """What the file holds, and the names of its label numbers; nothing in the file is run.

    Args:
        like: a key of `LAYOUTS`.
        emotions: the names in order, where the file is neither of IEMOCAP nor of MELD; else empty.

    Raises:
        CorpusError: not a pickle of plain data, of another structure, or one that does not fit together.
    """
    parts = _parts(path, like)
    dialogues = _dialogues(path, parts)
    names = emotions or (_label_names(path, dialogues, parts) if "labels" in parts else ())
    features = {part: _vectors(path, part, parts[part], dialogues) for part in parts if part in FEATURES}
    if set(ROBERTA) <= set(features):
        # COSMIC's own default input: the mean of the four layers.
        features["roberta"] = np.asarray(sum(features[layer] for layer in ROBERTA) / np.float32(4))
    table = _utterances(path, parts, dialogues, names)
    return FeatureTable(path.stem, table, _splits(path, parts, dialogues), features), names


def _parts(path: Path, like: str) -> dict[str, Any]:
    """Name -> what stands in its place, once the number of entries and their kinds fit a layout."""
    content = load_pickle(path)
    kinds = [type(part).__name__ for part in content] if isinstance(content, list | tuple) else []
    for layout in LAYOUTS[like]:
        if len(kinds) == len(layout) and all(_fits(n, part) for n, part in zip(layout, content, strict=True)):
            return dict(zip(layout, content, strict=True))
    expected = " or ".join(f"{len(layout)} ({', '.join(layout)})" for layout in LAYOUTS[like])
    found = f"{len(kinds)} ({', '.join(kinds)})" if kinds else type(content).__name__
    raise CorpusError(
        f"{path}: not of the structure {like!r}. Expected a tuple of {expected}; found {found}. Try another `--like`."
    )


def _fits(name: str, part: Any) -> bool:
    if name == "rest":
        return True
    return isinstance(part, list | tuple | set | frozenset | np.ndarray) if name in _IDS else isinstance(part, dict)


def _dialogues(path: Path, parts: dict[str, Any]) -> dict[Any, int]:
    """Dialogue -> number of utterances, sorted by name, after the check that all parts agree."""
    tables = {name: part for name, part in parts.items() if isinstance(part, dict) and name not in ("rest", *_IDS)}
    # The ids of some files list other things than utterances; the first table of vectors decides.
    main = tables.get("labels") or next(iter(tables.values()))
    counts = {dialogue: len(entries) for dialogue, entries in main.items() if len(entries)}
    if not counts:
        raise CorpusError(f"{path}: holds no dialogue. Fetch it again.")
    for name, table in tables.items():
        if name in ("utterance ids", "sentiments"):
            continue
        for dialogue, count in counts.items():
            found = len(table[dialogue]) if dialogue in table else 0
            if found != count:
                raise CorpusError(
                    f"{path}: dialogue {dialogue!r} has {count} utterances but {found} entries in {name!r}. "
                    "The file does not fit together, or `--like` is wrong."
                )
    return {dialogue: counts[dialogue] for dialogue in sorted(counts, key=str)}


def _label_names(path: Path, dialogues: Mapping[Any, int], parts: Mapping[str, Any]) -> tuple[str, ...]:
    if all(re.match(r"Ses0[1-5]", str(dialogue)) for dialogue in dialogues):
        return LABEL_SETS["iemocap6"]
    if "rest" in parts or "sentiments" in parts:  # only MELD's files have these
        return LABEL_SETS["meld"]
    raise CorpusError(
        f"{path}: labels are numbers, and neither the dialogues (Ses01...) nor the number of entries tells what they "
        "mean. Give their names in order (`emotions`)."
    )


def _utterances(
    path: Path, parts: dict[str, Any], dialogues: Mapping[Any, int], emotions: tuple[str, ...]
) -> pd.DataFrame:
    rows = []
    for dialogue, count in dialogues.items():
        ids = parts.get("utterance ids", {}).get(dialogue, ())
        for turn in range(count):
            row: dict[str, Any] = {"dialogue_id": str(dialogue), "turn": turn}
            row["source_id"] = str(ids[turn]) if len(ids) == count else None
            if "speakers" in parts:
                row["speaker"] = _speaker(str(dialogue), parts["speakers"][dialogue][turn])
            if "sentences" in parts:
                row["text"] = clean(str(parts["sentences"][dialogue][turn])) or None
            if "labels" in parts:
                label = int(parts["labels"][dialogue][turn])
                if label >= len(emotions):
                    raise CorpusError(
                        f"{path}: dialogue {dialogue!r} has the label {label}, but there are {len(emotions)} names "
                        f"({', '.join(emotions)}). Give all names in order (`emotions`)."
                    )
                row["emotion"] = emotions[label] if label >= 0 else None
            rows.append(row)
    return pd.DataFrame(rows)


def _speaker(dialogue: str, value: Any) -> str:
    """M and F are one actor each per session of IEMOCAP; a one-hot row is a speaker of this dialogue."""
    if isinstance(value, str):
        session = re.match(r"Ses0[1-5]", dialogue)
        return f"{session[0]}_{value}" if session else value
    if np.ndim(value):
        return f"{dialogue}:{int(np.argmax(np.asarray(value)))}"
    return str(value)


def _vectors(path: Path, name: str, table: Mapping[Any, Any], dialogues: Mapping[Any, int]) -> np.ndarray:
    """(utterances, dim) float32 in the order of the dialogues."""
    try:
        parts = [np.asarray(table[dialogue], np.float32).reshape(count, -1) for dialogue, count in dialogues.items()]
        return np.concatenate(parts)
    except (ValueError, TypeError) as error:
        raise CorpusError(
            f"{path}: {name!r} is not one vector of equal length per utterance ({str(error)[:80]}). "
            "The file does not fit together, or `--like` is wrong."
        ) from error


def _splits(path: Path, parts: dict[str, Any], dialogues: Mapping[Any, int]) -> pd.DataFrame:
    chosen: dict[str, str] = {}
    known = {str(dialogue) for dialogue in dialogues}
    for part, split in _IDS.items():
        for dialogue in map(str, parts.get(part, ())):
            if chosen.setdefault(dialogue, split) != split:
                raise CorpusError(f"{path}: dialogue {dialogue!r} is in {chosen[dialogue]} and in {split}.")
    if not chosen:
        return empty_splits()
    names = sorted(known & set(chosen))
    return pd.DataFrame({"dialogue_id": names, "split": [chosen[name] for name in names]}, dtype="str")
