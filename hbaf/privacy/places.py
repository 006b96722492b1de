"""Files of a home that may hold words: left by killed writers, or unknown to every store."""

import time
from collections.abc import Collection, Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from hbaf.home import home_folder

JOURNALS = "forgetting"  # folder of deletions that are not completed, a file each

ABANDONED = 3600.0  # seconds after which a temporary file belongs to nobody: its writer was killed
SHORTEST_TELLING = 12  # letters; shorter words are in every corpus
# Vectors and weights; the example is nobody's; journals of forgetting hold words till they are done.
NO_WORDS = ("features", "encoders", "champions", "examples", "forgetting")
LARGEST = 1 << 28  # bytes of a file that is looked into


def abandoned_files(seconds: float = ABANDONED) -> list[Path]:
    """Temporary files of writers that were killed: they may hold rows."""
    folders = ("corpora", "imported", "labels", "scores", "docs", "runs", "receipts", "cache")
    found = (file for name in folders for file in (home_folder() / name).rglob(".*.tmp"))
    return [file for file in found if time.time() - _written(file) > seconds]


def files_that_hold(needles: Collection[str]) -> list[str]:
    """Files of the home, as paths inside it, in which one of these texts stands; tables are read, the rest as bytes."""
    found = []
    wanted = sorted(set(needles))
    for file in _readable(home_folder()):
        try:
            if any(needle in text for text in _texts(file) for needle in wanted):
                found.append(str(file.relative_to(home_folder())))
        except (OSError, ValueError):
            continue  # gone meanwhile, or no table in spite of its name
    return found


def telling(words: pd.Series) -> set[str]:
    """The texts long enough to be somebody's own."""
    return {str(text) for text in words.dropna() if len(str(text)) >= SHORTEST_TELLING}


def _readable(home: Path) -> Iterator[Path]:
    for place in sorted(home.iterdir()):
        if place.name not in NO_WORDS:
            files = sorted(place.rglob("*")) if place.is_dir() else [place]
            yield from (file for file in files if file.is_file() and file.stat().st_size <= LARGEST)


def _texts(file: Path) -> Iterator[str]:
    if file.suffix != ".parquet":
        yield file.read_bytes().decode(errors="replace")
        return
    table = pa.parquet.read_table(file)
    for column in table.columns:
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            yield "\n".join(text for text in column.to_pylist() if text)


def _written(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return time.time()


def is_interrupted() -> bool:
    """Whether a deletion was begun and not completed."""
    return any((home_folder() / JOURNALS).glob("*.json"))
