"""Spreadsheets as rows of text: Excel's and OpenDocument's, the sheet that holds the table of utterances."""

import datetime
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

from hbaf.corpus.schema import CorpusError
from hbaf.corpus.text.table_header import SEARCHED, known_names

SUFFIXES = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
LARGEST = 1 << 28  # bytes that the file unpacks to; a million rows of words are less


def read_sheet(path: Path, mapped: Collection[str]) -> tuple[list[list[str]], str | None]:
    """The rows of the one sheet that has the most columns known here, and a note if there are others with rows.

    Raises:
        CorpusError: no spreadsheet, protected by a password, larger than `LARGEST`, or without any row.
    """
    import python_calamine

    _check_size(path)
    try:
        book = python_calamine.CalamineWorkbook.from_path(str(path))
        sheets = {name: book.get_sheet_by_name(name).to_python(skip_empty_area=False) for name in book.sheet_names}
    except Exception as error:  # a foreign library, on a foreign file
        what = "is protected by a password" if "assword" in str(error) else f"is no readable spreadsheet ({error})"
        raise CorpusError(f"{path}: {what[:120]}. Save it as .xlsx without a password, or as CSV in UTF-8.") from error
    tables = {name: [[_text(cell) for cell in row] for row in rows] for name, rows in sheets.items() if rows}
    if not tables:
        raise CorpusError(f"{path}: the manifest is empty. It needs a header and one row per utterance.")
    scores = {name: max(known_names(row, mapped) for row in rows[:SEARCHED]) for name, rows in tables.items()}
    best = max(scores, key=lambda name: scores[name])
    others = [name for name in tables if name != best]
    note = f"{path.name}: sheet {best!r} was read, not {', '.join(map(repr, others))}" if others else None
    return tables[best], note


def _check_size(path: Path) -> None:
    size = path.stat().st_size
    if zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                size = sum(entry.file_size for entry in archive.infolist())
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise CorpusError(f"{path}: is no readable spreadsheet ({error}). Save it as CSV, in UTF-8.") from error
    if size > LARGEST:
        raise CorpusError(f"{path}: unpacks to {size} bytes, more than {LARGEST} allowed. Save it as CSV, in UTF-8.")


def _text(cell: Any) -> str:
    if isinstance(cell, datetime.timedelta):
        return repr(cell.total_seconds())
    if isinstance(cell, bool):
        return str(cell)
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()
