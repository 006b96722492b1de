"""Spreadsheets as rows of text: Excel's and OpenDocument's, the sheet that holds the table of utterances.

They are read in a process of their own: a few bytes can say that a cell repeats a billion times.
"""

import json
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

from hbaf.corpus.schema import CorpusError
from hbaf.corpus.text import spreadsheet_child
from hbaf.corpus.text.table_header import SEARCHED, known_names
from hbaf.corpus.text.table_limits import check_bytes, check_cells
from hbaf.parameters import LimitParameters

SUFFIXES = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")


def read_sheet(path: Path, mapped: Collection[str], limits: LimitParameters) -> tuple[list[list[str]], str | None]:
    """The rows of the one sheet that has the most columns known here, and a note if there are others with rows.

    Raises:
        CorpusError: no spreadsheet, protected by a password, larger than `limits`, or without any row.
    """
    sheets = {name: rows for name, rows in _sheets(path, limits).items() if rows}
    if not sheets:
        raise CorpusError(f"{path}: the manifest is empty. It needs a header and one row per utterance.")
    scores = {name: max(known_names(row, mapped) for row in rows[:SEARCHED]) for name, rows in sheets.items()}
    best = max(scores, key=lambda name: scores[name])
    others = [name for name in sheets if name != best]
    note = f"{path.name}: sheet {best!r} was read, not {', '.join(map(repr, others))}" if others else None
    return sheets[best], note


def _sheets(path: Path, limits: LimitParameters) -> dict[str, list[list[str]]]:
    """Sheet -> its rows, from the child."""
    bounds = (limits.spreadsheet_memory, limits.table_bytes, limits.table_cells)
    try:
        child = subprocess.run(
            [sys.executable, "-I", str(spreadsheet_child.__file__), str(path), *map(str, bounds)],
            capture_output=True, timeout=limits.spreadsheet_seconds, check=False,
        )  # fmt: skip
        found = json.loads(child.stdout)
    except subprocess.TimeoutExpired as error:
        raise CorpusError(
            f"{path}: takes more than {limits.spreadsheet_seconds:g} s to read. Save it as CSV, in UTF-8, or allow "
            "more (`--set corpus.limits.spreadsheet_seconds=600`)."
        ) from error
    except ValueError as error:  # it ended before it could answer
        raise CorpusError(
            f"{path}: needs more memory than {limits.spreadsheet_memory} bytes. Save it as CSV, in UTF-8, or allow "
            "more (`--set corpus.limits.spreadsheet_memory=...`)."
        ) from error
    check_bytes(path, found.get("bytes", 0), limits)
    check_cells(path, found.get("cells", 0), limits)
    if "error" in found:
        locked = "assword" in found["error"]
        what = "is protected by a password" if locked else f"is no readable spreadsheet ({found['error']})"
        raise CorpusError(f"{path}: {what[:120]}. Save it as .xlsx without a password, or as CSV in UTF-8.")
    return dict(found["sheets"])
