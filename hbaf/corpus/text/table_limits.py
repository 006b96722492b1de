"""The bounds of a table: beyond them it is refused, with the setting that moves them."""

from pathlib import Path

from hbaf.corpus.schema import CorpusError
from hbaf.parameters import LimitParameters


def check_bytes(path: Path, found: int, limits: LimitParameters) -> None:
    """Raises CorpusError where a file, or what it unpacks to, has more bytes or characters than allowed."""
    _check(path, "bytes", found, limits.table_bytes, "table_bytes")


def check_rows(path: Path, found: int, limits: LimitParameters) -> None:
    """Raises CorpusError where a table has more rows than allowed."""
    _check(path, "rows", found, limits.table_rows, "table_rows")


def check_cells(path: Path, found: int, limits: LimitParameters) -> None:
    """Raises CorpusError where a table has more cells, empty ones too, than allowed."""
    _check(path, "cells", found, limits.table_cells, "table_cells")


def _check(path: Path, what: str, found: int, allowed: int, setting: str) -> None:
    if found > allowed:
        raise CorpusError(
            f"{path}: holds {found} {what} or more, and {allowed} are allowed. If that is right, split the table, or "
            f"allow more: `--set corpus.limits.{setting}={2 * found}`."
        )
