"""A file of labels -> what it says: our own JSON and tables, Label Studio, TextGrid, ELAN, Audacity."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hbaf.corpus.confined import read_confined
from hbaf.corpus.text.encoding import decode_text
from hbaf.corpus.text.manifest import as_text
from hbaf.corpus.text.manifest_columns import plain
from hbaf.corpus.text.manifest_values import NO_VALUE, clean
from hbaf.corpus.text.table_files import SUFFIXES, read_table
from hbaf.corpus.text.transcripts.annotations import is_textgrid
from hbaf.corpus.text.transcripts.parsed import NotATranscriptError
from hbaf.labelling.given import Given, LabelFile, LabellingError
from hbaf.labelling.label_studio import is_label_studio, read_label_studio
from hbaf.labelling.tiers import is_audacity, read_audacity, read_tiers
from hbaf.parameters import LimitParameters

FORMS = (
    "the JSON that a conversation page saves, a table (CSV, JSONL, Parquet, spreadsheet) with `utterance_id` and "
    "`emotion`, Label Studio's JSON, a TextGrid, an EAF, or Audacity's labels"
)
OURS = "hbaf_labels"  # the key by which our own JSON is known; its value is the version
# Field of a label -> how tables and JSON may call it, in plain spelling, the first that is there.
_CALLED = {
    "label": ("emotion", "label", "choice"),
    "utterance_id": ("utteranceid", "sourceid"),
    "dialogue": ("dialogue", "dialogueid"),
    "turn": ("turn",),
    "speaker": ("speaker",),
    "annotator": ("annotator", "rater", "coder", "completedby"),
    "at": ("at", "updatedat", "createdat"),
    "note": ("note", "comment"),
    "content": ("content",),
}


def read_labels(path: Path, limits: LimitParameters) -> LabelFile:
    """What a file says; the content decides which form it is.

    Raises:
        LabellingError: it holds no labels in a form that is known.
        hbaf.corpus.schema.CorpusError: it cannot be read.
    """
    if path.suffix.lower() in SUFFIXES:
        read_confined(path, path.parent)
        table = read_table(path, {}, limits)
        read = LabelFile("table", problems=list(table.set_aside))
        for row in table.rows:
            _add(read, row.where, row.values)
        return read
    if path.exists() and path.stat().st_size > limits.table_bytes:
        raise LabellingError(f"{path}: larger than {limits.table_bytes} bytes (corpus.limits.table_bytes).")
    text = decode_text(path, read_confined(path, path.parent)).text.lstrip("\ufeff")
    start = text.lstrip()
    try:
        if start.startswith(("{", "[")):
            return _of_json(path, start)
        if is_textgrid(start) or "<ANNOTATION_DOCUMENT" in start[:5000]:
            return read_tiers(path.name, _stem(path), start)
    except (NotATranscriptError, RecursionError) as error:
        raise LabellingError(f"{path}: {error or 'nested too deep'}. Labels are {FORMS}.") from error
    if is_audacity(start):
        return read_audacity(path.name, _stem(path), start)
    raise LabellingError(f"{path}: no labels in a form that is known. Labels are {FORMS}.")


def _of_json(path: Path, text: str) -> LabelFile:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise LabellingError(f"{path}: broken JSON ({error}). Export it again.") from error
    if is_label_studio(found):
        return read_label_studio(path.name, found)
    ours = isinstance(found, dict) and OURS in found
    rows = found.get("labels") if ours else found
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise LabellingError(f"{path}: JSON without labels. Labels are {FORMS}.")
    read = LabelFile("labels of a page" if ours else "JSON")
    for number, row in enumerate(rows, start=1):
        _add(read, f"{path.name}:{number}", {name: as_text(value) for name, value in row.items()})
    return read


def _add(read: LabelFile, where: str, values: Mapping[str, Any]) -> None:
    """A row of a table; one without a label, and without a note, says nothing."""
    spelt = {plain(name): clean(value) for name, value in values.items() if value}
    found = {name: next((spelt[key] for key in keys if key in spelt), "") for name, keys in _CALLED.items()}
    if found["label"].lower() in NO_VALUE:
        found["label"] = ""
    if found["label"] or found["note"]:
        read.given.append(Given(where, **found))  # type: ignore[arg-type]  # no column is called `span`


def _stem(path: Path) -> str:
    """`a17` of `a17.TextGrid` and of `a17.labels.txt`."""
    return path.stem.removesuffix(".labels")
