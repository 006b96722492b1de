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
from hbaf.corpus.text.table_limits import check_bytes, check_cells, check_rows
from hbaf.corpus.text.toolkits.json_lines import as_meant, is_nemo
from hbaf.parameters import LimitParameters

SUFFIXES = {
    ".csv": "csv", ".tsv": "csv", ".tab": "csv", ".psv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".parquet": "parquet", **dict.fromkeys(spreadsheets.SUFFIXES, "spreadsheet"),
}  # fmt: skip


def read_table(path: Path, columns: dict[str, str], limits: LimitParameters) -> Manifest:
    """One file as a manifest; raises as `find_manifest.read_manifest`."""
    try:
        check_bytes(path, path.stat().st_size, limits)
        kind = "jsonl" if is_nemo(path) else SUFFIXES[path.suffix.lower()]
        if kind == "parquet":
            manifest = _read_parquet(path, limits)
        elif kind == "spreadsheet":
            manifest = _read_spreadsheet(path, columns, limits)
        else:
            content = path.read_bytes()
            if is_blank(content):
                raise CorpusError(f"{path}: the manifest is empty. It needs a header and one row per utterance.")
            decoded = decode_text(path, content)
            text = decoded.text
            manifest = _read_csv(path, text, columns) if kind == "csv" else as_meant(_read_json_lines(path, text))
            if decoded.damaged:
                _set_undecodable_aside(manifest)
            manifest.notes += [f"{path.name}: {decoded.note}"] if decoded.note else []
        check_rows(path, len(manifest.rows), limits)
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


def _read_spreadsheet(path: Path, mapped: Collection[str], limits: LimitParameters) -> Manifest:
    rows, note = spreadsheets.read_sheet(path, mapped, limits)
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


def _read_parquet(path: Path, limits: LimitParameters) -> Manifest:
    """In batches, with texts as references: a few bytes can say that a megabyte stands in each of a million rows."""
    import pyarrow
    from pyarrow import parquet

    try:
        schema = parquet.read_schema(path)
        texts = [item.name for item in schema if _is_text(item.type)]
        file = parquet.ParquetFile(path, read_dictionary=texts)
        groups = [file.metadata.row_group(index) for index in range(file.metadata.num_row_groups)]
        check_bytes(path, sum(group.total_byte_size for group in groups), limits)
        check_rows(path, file.metadata.num_rows, limits)
        cells = sum(group.column(index).num_values for group in groups for index in range(group.num_columns))
        check_cells(path, cells, limits)
        manifest = Manifest(path.name, [str(name).strip() for name in schema.names])
        refuse_doubled(path, manifest.found)
        characters = 0
        for batch in file.iter_batches(batch_size=1_000):
            check_bytes(path, characters + _referred(batch), limits)
            for values in batch.to_pandas(ignore_metadata=True).itertuples(index=False, name=None):
                fields = [as_text(value) for value in values]
                characters += sum(len(text) for text in fields if text)
                check_bytes(path, characters, limits)
                where = f"{path.name}:{len(manifest.rows) + 1}"
                manifest.rows.append(Row(where, dict(zip(manifest.found, fields, strict=True))))
    except (pyarrow.ArrowException, ValueError) as error:
        if isinstance(error, CorpusError):
            raise
        raise CorpusError(f"{path}: is not a readable Parquet file. Write it again.") from error
    return manifest


def _referred(batch: Any) -> int:
    """Bytes of the texts that a batch refers to, once each stands in its row."""
    from pyarrow import compute

    total = 0
    for column in batch.columns:
        kind = column.type
        if hasattr(kind, "index_type") and _is_text(kind.value_type):
            total += compute.sum(compute.binary_length(column.dictionary).take(column.indices)).as_py() or 0
    return total


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    return types.is_string(kind) or types.is_large_string(kind) or types.is_binary(kind) or types.is_large_binary(kind)
