"""A manifest as rows of text: CSV of any separator and usual encoding, JSON lines, Parquet, spreadsheets.

Rows that cannot be read are set aside with their line; only a broken file stops the reading.
"""

import contextlib
import io
import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from hbaf.corpus import spreadsheets
from hbaf.corpus.manifest_columns import carried_name, plain, recognise, refuse_doubled
from hbaf.corpus.schema import CorpusError, is_missing
from hbaf.corpus.table_header import Record, csv_records, header_row

SUFFIXES = {
    ".csv": "csv", ".tsv": "csv", ".tab": "csv", ".psv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".parquet": "parquet", **dict.fromkeys(spreadsheets.SUFFIXES, "spreadsheet"),
}  # fmt: skip


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


def read_manifest(root: Path, file: str | None = None, columns: dict[str, str] | None = None) -> Manifest:
    """Reads the manifest of a corpus folder.

    Args:
        root: the corpus folder.
        file: the manifest's name; None: the only one in the root.
        columns: column as written -> our column, where the name is not recognised.

    Raises:
        CorpusError: no manifest or several, not readable as text or as a table, empty, a column doubled.
    """
    return read_table(_find_manifest(root, file), columns or {})


def read_table(path: Path, columns: dict[str, str]) -> Manifest:
    """One file as a manifest; raises as `read_manifest`."""
    try:
        kind = SUFFIXES[path.suffix.lower()]
        if kind == "parquet":
            manifest = _read_parquet(path)
        elif kind == "spreadsheet":
            manifest = _read_spreadsheet(path, columns)
        else:
            text, undecodable = decode(path)
            manifest = _read_csv(path, text, columns) if kind == "csv" else _read_json_lines(path, text)
            if undecodable:
                _set_undecodable_aside(manifest)
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror or error}). Check its permissions.") from error
    if not manifest.rows and not manifest.set_aside:
        raise CorpusError(f"{path}: the manifest has no rows. It needs one row per utterance below its header.")
    manifest.columns = recognise(path, manifest.found, columns)
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
            "(WebVTT, SRT, JSON of Whisper or AWS Transcribe) beside each recording."
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
        and not path.name.startswith((".", "~$"))  # nor Excel's mark of an open file
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


def decode(path: Path) -> tuple[str, bool]:
    """The text, and whether single bytes in it were not UTF-8 (they stay as surrogates, to be found by row).

    Raises:
        CorpusError: empty, or no text in any encoding that is known here.
    """
    content = path.read_bytes()
    if not content.strip(b"\0\r\n\t \xef\xbb\xbf\xff\xfe"):
        raise CorpusError(f"{path}: the manifest is empty. It needs a header and one row per utterance.")
    even, odd = content[0:4096:2].count(0), content[1:4096:2].count(0)
    try:
        if content.startswith((b"\xff\xfe", b"\xfe\xff")):
            return content.decode("utf-16"), False
        if max(even, odd) > min(len(content), 4096) // 4 and min(even, odd) == 0:
            return content.decode("utf-16-le" if odd else "utf-16-be"), False
        text = content.decode("utf-8-sig", "surrogateescape")
        broken = len(re.findall("[\udc80-\udcff]", text))
        if not broken:
            return text, False
        if sum(ord(letter) > 127 for letter in text) > 2 * broken:
            return text, True  # UTF-8 with a few damaged places
        text = content.decode("cp1252")
        if re.search(r"[\x00-\x08\x0e-\x1f]", text):
            raise CorpusError(f"{path}: is not a text table. Save it as CSV, in UTF-8.")
        return text, False
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path}: its encoding is not recognised. Save it as UTF-8.") from error


def _set_undecodable_aside(manifest: Manifest) -> None:
    surrogate = re.compile("[\udc80-\udcff]")
    bad = {row.where for row in manifest.rows if any(surrogate.search(text or "") for text in row.values.values())}
    manifest.rows = [row for row in manifest.rows if row.where not in bad]
    manifest.set_aside += [(where, "undecodable characters", "bytes that are not UTF-8") for where in sorted(bad)]


def _read_csv(path: Path, text: str, mapped: Collection[str]) -> Manifest:
    return _manifest_of(path, csv_records(text, mapped))


def _read_spreadsheet(path: Path, mapped: Collection[str]) -> Manifest:
    rows, note = spreadsheets.read_sheet(path, mapped)
    manifest = _manifest_of(path, enumerate(rows[(first := header_row(rows, mapped)) :], start=first + 1))
    manifest.notes += [note] if note else []
    return manifest


def _manifest_of(path: Path, records: Iterable[Record]) -> Manifest:
    """Rows out of records, of which the first with anything in it is the header."""
    manifest = Manifest(path.name, [])
    for line, fields in records:
        where = f"{path.name}:{line}"
        if isinstance(fields, str):
            manifest.set_aside.append((where, "broken quotation marks", fields))
            continue
        width = len(manifest.found)
        if not any(fields) or fields == manifest.found:  # a header again, where tables were joined
            continue
        if not manifest.found:
            manifest.found = [name.strip() for name in fields]
            manifest.found[0] = manifest.found[0].lstrip("# ")
            manifest.header_line = line
            refuse_doubled(path, manifest.found)
        elif len(fields) < width:
            manifest.set_aside.append((where, "too few fields", f"{len(fields)} instead of {width}"))
        elif len(fields) > width:
            manifest.set_aside.append((where, "too many fields", f"{len(fields)} instead of {width}"))
        else:
            manifest.rows.append(Row(where, dict(zip(manifest.found, fields, strict=False))))
    return manifest


def _read_json_lines(path: Path, text: str) -> Manifest:
    manifest = Manifest(path.name, [])
    for number, line in enumerate(_json_lines(text), start=1):
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


def _json_lines(text: str) -> Iterable[str]:
    """The lines; a JSON array, which some tools write under this name, is taken apart."""
    if text.lstrip().startswith("[") and "\n" in text.strip():
        with contextlib.suppress(ValueError, RecursionError):
            return [json.dumps(item, ensure_ascii=False) for item in json.loads(text)]
    return io.StringIO(text)


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
