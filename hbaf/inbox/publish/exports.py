"""The published result in other forms, written anew in full: CSV for spreadsheets, JSON lines for programs."""

import csv
import io
import json
from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from hbaf.home import home_folder, published
from hbaf.inbox.publish.parquet import ParquetDataset
from hbaf.scoring.schema import COLUMNS, as_cell


def export(dataset: ParquetDataset, forms: Collection[str], folder: Path | None = None) -> list[Path]:
    """Writes `scores.csv` and `scores.jsonl`, one part of the dataset in memory at a time.

    Args:
        forms: "csv", "jsonl" or both.
        folder: default: `exports` in the home, by the name of the dataset's folder.
    """
    if not forms:
        return []
    place = folder or exports_of(dataset)
    place.mkdir(parents=True, exist_ok=True)
    made = []
    for form in sorted(set(forms)):
        file = place / f"scores.{form}"
        with published(file) as beside, beside.open("w", encoding="utf-8", newline="") as stream:
            if form == "csv":
                csv.writer(stream).writerow(COLUMNS)
            for table in dataset.tables():
                stream.write(FORMS[form](table))
        made.append(file)
    return made


def exports_of(dataset: ParquetDataset) -> Path:
    """The folder of a dataset's other forms in the home."""
    return home_folder() / "exports" / Path(dataset.url).name


def _csv(table: pa.Table) -> str:
    """Rows without a header; cells that a spreadsheet would run are disarmed."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    for row in table.to_pylist():
        row["probabilities"] = _plain(row["probabilities"] and json.dumps(dict(row["probabilities"])))
        writer.writerow(as_cell(_plain(row[name])) for name in COLUMNS)
    return text.getvalue()


def _json_lines(table: pa.Table) -> str:
    lines = []
    for row in table.to_pylist():
        row["probabilities"] = row["probabilities"] and dict(row["probabilities"])
        lines.append(json.dumps({name: _plain(value) for name, value in row.items()}, ensure_ascii=False))
    return "".join(f"{line}\n" for line in lines)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


FORMS: dict[str, Callable[[pa.Table], str]] = {"csv": _csv, "jsonl": _json_lines}
