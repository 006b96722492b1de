"""A manifest: what a table or the transcripts of a folder say, as rows of text."""

import json
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from hbaf.corpus.schema import is_missing
from hbaf.corpus.text.manifest_columns import plain


@dataclass(frozen=True)
class Row:
    """One line of a manifest.

    Attributes:
        where: the place it stands at: "transcript.csv:17".
        values: our or its column -> text.
        audio_problem: why the source itself has no usable audio for it.
        prefix: what makes the name of its dialogue unique among several tables.
    """

    where: str
    values: dict[str, str | None]
    audio_problem: str | None = None
    prefix: str = ""


@dataclass
class Manifest:
    """What a manifest holds.

    Attributes:
        file: its name.
        found: the columns as written.
        columns: our column -> the column as written.
        rows: readable rows; columns that are not ours keep their names.
        set_aside: (where, rule, found) of the others.
        header_line: the line that was taken for the header, in a table that has lines.
        notes: what a person should know of how the file was read.
    """

    file: str
    found: list[str]
    columns: dict[str, str] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    set_aside: list[tuple[str, str, str]] = field(default_factory=list)
    header_line: int | None = None
    notes: list[str] = field(default_factory=list)

    def has(self, *plain_names: str) -> bool:
        """True if every one of these columns is there, in whatever case and punctuation."""
        return set(plain_names) <= {plain(name) for name in self.found}


def as_text(value: Any) -> str | None:
    """A typed value as a CSV would hold it; durations as seconds."""
    if isinstance(value, str):
        return value
    if isinstance(value, list | dict) or hasattr(value, "tolist"):
        return json.dumps(value, default=lambda item: item.tolist() if hasattr(item, "tolist") else str(item))
    if is_missing(value) or value is pd.NaT:
        return None
    if isinstance(value, pd.Timedelta):
        return repr(value.total_seconds())
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
