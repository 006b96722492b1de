"""One table for each split: train.csv, dev.csv and test.csv, or a folder of each name with its own table and audio."""

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from hbaf.corpus.schema import CorpusError
from hbaf.corpus.text.find_manifest import tables_in
from hbaf.corpus.text.manifest import Manifest, Row
from hbaf.corpus.text.table_files import read_table
from hbaf.parameters import LimitParameters

SPLIT_NAMES = {
    "train": "train", "training": "train", "trn": "train",
    "dev": "dev", "devel": "dev", "development": "dev", "val": "dev", "valid": "dev", "validation": "dev",
    "test": "test", "testing": "test", "tst": "test",
}  # fmt: skip


def tables_by_split(root: Path) -> dict[Path, str]:
    """Table -> its split, where every table of a folder is named after one, or lies in a folder that is.

    Empty if that is not how the folder is made, or if it is not plain which tables count.
    """
    tables = tables_in(root)
    if not tables:
        folders = sorted(path for path in root.iterdir() if path.is_dir() and path.name.lower() in SPLIT_NAMES)
        tables = [table for folder in folders for table in tables_in(folder)]
        named = {table: SPLIT_NAMES[table.parent.name.lower()] for table in tables}
        plain = len({table.parent for table in tables}) == len(tables)
    else:
        splits = [(table, split_in_name(table.stem)) for table in tables]
        named = {table: split for table, split in splits if split is not None}
        plain = len(named) == len(tables) == len({table.stem for table in tables})
    inside = root.resolve()
    if not plain or len(set(named.values())) < 2 or not all(path.resolve().is_relative_to(inside) for path in named):
        return {}
    return named


def split_in_name(stem: str) -> str | None:
    """By the one word of a name that is a split's: `meld-train_v2`."""
    found = {SPLIT_NAMES[word] for word in re.findall(r"[a-z]+", stem.lower()) if word in SPLIT_NAMES}
    return found.pop() if len(found) == 1 else None


def read_split_tables(
    root: Path, tables: dict[Path, str], columns: dict[str, str], limits: LimitParameters
) -> Manifest:
    """All tables as one manifest, whose rows name their split; a column `split` of their own counts before it.

    Where dialogues of two splits have one name and share no audio, each table numbers its own: they are told apart by
    the name of their split.

    Raises:
        CorpusError: a table cannot be read, or the tables are of different make.
    """
    whole = Manifest(", ".join(path.relative_to(root).as_posix() for path in tables), [])
    parts: dict[str, list[Row]] = {}
    for path, split in tables.items():
        part = read_table(path, columns, limits)
        if whole.columns and part.columns.keys() != whole.columns.keys():
            raise CorpusError(
                f"{path}: has columns for {_listed(part.columns)}, the table before it for {_listed(whole.columns)}. "
                "Give the tables of all splits the same columns, or name one table: `--manifest`."
            )
        whole.columns, whole.header_line = part.columns, part.header_line
        whole.found += [name for name in part.found if name not in whole.found]
        whole.notes += part.notes
        folder = path.parent.relative_to(root)
        whole.set_aside += [(_placed(folder, where), rule, found) for where, rule, found in part.set_aside]
        parts.setdefault(split, []).extend(_row(row, folder, split) for row in part.rows)
    if renamed := _named_anew(parts):
        whole.notes.append(
            f"{renamed} dialogues of different splits have one name and no audio in common: each is called after its "
            "split (train-1, test-1)"
        )
    whole.rows = [replace(row, prefix=f"{split}-" if renamed else "") for split, rows in parts.items() for row in rows]
    whole.columns = {**whole.columns, "split": "split"}
    return whole


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _placed(folder: Path, where: str) -> str:
    return (PurePosixPath(folder.as_posix()) / where).as_posix()


def _row(row: Row, folder: Path, split: str) -> Row:
    values = dict(row.values)
    if values.get("audio") and folder.parts:
        values["audio"] = _placed(folder, values["audio"] or "")
    values["split"] = values.get("split") or split
    return replace(row, where=_placed(folder, row.where), values=values)


def _named_anew(parts: dict[str, list[Row]]) -> int:
    """How many names of dialogues stand in several splits; 0 if one of them has audio in two."""
    splits_of: dict[str, set[str]] = {}
    audio_of: dict[str, set[str]] = {}
    for split, rows in parts.items():
        for row in rows:
            if dialogue := row.values.get("dialogue"):
                splits_of.setdefault(dialogue, set()).add(split)
            if audio := row.values.get("audio"):
                audio_of.setdefault(audio, set()).add(split)
    if any(len(splits) > 1 for splits in audio_of.values()):
        return 0
    return sum(len(splits) > 1 for splits in splits_of.values())
