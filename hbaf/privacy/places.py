"""Everything beside tables and vectors that a home keeps of a corpus, and its removal."""

import json
import shutil
import time
from collections.abc import Collection, Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from hbaf.home import home_folder, room
from hbaf.parameters import SearchParameters
from hbaf.registry.trained_on import remove_run, run_keys, validations_of
from hbaf.search.plan import storage_url
from hbaf.search.studies import remove_studies_of
from hbaf.validation.accepted import accepted_file
from hbaf.validation.suite import docs_name

ABANDONED = 3600.0  # seconds after which a temporary file belongs to nobody: its writer was killed
SHORTEST_TELLING = 12  # letters; shorter words are in every corpus
NO_WORDS = ("features", "encoders", "champions", "examples")  # vectors and weights; the example is nobody's
LARGEST = 1 << 28  # bytes of a file that is looked into


def remove_traces(digests: Collection[str], corpora: Collection[str], whole: Collection[str]) -> tuple[int, int]:
    """Removes validations, searches, checkpoints and caches of these versions of corpora.

    Args:
        digests: of every version that held what is forgotten.
        corpora: their names.
        whole: names of those of which nothing is left.

    Returns:
        How many validations and how many studies went.
    """
    validations = validations_of(digests, corpora)
    for run in validations:
        remove_run(run)
    for name in corpora:
        shutil.rmtree(home_folder() / "docs" / docs_name(name), ignore_errors=True)
    shutil.rmtree(home_folder() / "docs" / "results", ignore_errors=True)  # an older hbaf left one there
    for name in whole:
        accepted_file(name).unlink(missing_ok=True)
    studies = remove_studies_of(digests, storage_url(SearchParameters()))
    for key in run_keys(digests):
        for file in (home_folder() / "runs" / key[:16]).glob("*.ckpt"):
            file.unlink(missing_ok=True)
    # Keyed by digests of paths, so nobody knows whose rows they are; it only saves time.
    for file in room("cache").glob("facts.sqlite*"):
        file.unlink(missing_ok=True)
    shutil.rmtree(home_folder() / "errors", ignore_errors=True)
    for file in abandoned_files():
        file.unlink(missing_ok=True)
    return len(validations), len(studies)


def abandoned_files(seconds: float = ABANDONED) -> list[Path]:
    """Temporary files of writers that were killed: they may hold rows."""
    rooms = ("corpora", "imported", "scores", "docs", "runs", "receipts", "cache")
    found = (file for name in rooms for file in (home_folder() / name).rglob(".*.tmp"))
    return [file for file in found if time.time() - _written(file) > seconds]


def earlier_digests(digests: Collection[str]) -> set[str]:
    """These versions of corpora and those that they were made of by forgetting, as the receipts tell."""
    known = set(digests)
    receipts = sorted((home_folder() / "receipts").glob("*.json"), reverse=True)
    before = [json.loads(file.read_text()).get("corpora", {}) for file in receipts]
    while True:
        more = {old for corpora in before for old, new in corpora.items() if new in known} - known
        if not more:
            return known
        known |= more


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
