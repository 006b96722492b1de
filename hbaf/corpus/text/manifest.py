"""A manifest as rows of text: CSV of any separator and usual encoding, JSON lines, Parquet.

Rows that cannot be read are set aside with their line; only a broken file stops the reading.
"""

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from hbaf.corpus.schema import CorpusError, is_missing
from hbaf.corpus.text.encoding import decode_text, is_blank
from hbaf.corpus.text.manifest_columns import carried_name, plain, recognise, refuse_doubled

SUFFIXES = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
LARGEST_FIELD = 1 << 26  # characters; beyond it a quotation mark was never closed


@dataclass(frozen=True)
class Row:
    """One line of a manifest.

    Attributes:
        where: the place it stands at: "transcript.csv:17".
        values: our or its column -> text.
        audio_problem: why the source itself has no usable audio for it.
    """

    where: str
    values: dict[str, str | None]
    audio_problem: str | None = None


@dataclass
class Manifest:
    """What a manifest holds.

    Attributes:
        file: its name.
        found: the columns as written.
        columns: our column -> the column as written.
        rows: readable rows; columns that are not ours keep their names.
        set_aside: (where, rule, found) of the others.
        notes: what a person should know of how it was read.
    """

    file: str
    found: list[str]
    columns: dict[str, str] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    set_aside: list[tuple[str, str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def has(self, *plain_names: str) -> bool:
        """True if every one of these columns is there, in whatever case and punctuation."""
        return set(plain_names) <= {plain(name) for name in self.found}


def read_manifest(root: Path, file: str | None = None, columns: dict[str, str] | None = None) -> Manifest:
    """Reads the manifest of a corpus folder.

    Args:
        root: the corpus folder.
        file: the manifest's name; None: the only one in the root.
        columns: column as written -> our column, where the name is not recognised.

    Raises:
        CorpusError: no manifest or several, not readable as text or as a table, empty, a column doubled.
    """
    path = _find_manifest(root, file)
    try:
        kind = SUFFIXES[path.suffix.lower()]
        if kind == "parquet":
            manifest = _read_parquet(path)
        else:
            content = path.read_bytes()
            if is_blank(content):
                raise CorpusError(f"{path}: the manifest is empty. It needs a header and one row per utterance.")
            decoded = decode_text(path, content)
            manifest = _read_csv(path, decoded.text) if kind == "csv" else _read_json_lines(path, decoded.text)
            if decoded.damaged:
                _set_undecodable_aside(manifest)
            if decoded.note:
                manifest.notes.append(f"{path.name}: {decoded.note}")
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror or error}). Check its permissions.") from error
    if not manifest.rows and not manifest.set_aside:
        raise CorpusError(f"{path}: the manifest has no rows. It needs one row per utterance below its header.")
    manifest.columns = recognise(path, manifest.found, columns or {})
    ours = {written: name for name, written in manifest.columns.items()}
    manifest.rows = [
        Row(row.where, {ours.get(name) or carried_name(name): value for name, value in row.values.items() if name})
        for row in manifest.rows
    ]
    return manifest


def _find_manifest(root: Path, file: str | None) -> Path:
    if file is not None:
        path = root / file
        if not path.resolve().is_relative_to(root.resolve()):
            raise CorpusError(f"{file}: lies outside the corpus folder {root}. Put the manifest into it.")
        if path.exists() and not path.is_file():
            raise CorpusError(f"{path}: is a folder, pipe or device. A manifest is an ordinary file.")
        if not path.is_file():
            raise CorpusError(f"{path}: no such manifest. Give the name of a file in {root} with `--manifest`.")
        if path.suffix.lower() not in SUFFIXES:
            raise CorpusError(f"{path}: a manifest ends in {', '.join(SUFFIXES)}; rename or convert it.")
        return path
    candidates = tables_in(root)
    if not candidates:
        raise CorpusError(
            f"{root}: no manifest. Put a CSV, JSONL or Parquet table with one row per utterance there, or a transcript "
            "(WebVTT, SRT, TextGrid, a recogniser's JSON ...) beside each recording."
        )
    if len(candidates) > 1:
        names = ", ".join(path.name for path in candidates)
        raise CorpusError(f"{root}: {len(candidates)} tables could be the manifest ({names}). Name one: `--manifest`.")
    if not candidates[0].resolve().is_relative_to(root.resolve()):
        raise CorpusError(f"{candidates[0]}: is a link out of the corpus folder. Put the manifest itself there.")
    return candidates[0]


def tables_in(root: Path) -> list[Path]:
    """The files of a folder that could be its manifest; not the copies that Whisper writes beside a transcript."""
    return sorted(
        path
        for path in root.iterdir()
        if path.suffix.lower() in SUFFIXES
        and not path.name.startswith(".")
        and path.is_file()
        and not _is_copy_of_transcript(path)
    )


def _is_copy_of_transcript(path: Path) -> bool:
    if path.suffix.lower() != ".tsv" or not any(
        path.with_suffix(other).exists() for other in (".json", ".vtt", ".srt")
    ):
        return False
    with path.open("rb") as file:
        return file.readline(100).split() == [b"start", b"end", b"text"]


def _set_undecodable_aside(manifest: Manifest) -> None:
    surrogate = re.compile("[\udc80-\udcff]")
    bad = {row.where for row in manifest.rows if any(surrogate.search(text or "") for text in row.values.values())}
    manifest.rows = [row for row in manifest.rows if row.where not in bad]
    manifest.set_aside += [(where, "undecodable characters", "bytes that are not UTF-8") for where in sorted(bad)]


def _read_csv(path: Path, text: str) -> Manifest:
    lines = list(io.StringIO(text, newline=""))
    records = _csv_records(path, lines)
    manifest = Manifest(path.name, [])
    for where, fields in records:
        if isinstance(fields, str):
            manifest.set_aside.append((where, "broken quotation marks", fields))
        elif not any(fields):
            continue
        elif not manifest.found:
            manifest.found = [name.strip() for name in fields]
            refuse_doubled(path, manifest.found)
        elif len(fields) < len(manifest.found):
            manifest.set_aside.append((where, "too few fields", f"{len(fields)} instead of {len(manifest.found)}"))
        elif len(fields) > len(manifest.found):
            manifest.set_aside.append((where, "too many fields", f"{len(fields)} instead of {len(manifest.found)}"))
        else:
            manifest.rows.append(Row(where, dict(zip(manifest.found, fields, strict=False))))
    return manifest


def _csv_records(path: Path, lines: list[str]) -> Iterator[tuple[str, list[str] | str]]:
    """Yields (where, fields), or (where, complaint) for a line whose quotation marks do not close.

    Each record is parsed on its own, so a quotation mark left open costs its line and not the rest of the file.
    """
    header = next((line for line in lines if line.strip()), "")
    outside_quotes = re.sub(r'"[^"]*"', "", header)
    separator = max(",;\t|", key=outside_quotes.count)
    limit = csv.field_size_limit(LARGEST_FIELD)
    try:
        position = 0
        while position < len(lines):
            where = f"{path.name}:{position + 1}"
            reader = csv.reader((lines[i] for i in range(position, len(lines))), delimiter=separator, strict=True)
            try:
                fields = next(reader)
            except csv.Error as error:
                yield where, str(error)[:80]
                position += 1
                continue
            position += reader.line_num
            yield where, fields
    finally:
        csv.field_size_limit(limit)


def _read_json_lines(path: Path, text: str) -> Manifest:
    manifest = Manifest(path.name, [])
    for number, line in enumerate(io.StringIO(text), start=1):
        if not line.strip():
            continue
        where = f"{path.name}:{number}"
        try:
            pairs = json.loads(line, object_pairs_hook=_no_doubled_names)
        except (ValueError, RecursionError) as error:
            complaint = "doubled column" if "doubled" in str(error) else "not valid JSON"
            manifest.set_aside.append((where, complaint, str(error)[:80]))
            continue
        if not isinstance(pairs, dict):
            manifest.set_aside.append((where, "not a JSON object", type(pairs).__name__))
            continue
        manifest.found += [name for name in pairs if name not in manifest.found]
        manifest.rows.append(Row(where, {name: as_text(value) for name, value in pairs.items()}))
    return manifest


def _no_doubled_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("doubled name in one object")
    return dict(pairs)


def _read_parquet(path: Path) -> Manifest:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.ParquetFile(path).read().to_pandas(ignore_metadata=True)
    except (pyarrow.ArrowException, ValueError) as error:
        raise CorpusError(f"{path}: is not a readable Parquet file. Write it again.") from error
    manifest = Manifest(path.name, [str(name).strip() for name in table.columns])
    refuse_doubled(path, manifest.found)
    for number, values in enumerate(table.itertuples(index=False, name=None), start=1):
        manifest.rows.append(Row(f"{path.name}:{number}", dict(zip(manifest.found, map(as_text, values), strict=True))))
    return manifest


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
