"""What the columns of an audformat database mean, and what they say of each utterance (see `audformat_database`)."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from hbaf.corpus.labels import LabelMap, plain_label
from hbaf.corpus.schema import SPLITS, CorpusError, is_missing
from hbaf.corpus.text.manifest_columns import COLUMN_NAMES, map_columns, plain

Segment = tuple[str, float | None, float | None]  # file, start and end in seconds; None, None for the whole file
ColumnMap = dict[tuple[str, str], str]  # (table, column) -> our column

RECOGNISED = ("emotion", "speaker", "text", "dialogue", "turn", "channel", "split")
FOLDER = "@folder"  # in `columns`: the files of one folder are one dialogue


def our_columns(header: Path, database: Any, mapping: dict[str, str]) -> ColumnMap:
    """(table, column) -> our column; what the user mapped is not recognised a second time by its name."""
    unknown = sorted(set(mapping.values()) - set(RECOGNISED))
    if unknown:
        raise CorpusError(f"{header}: {unknown[0]!r} is none of our columns. There are: {', '.join(RECOGNISED)}.")
    found: ColumnMap = {}
    used: set[str] = {FOLDER}
    for table_id, table in database.tables.items():
        for column_id, column in table.columns.items():
            keys = [f"{table_id}/{column_id}", column_id, column.scheme_id or ""]
            key = next((key for key in keys if key in mapping), None)
            ours = mapping[key] if key else _recognised(column_id, column.scheme_id, set(mapping.values()))
            used |= {key} if key else set()
            if ours:
                found[table_id, column_id] = ours
    if set(mapping) - used:
        raise CorpusError(
            f"{header}: no column {sorted(set(mapping) - used)[0]!r}. Found: "
            f"{', '.join(f'{table}/{column}' for table in database.tables for column in database[table].columns)}."
        )
    for (table_id, ours), count in Counter((table_id, ours) for (table_id, _), ours in found.items()).items():
        doubled = [column for (table, column), name in found.items() if (table, name) == (table_id, ours)]
        if count > 1 and ours in doubled:
            found = {key: name for key, name in found.items() if (key[0], name) != (table_id, ours) or key[1] == ours}
        elif count > 1:
            raise CorpusError(
                f"{header}: columns {', '.join(doubled)} of table {table_id!r} all look like {ours!r}. Say which one "
                f"it is: {map_columns({f'{table_id}/{doubled[0]}': ours})}."
            )
    return found


def _recognised(column_id: str, scheme_id: str | None, taken: set[str]) -> str | None:
    for written in (column_id, scheme_id or ""):
        for ours in RECOGNISED:
            if plain(written) in COLUMN_NAMES[ours] and ours not in taken:
                return ours
    return None


def segments_of(header: Path, database: Any, columns: ColumnMap) -> list[Segment]:
    """The utterances: rows of the telling tables; a whole file only where none of its segments is there."""
    for wanted in ("emotion", "text"):
        tables = [
            table for table in database.tables if any(key[0] == table and columns[key] == wanted for key in columns)
        ]
        if tables:
            break
    found = dict.fromkeys(segment for table in tables or database.tables for segment in _index(database[table].df))
    divided = {file for file, start, _ in found if start is not None}
    rows = [segment for segment in found if segment[1] is not None or segment[0] not in divided]
    if not rows:
        raise CorpusError(f"{header}: no table has rows, so there are no utterances.")
    return rows


def _index(frame: pd.DataFrame) -> Iterator[Segment]:
    """The rows of a filewise or segmented table."""
    if frame.index.nlevels == 1:
        yield from ((str(file), None, None) for file in frame.index)
        return
    for file, start, end in frame.index:
        first, last = _seconds(start), _seconds(end)
        yield (str(file), None, None) if not first and last is None else (str(file), first or 0.0, last)


def values_of(header: Path, database: Any, columns: ColumnMap, name: str, segments: list[Segment]) -> list[str | None]:
    """One of our columns, for each segment: what the tables hold of it, else of its file, else None."""
    said: dict[Segment, tuple[str, str]] = {}
    for table_id, value, segment in _statements(database, columns, name):
        earlier, where = said.setdefault(segment, (value, table_id))
        if earlier != value and name in ("emotion", "split"):
            raise CorpusError(
                f"{header}: tables {where!r} and {table_id!r} give {segment[0]} the {name} {earlier!r} and {value!r}. "
                f"Say which one counts: {map_columns({f'{table_id}/COLUMN': name})}."
            )
    nothing = (None, "")
    return [said.get(segment, said.get((segment[0], None, None), nothing))[0] for segment in segments]


def _statements(database: Any, columns: ColumnMap, name: str) -> Iterator[tuple[str, str, Segment]]:
    """(table, value, segment) for each value of one of our columns; a table's own split counts without a column."""
    for table_id, table in database.tables.items():
        own = [column for (table_of, column), ours in columns.items() if table_of == table_id and ours == name]
        if own:
            for segment, value in zip(_index(table.df), table.df[own[0]], strict=True):
                if not is_missing(value) and str(value).strip():
                    yield table_id, str(value), segment
        elif name == "split" and table.split is not None and table.split.type in SPLITS:
            for segment in _index(table.df):
                yield table_id, table.split.type, segment


def label_order(database: Any, columns: ColumnMap, labels: list[str | None], mapped: LabelMap) -> tuple[str, ...]:
    """The labels found, in the order of the scheme if it lists them, else sorted."""
    found = {label for label in labels if label is not None}
    for (table_id, column_id), ours in columns.items():
        scheme = database[table_id].columns[column_id].scheme
        if ours == "emotion" and scheme is not None and scheme.labels is not None:
            listed = mapped.of_set(plain_label(str(label)) for label in scheme.labels_as_list)
            if found <= set(listed):
                return tuple(label for label in listed if label in found)
    return tuple(sorted(found))


def _seconds(time: Any) -> float | None:
    return None if is_missing(time) or time is pd.NaT else float(pd.Timedelta(time).total_seconds())
