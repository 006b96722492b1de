"""Published features in npz or Parquet files, one row per utterance.

The row's utterance is named by `utterance_id` ("<corpus>/<dialogue>/<turn>"), or as MELD does by `split`,
`Dialogue_ID` and `Utterance_ID`. An npz may also hold one vector per key, the key being the utterance_id.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hbaf.corpus.schema import CorpusError, empty_splits

MELD_KEYS = ("split", "Dialogue_ID", "Utterance_ID")
SPLIT_NAMES = {"train": "train", "dev": "dev", "val": "dev", "valid": "dev", "validation": "dev", "test": "test"}
TEXT_COLUMNS = ("speaker", "text", "emotion")
NEEDED = f"Give each row an `utterance_id` (<corpus>/<dialogue>/<turn>), or MELD's {', '.join(MELD_KEYS)}."


@dataclass(frozen=True)
class FeatureTable:
    """Rows as they stand in the file: corpus name, utterances, splits, name -> (rows, dim) float32."""

    name: str
    utterances: pd.DataFrame
    splits: pd.DataFrame
    features: dict[str, np.ndarray]


def read_npz(path: Path) -> FeatureTable:
    """Arrays of numbers with one row per utterance are features; arrays of text and of other lengths are left out.

    Raises:
        CorpusError: not an npz without Python objects, no ids, or nothing that could be a feature.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except Exception as error:  # zip, header and number format each raise errors of their own
        raise CorpusError(
            f"{path}: not an npz of plain arrays ({str(error)[:80]}). Save it with numpy.savez, without objects."
        ) from error
    if "utterance_id" not in arrays and not set(MELD_KEYS) <= set(arrays):
        arrays = _one_key_per_utterance(path, arrays)
    name, utterances, splits = _identified(path, arrays)
    features = {
        key: values.reshape(len(values), -1).astype(np.float32)
        for key, values in arrays.items()
        if key not in (*MELD_KEYS, "utterance_id")
        and values.ndim in (1, 2)
        and len(values) == len(utterances)
        and values.dtype.kind in "fiu"
    }
    return _checked(path, FeatureTable(name, utterances, splits, features))


def read_parquet(path: Path) -> FeatureTable:
    """A column of lists is a feature of its own name; columns of numbers together are one, named after the file.

    `speaker`, `text` and `emotion` are read where they are there.

    Raises:
        CorpusError: not Parquet, no ids, or nothing that could be a feature.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        frame = parquet.ParquetFile(path).read().to_pandas(ignore_metadata=True)
    except (pyarrow.ArrowException, ValueError, OSError) as error:
        raise CorpusError(f"{path}: not a readable Parquet file ({str(error)[:80]}). Write it again.") from error
    name, utterances, splits = _identified(path, {str(column): frame[column].to_numpy() for column in frame})
    numbers, features = [], {}
    for column in map(str, frame):
        if column in (*MELD_KEYS, "utterance_id", "corpus", "dialogue_id", "turn"):
            continue
        values = frame[column]
        if pd.api.types.is_numeric_dtype(values):
            numbers.append(column)
        elif column in TEXT_COLUMNS:
            utterances[column] = values.to_numpy()
        elif values.map(lambda value: isinstance(value, np.ndarray)).any():
            features[column] = _stacked(path, column, values)
    if numbers:
        features[path.stem] = frame[numbers].to_numpy(np.float32)
    return _checked(path, FeatureTable(name, utterances, splits, features))


def _one_key_per_utterance(path: Path, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    lengths = {values.shape for values in arrays.values()}
    if not arrays or any(key.count("/") < 2 for key in arrays) or len(lengths) != 1:
        raise CorpusError(f"{path}: no row says which utterance it is of. Found: {', '.join(arrays)[:200]}. {NEEDED}")
    return {
        "utterance_id": np.array(list(arrays)),
        path.stem: np.stack([values.reshape(-1) for values in arrays.values()]),
    }


def _identified(path: Path, columns: Mapping[str, np.ndarray]) -> tuple[str, pd.DataFrame, pd.DataFrame]:
    """(corpus name, dialogue_id + turn + source_id, splits)."""
    if "utterance_id" in columns:
        return _by_utterance_id(path, columns)
    if not set(MELD_KEYS) <= set(columns):
        raise CorpusError(f"{path}: no row says which utterance it is of. Found: {', '.join(columns)}. {NEEDED}")
    split = pd.Series(columns["split"]).astype(str).map(SPLIT_NAMES)
    if split.isna().any() or len({len(columns[key]) for key in MELD_KEYS}) != 1:
        raise CorpusError(f"{path}: `split` must be train, dev or test in every row, and all three keys equally long.")
    dialogue, number = (pd.Series(columns[key]).astype("int64") for key in MELD_KEYS[1:])
    table = pd.DataFrame(
        {
            "dialogue_id": split + "-" + dialogue.astype(str),
            "source_id": "dia" + dialogue.astype(str) + "_utt" + number.astype(str),
        }
    )
    doubled = table.duplicated()
    if doubled.any():
        raise CorpusError(f"{path}: {table[doubled].iloc[0].tolist()} occurs twice. Keep one row per utterance.")
    table["turn"] = number.groupby(table["dialogue_id"]).rank(method="first").astype("int64") - 1
    splits = pd.DataFrame({"dialogue_id": table["dialogue_id"], "split": split}).drop_duplicates()
    return "meld", table, splits.sort_values("dialogue_id", ignore_index=True).astype("str")


def _by_utterance_id(path: Path, columns: Mapping[str, np.ndarray]) -> tuple[str, pd.DataFrame, pd.DataFrame]:
    ids = pd.Series(columns["utterance_id"]).astype(str)
    parts = ids.str.extract(r"^(?P<corpus>[^/]+)/(?P<dialogue_id>.+)/(?P<turn>\d{1,9})$")
    if parts["turn"].isna().any():
        raise CorpusError(f"{path}: {ids[parts['turn'].isna()].iloc[0]!r} is not <corpus>/<dialogue>/<turn>.")
    if parts["corpus"].nunique() != 1:
        raise CorpusError(
            f"{path}: utterances of several corpora ({', '.join(parts['corpus'].unique()[:5])}). Split it."
        )
    table = parts[["dialogue_id"]].assign(turn=parts["turn"].astype("int64"))
    splits = empty_splits()
    if "split" in columns and len(columns["split"]) == len(table):
        chosen = pd.Series(columns["split"]).astype(str).map(SPLIT_NAMES)
        splits = table[["dialogue_id"]].assign(split=chosen).dropna().drop_duplicates()
        if splits["dialogue_id"].duplicated().any():
            raise CorpusError(f"{path}: a dialogue is in two splits. Give all its rows the same `split`.")
        splits = splits.sort_values("dialogue_id", ignore_index=True).astype("str")
    return str(parts["corpus"].iloc[0]), table, splits


def _stacked(path: Path, column: str, values: pd.Series) -> np.ndarray:
    """(rows, dim) float32; a missing list becomes NaN."""
    lengths = {len(value) for value in values if isinstance(value, np.ndarray)}
    if len(lengths) != 1:
        raise CorpusError(f"{path}: the lists in {column!r} have {len(lengths)} different lengths. Each is one vector.")
    empty = np.full(lengths.pop(), np.nan, np.float32)
    return np.stack([np.asarray(value, np.float32) if isinstance(value, np.ndarray) else empty for value in values])


def _checked(path: Path, table: FeatureTable) -> FeatureTable:
    if not len(table.utterances):
        raise CorpusError(f"{path}: has no rows.")
    if not table.features:
        raise CorpusError(f"{path}: no numbers with one row per utterance ({len(table.utterances)} rows) in it.")
    return table
