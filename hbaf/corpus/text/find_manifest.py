"""Which file of a folder is its manifest."""

from pathlib import Path

from hbaf.corpus.confined import confined
from hbaf.corpus.schema import CorpusError
from hbaf.corpus.text.manifest import Manifest
from hbaf.corpus.text.table_files import SUFFIXES, read_table
from hbaf.corpus.text.toolkits.json_lines import is_nemo
from hbaf.parameters import LimitParameters


def read_manifest(
    root: Path,
    file: str | None = None,
    columns: dict[str, str] | None = None,
    limits: LimitParameters = LimitParameters(),  # noqa: B008  # frozen
) -> Manifest:
    """Reads the manifest of a corpus folder.

    Args:
        root: the corpus folder.
        file: the manifest's name; None: the only one in the root.
        columns: column as written -> our column, where the name is not recognised.

    Raises:
        CorpusError: no manifest or several, not readable as text or as a table, empty, too large, a column doubled.
    """
    return read_table(_find_manifest(root, file), columns or {}, limits)


def _find_manifest(root: Path, file: str | None) -> Path:
    if file is not None:
        path = root / file
        if not path.resolve().is_relative_to(root.resolve()):
            raise CorpusError(f"{file}: lies outside the corpus folder {root}. Put the manifest into it.")
        if not path.exists():
            raise CorpusError(f"{path}: no such manifest. Give the name of a file in {root} with `--manifest`.")
        if path.suffix.lower() not in SUFFIXES and not is_nemo(path):
            raise CorpusError(f"{path}: a manifest ends in {', '.join(SUFFIXES)}; rename or convert it.")
        return confined(path, root)
    candidates = tables_in(root)
    if not candidates:
        raise CorpusError(
            f"{root}: no manifest. Put a CSV, JSONL or Parquet table with one row per utterance there, or a transcript "
            "(WebVTT, SRT, TextGrid, a recogniser's JSON ...) beside each recording. Where there are recordings alone, "
            f"`hbaf transcribe {root}` writes down what is said in them."
        )
    if len(candidates) > 1:
        names = ", ".join(path.name for path in candidates)
        raise CorpusError(f"{root}: {len(candidates)} tables could be the manifest ({names}). Name one: `--manifest`.")
    return confined(candidates[0], root)


def tables_in(root: Path) -> list[Path]:
    """The files of a folder that could be its manifest; not the copies that Whisper writes beside a transcript."""
    return sorted(
        path
        for path in root.iterdir()
        if (path.suffix.lower() in SUFFIXES or is_nemo(path))
        and not path.name.startswith((".", "~$"))  # nor Excel's mark of an open file
        and path.is_file()
        and not (path.resolve().is_relative_to(root.resolve()) and _is_copy_of_transcript(path))
    )


def _is_copy_of_transcript(path: Path) -> bool:
    if path.suffix.lower() != ".tsv" or not any(
        path.with_suffix(other).exists() for other in (".json", ".vtt", ".srt")
    ):
        return False
    with path.open("rb") as file:
        return file.readline(100).split() == [b"start", b"end", b"text"]
