"""Scored rows, whoever scored them: one row per utterance, with a versioned schema that does not depend on the model.

Version 1. Probabilities are a map from emotion to number, since models may know different emotions; `as_scores` turns
them into the columns `p_<emotion>` that the report and the monitor read. A folder of `hbaf score` holds both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

import hbaf
from hbaf.scoring.unscored import UNSCORED

SCHEMA_VERSION = 1
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # the wide ones count in some locales
_NAME = pa.dictionary(pa.int32(), pa.string())  # few different values: small in files and in memory

COLUMNS: dict[str, pa.DataType] = {
    # what was said, by whom, where it lies
    "utterance_id": pa.string(),  # "<source>/<dialogue_id>/<turn>"
    "conversation": pa.string(),  # "<source>/<dialogue_id>"
    "source": _NAME,
    "dialogue_id": pa.string(),
    "turn": pa.int64(),  # rank in the conversation, from 0
    "speaker": pa.string(),
    "text": pa.string(),
    "audio": pa.string(),  # path relative to the source
    "channel": pa.int64(),
    "start": pa.float64(),  # seconds from the beginning of the file; missing: from its beginning
    "end": pa.float64(),  # missing: to its end
    "seconds": pa.float64(),
    "loudness": pa.float64(),  # dB relative to full scale
    "emotion": pa.string(),  # the label that the source itself gives; mostly missing
    "source_id": pa.string(),
    "text_problem": pa.string(),
    "audio_problem": pa.string(),
    # what the model says
    "status": _NAME,  # "scored" or "unscored"
    "unscored_reason": pa.string(),
    "label": _NAME,  # missing where unscored, as all below
    "confidence": pa.float32(),  # probability of the label, 0..1
    "uncertain": pa.bool_(),
    "probabilities": pa.map_(pa.string(), pa.float32()),
    "audio_label": _NAME,  # what audio alone would have said; missing without audio
    "audio_confidence": pa.float32(),
    "text_label": _NAME,
    "text_confidence": pa.float32(),
    "gate_audio": pa.float32(),  # how much each stream keeps of its own view, 0..1; missing for other models
    "gate_text": pa.float32(),
    # where it comes from
    "arrival": pa.string(),  # what was read: recording or table, relative to the source; missing: `hbaf score`
    "audio_digest": pa.string(),  # sha256 of the audio file
    "conversation_digest": pa.string(),  # sha256 of words, speakers, times and sound; missing: `hbaf score`
    "model_version": _NAME,  # "<registered name>/<version>", or "hub:<id>@<revision>": not trained on such data
    "run_id": _NAME,  # of the training run in MLflow
    "champion_from": _NAME,  # "registry", "cache" where MLflow could not be reached, "hub" for a published model
    "audio_features": _NAME,
    "text_features": _NAME,
    "purpose": _NAME,
    "hbaf_version": _NAME,
    "schema_version": pa.int32(),
    "scored_at": pa.timestamp("us", tz="UTC"),
}
SCHEMA = pa.schema([pa.field(name, kind) for name, kind in COLUMNS.items()])


@dataclass(frozen=True)
class Provenance:
    """What all rows of a scoring run share."""

    source: str
    model_version: str
    run_id: str
    champion_from: str
    audio_features: str
    text_features: str
    purpose: str
    scored_at: datetime


def as_rows(
    scores: pd.DataFrame,
    emotions: Sequence[str],
    provenance: Provenance,
    found: Mapping[str, tuple[str, str]] = MappingProxyType({}),
) -> pa.Table:
    """Scored rows in the schema.

    Args:
        scores: as `score_rows` makes them.
        emotions: whose probabilities they hold.
        found: conversation -> (arrival, digest), of scheduled scoring.
    """
    conversation = scores["corpus"] + "/" + scores["dialogue_id"]
    shared: dict[str, Any] = {
        "conversation": conversation,
        "arrival": conversation.map({name: arrival for name, (arrival, _) in found.items()}),
        "conversation_digest": conversation.map({name: digest for name, (_, digest) in found.items()}),
        "source": provenance.source,
        "model_version": provenance.model_version,
        "run_id": provenance.run_id,
        "champion_from": provenance.champion_from,
        "audio_features": provenance.audio_features,
        "text_features": provenance.text_features,
        "purpose": provenance.purpose,
        "scored_at": provenance.scored_at,
        "hbaf_version": hbaf.__version__,
        "schema_version": SCHEMA_VERSION,
    }
    arrays = []
    for name, kind in COLUMNS.items():
        if name == "probabilities":
            arrays.append(_probabilities(scores, emotions))
            continue
        value = shared.get(name, scores.get(name))
        if value is None:
            arrays.append(pa.nulls(len(scores), kind))
            continue
        plain = kind.value_type if pa.types.is_dictionary(kind) else kind
        is_column = isinstance(value, pd.Series)
        array = (
            pa.Array.from_pandas(value, type=plain) if is_column else pa.repeat(pa.scalar(value, plain), len(scores))
        )
        arrays.append(array.dictionary_encode() if pa.types.is_dictionary(kind) else array)
    return pa.table(arrays, schema=SCHEMA)


def _probabilities(scores: pd.DataFrame, emotions: Sequence[str]) -> pa.Array:
    """(rows,) maps; missing where the row is unscored."""
    values = scores[[f"p_{emotion}" for emotion in emotions]].to_numpy("float32")
    there = (scores["status"] != UNSCORED).to_numpy()
    offsets = [0]
    for row in there:
        offsets.append(offsets[-1] + len(emotions) * int(row))
    maps = pa.MapArray.from_arrays(
        pa.array(offsets, pa.int32()),
        pa.array(list(emotions) * int(there.sum()), pa.string()),
        pa.array(values[there].ravel(), pa.float32()),
    )
    return maps if there.all() else pa.compute.if_else(pa.array(there), maps, pa.nulls(len(maps), maps.type))


def as_scores(table: pa.Table) -> pd.DataFrame:
    """Rows, or some of their columns, as a frame: `p_<emotion>` columns, plain strings and `corpus`."""
    there = [name for name in ("probabilities",) if name in table.column_names]
    frame = table.drop_columns(there).to_pandas()
    columns: dict[str, np.ndarray] = {}
    for name in there:
        maps = pa.concat_arrays([pa.array([], COLUMNS[name]), *table[name].chunks])
        emotions, values = maps.keys.dictionary_encode(), maps.items.to_numpy(zero_copy_only=False)
        offsets = maps.offsets.to_numpy()
        inside, which = np.repeat(np.arange(len(maps)), np.diff(offsets)), emotions.indices.to_numpy()
        for number, emotion in enumerate(emotions.dictionary.to_pylist()):
            columns[f"p_{emotion}"] = np.full(len(frame), np.nan, np.float32)
            columns[f"p_{emotion}"][inside[which == number]] = values[which == number]
    for name, kind in COLUMNS.items():
        if name in frame and pa.types.is_dictionary(kind):
            frame[name] = frame[name].astype("str").where(frame[name].notna(), None)
    frame = frame.assign(**{name: pd.Series(values, dtype="float32") for name, values in columns.items()})
    return frame.assign(corpus=frame["source"]) if "source" in frame else frame


def as_cell(value: object) -> object:
    """A cell that a spreadsheet shows and never runs: a leading apostrophe disarms formulas."""
    if not isinstance(value, str):
        return value
    # A lone carriage return goes out without quotation marks and would begin a new row of the table.
    value = value.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{value}" if value.startswith(FORMULA_STARTS) else value
