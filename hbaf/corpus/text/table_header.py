"""Which line of a table is its header, and what separates its columns.

Spreadsheets put `sep=;` on the first line, people titles and notes above the header, tools a comment with their name.
The header is the line that names the most columns known here; where none is known it is the first one.
"""

import csv
import io
import re
from collections.abc import Collection, Iterator, Sequence

from hbaf.corpus.text.manifest_columns import COLUMN_NAMES, is_called

SEPARATORS = ",;\t|"
SEARCHED = 50  # lines from the top in which the header must stand
LONGEST_RECORD = 200  # lines; in a longer one a quotation mark was never closed
LARGEST_FIELD = 1 << 20  # characters

Record = tuple[int, list[str] | str]  # line from 1, and the fields, or the complaint about its quotation marks

_SEPARATOR_LINE = re.compile(r'"?sep=(\\t|.)"?\s*', re.IGNORECASE | re.DOTALL)


def known_names(fields: Sequence[str], mapped: Collection[str] = ()) -> int:
    """How many fields are names of columns: ours, or those that the user mapped."""
    names = {field.strip().lstrip("#").strip() for field in fields}
    return sum(name in mapped or is_called(name, *COLUMN_NAMES) for name in names)


def csv_records(text: str, mapped: Collection[str] = ()) -> Iterator[Record]:
    """The records of a text table from its header on.

    Each is parsed on its own, so a quotation mark left open costs its line and not the rest of the file.

    Args:
        mapped: columns as written that the user gave a meaning.
    """
    lines = list(io.StringIO(text, newline=""))
    first, separator = _header(lines, mapped)
    limit = csv.field_size_limit(LARGEST_FIELD)
    try:
        position = first
        while position < len(lines):
            line = position + 1
            some = iter(lines[position : position + LONGEST_RECORD])
            reader = csv.reader(some, delimiter=separator, strict=True)
            try:
                fields = next(reader, None)
            except csv.Error as error:
                yield line, str(error)[:80]
                position += 1
                continue
            if fields is None:
                return
            position += reader.line_num
            if len(fields) == 1 and line > 1 and fields[0].startswith("#"):
                continue  # a comment between the rows
            yield line, fields
    finally:
        csv.field_size_limit(limit)


def _header(lines: list[str], mapped: Collection[str]) -> tuple[int, str]:
    """(index of the header, separator)."""
    top = lines[:SEARCHED]
    said = _SEPARATOR_LINE.fullmatch(top[0]) if top else None
    separators = said[1].replace("\\t", "\t") if said else SEPARATORS
    best, most = None, 1
    for index, line in enumerate(top):
        if said and index == 0:
            continue
        for separator in separators:
            known = known_names(_fields(line, separator), mapped)
            if known > most:
                best, most = (index, separator), known
    if best is not None:
        return best
    start = 1 if said else 0
    index = next((i for i in range(start, len(top)) if top[i].strip() and not top[i].startswith("#")), start)
    outside_quotes = re.sub(r'"[^"]*"', "", lines[index]) if index < len(lines) else ""
    return index, max(separators, key=outside_quotes.count)


def header_row(rows: Sequence[Sequence[str]], mapped: Collection[str]) -> int:
    """The same among rows that are fields already, as those of a spreadsheet."""
    counts = [known_names(row, mapped) for row in rows[:SEARCHED]]
    if counts and max(counts) > 1:
        return counts.index(max(counts))
    return next((index for index, row in enumerate(rows[:SEARCHED]) if any(row)), 0)


def _fields(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
        return []
