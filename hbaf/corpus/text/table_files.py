"""Tables as manifests: CSV of any separator and usual encoding, JSON lines, Parquet, spreadsheets.

Rows that cannot be read are set aside with their line; only a broken file stops the reading.
"""

import contextlib
import io
import json
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from hbaf.corpus.schema import CorpusError
from hbaf.corpus.text import spreadsheets
from hbaf.corpus.text.encoding import decode_text, is_blank
from hbaf.corpus.text.manifest import Manifest, Row, as_text
from hbaf.corpus.text.manifest_columns import carried_name, recognise, refuse_doubled
from hbaf.corpus.text.table_header import Record, csv_records, header_row

SUFFIXES = {
    ".csv": "csv", ".tsv": "csv", ".tab": "csv", ".psv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".parquet": "parquet", **dict.fromkeys(spreadsheets.SUFFIXES, "spreadsheet"),
}  # fmt: skip


def read_table(path: Path, columns: dict[str, str]) -> Manifest:
    """One file as a manifest; raises as `find_manifest.read_manifest`."""
    try:
        kind = SUFFIXES[path.suffix.lower()]
        if kind == "parquet":
            manifest = _read_parquet(path)
        elif kind == "spreadsheet":
            manifest = _read_spreadsheet(path, columns)
        else:
            content = path.read_bytes()
            if is_blank(content):
                raise CorpusError(f"{path}: the manifest is empty. It needs a header and one row per utterance.")
            decoded = decode_text(path, content)
            text = decoded.text
            manifest = _read_csv(path, text, columns) if kind == "csv" else _read_json_lines(path, text)
            if decoded.damaged:
                _set_undecodable_aside(manifest)
            manifest.notes += [f"{path.name}: {decoded.note}"] if decoded.note else []
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
