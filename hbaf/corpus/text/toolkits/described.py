"""What the descriptions of all toolkits have in common: rows of our own columns, read line by line."""

import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from hbaf.corpus.confined import read_confined
from hbaf.corpus.schema import CorpusError
from hbaf.corpus.text.encoding import decode_text
from hbaf.corpus.text.manifest import Manifest, Row
from hbaf.corpus.text.table_limits import check_bytes, check_rows
from hbaf.parameters import LimitParameters

COLUMNS = ("dialogue", "source_id", "speaker", "text", "audio", "channel", "start", "end", "emotion", "split")


def manifest_of(file: str, rows: list[Row], set_aside: list[tuple[str, str, str]], note: str) -> Manifest:
    """Rows of our own columns as a manifest; columns that no row fills are left out.

    Args:
        file: what is read, for messages.
        note: which form it has, and how much of it.
    """
    filled = [name for name in COLUMNS if name == "dialogue" or any(row.values.get(name) for row in rows)]
    return Manifest(file, filled, {name: name for name in filled}, rows, set_aside, notes=[note])


def lines_of(path: Path, root: Path, limits: LimitParameters) -> Iterator[tuple[str, str]]:
    """(where, line) of a text file inside `root`, gzip too; blank lines are left out.

    Raises:
        CorpusError: it leaves the folder, is no text, or is too large, packed or not.
    """
    check_bytes(path, path.stat().st_size, limits)
    content = read_confined(path, root)
    if path.suffix.lower() == ".gz":
        try:
            content = gzip.GzipFile(fileobj=io.BytesIO(content)).read(limits.table_bytes + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise CorpusError(f"{path}: is no whole gzip file ({error}). Copy it again.") from error
        check_bytes(path, len(content), limits)
    lines = decode_text(path, content).text.splitlines()
    check_rows(path, len(lines), limits)
    shown = path.relative_to(root).as_posix()
    yield from ((f"{shown}:{number}", line) for number, line in enumerate(lines, start=1) if line.strip())


def count(number: int, what: str) -> str:
    """`1 turn`, `2 turns`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def summary(form: str, rows: Iterable[Row]) -> str:
    """`Kaldi, 12 turns of 3 recordings, 2 speakers`."""
    rows = list(rows)
    recordings = {row.values["dialogue"] for row in rows}
    speakers = {row.values["speaker"] for row in rows if row.values["speaker"]}
    people = count(len(speakers), "speaker") if speakers else "nobody named"
    return f"{form}, {count(len(rows), 'turn')} of {count(len(recordings), 'recording')}, {people}"
