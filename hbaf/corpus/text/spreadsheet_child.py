"""The process that reads a spreadsheet: prints JSON, and knows nothing of hbaf.

Its arguments are a path and the bounds of its memory (bytes), of what the file unpacks to (bytes) and of its cells. It
answers {"sheets": {name: rows of text}}, {"error": why not}, or how many {"bytes": ...} or {"cells": ...} are too many.
"""

import contextlib
import datetime
import json
import sys
import zipfile
from pathlib import Path
from typing import Any


def main(path: str, memory: int, most_bytes: int, most_cells: int) -> dict[str, Any]:
    """Reads a workbook; what it gives, and in which case, is described at the head of this file."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # systems without such a limit
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    import python_calamine

    try:
        if (unpacked := _unpacked(Path(path))) > most_bytes:
            return {"bytes": unpacked}
        book = python_calamine.CalamineWorkbook.from_path(path)
        sheets: dict[str, list[list[str]]] = {}
        cells = characters = 0
        for name in book.sheet_names:
            sheet = book.get_sheet_by_name(name)
            # Known before a row is made: one cell far away, or one that repeats, spans a rectangle of empty ones.
            if (cells := cells + sheet.total_height * sheet.total_width) > most_cells:
                return {"cells": cells}
            sheets[name] = []
            for row in sheet.to_python(skip_empty_area=False):
                sheets[name].append([_text(cell) for cell in row])
                if (characters := characters + sum(map(len, sheets[name][-1]))) > most_bytes:
                    return {"bytes": characters}
    except Exception as error:  # a foreign library, on a foreign file
        return {"error": str(error)}
    return {"sheets": sheets}


def _unpacked(path: Path) -> int:
    if not zipfile.is_zipfile(path):
        return path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        return sum(entry.file_size for entry in archive.infolist())


def _text(cell: Any) -> str:
    if isinstance(cell, datetime.timedelta):
        return repr(cell.total_seconds())
    if isinstance(cell, bool):
        return str(cell)
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], *map(int, sys.argv[2:]))))
