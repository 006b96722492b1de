"""A folder of `hbaf score` as a table of scored rows."""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hbaf.home import home_folder, located, published, write_atomically
from hbaf.report.pages import write_report
from hbaf.scoring.exports import FOLDER as EXPORTS
from hbaf.scoring.schema import as_cell
from hbaf.scoring.store import SELECTED_BY, Select

TABLE, FACTS, CSV = "scores.parquet", "scores.json", "scores.csv"
# Of the facts, what the report does not show as provenance.
NOT_SHOWN = ("rows", "dialogues", "without_audio", "without_text", "corpus_root", "audio", "keep_features", "notice")
Filters = list[tuple[str, str, str]]  # column, operator, value


class ScoresError(LookupError):
    """A place holds no scores."""


@dataclass(frozen=True)
class ScoresFolder:
    """One that `score_corpus` left; one part, as it was scored whole. Implements `hbaf.scoring.store.ScoredTable`."""

    folder: Path
    source = ""

    @property
    def place(self) -> str:
        """The folder."""
        return str(self.folder)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """scores.json; empty where scoring was killed before it."""
        file = self.folder / FACTS
        return json.loads(file.read_text()) if file.exists() else {}

    @property
    def written(self) -> float:
        """Seconds since 1970."""
        return (self.folder / TABLE).stat().st_mtime

    def frames(
        self, columns: Sequence[str] | None = None, scored: tuple[pd.Timestamp, pd.Timestamp] | None = None
    ) -> Iterator[pd.DataFrame]:
        """All rows, whenever they were scored."""
        yield self._read(columns)

    def conversation(self, name: str) -> pd.DataFrame:
        """All rows of `corpus/dialogue`."""
        corpus, _, dialogue = name.partition("/")
        return self._read(filters=[("corpus", "=", corpus), ("dialogue_id", "=", dialogue)])

    def selected(self, select: Select, part: pd.DataFrame) -> np.ndarray:
        """(rows,) bool: rows go one by one."""
        return select(part)

    def remove(self, select: Select) -> int:
        """Writes table, CSV and report anew without some rows; removes them when none is left."""
        gone = select(self._read(SELECTED_BY))
        if gone.any():
            self._write(pq.read_table(self.folder / TABLE).filter(pa.array(~gone)))
        return int(gone.sum())

    def _read(
        self, columns: Sequence[str] | None = None, filters: list[tuple[str, str, str]] | None = None
    ) -> pd.DataFrame:
        """Rows as `ScoredTable` says, also of a table that an earlier version wrote without what all rows share."""
        file = self.folder / TABLE
        there = pq.read_schema(file).names
        wanted = [name for name in there if name != "probabilities"]
        if columns is not None:
            wanted = [name for name in wanted if name in {*columns, "corpus", "dialogue_id"}]
        frame = pq.read_table(file, columns=wanted, filters=filters).to_pandas()
        if "conversation" not in frame:
            frame["conversation"] = frame["corpus"] + "/" + frame["dialogue_id"]
        if "scored_at" not in there:
            at = datetime.fromtimestamp(self.written, UTC)
            frame = frame.assign(scored_at=pd.Timestamp(at), run_id=self.facts.get("run"), source=frame["corpus"])
        return frame

    def _write(self, table: pa.Table) -> None:
        folder, facts = self.folder, self.facts
        # Other forms of the same rows; scoring again makes them.
        for name in ("audformat", EXPORTS):
            shutil.rmtree(folder / name, ignore_errors=True)
        # The table last: what is still in it tells whoever comes after a kill that this is not done.
        if not len(table):
            shutil.rmtree(folder / "report", ignore_errors=True)
            for name in (CSV, FACTS, TABLE):
                (folder / name).unlink(missing_ok=True)
            if not any(folder.iterdir()):
                folder.rmdir()
            return
        frame = table.to_pandas()
        if (folder / "report" / "index.html").exists():
            root = facts.get("corpus_root")
            write_report(
                frame,
                folder / "report",
                title=f"{facts.get('corpus', 'scores')}: {len(table)} utterances",
                corpus_root=Path(located(root)) if root else None,
                emotions=tuple(name[2:] for name in table.column_names if name.startswith("p_")),
                provenance={name: str(value) for name, value in facts.items() if name not in NOT_SHOWN},
                audio=facts.get("audio", "none"),
                notice=facts.get("notice", ""),
                links=links_of(folder, facts.get("model", ""), facts.get("run", "")),
            )
        if facts:
            counts = {
                "rows": len(table),
                "dialogues": int(frame["dialogue_id"].nunique()),
                "without_audio": int(frame["audio_problem"].notna().sum()),
                "without_text": int(frame["text_problem"].notna().sum()),
            }
            write_atomically(folder / FACTS, json.dumps({**facts, **counts}, indent=1).encode())
        if (folder / CSV).exists():
            _write_csv(table, folder)
        write_table(table, folder)


def links_of(folder: Path, model: str, run_id: str) -> dict[str, Path]:
    """What a report links to: its tables, and the model's card where this home has one."""
    found = {"Table (Parquet)": folder / TABLE, "Table (CSV)": folder / CSV}
    if run_id:
        found["Model card"] = home_folder() / "cards" / model.partition("/")[0] / run_id / "card.html"
    return {called: file for called, file in found.items() if file.exists()}


def scores_folders() -> list[ScoresFolder]:
    """Those in the home, oldest name first."""
    return [ScoresFolder(file.parent) for file in sorted((home_folder() / "scores").glob(f"*/{TABLE}"))]


def write_table(rows: pa.Table, folder: Path, csv: bool = False) -> None:
    """Writes scores.parquet and then, where asked for, scores.csv; each is whole or the one before."""
    with published(folder / TABLE) as beside:
        pq.write_table(rows, beside, compression="zstd")
    if csv:
        _write_csv(rows, folder)


def _write_csv(rows: pa.Table, folder: Path) -> None:
    plain = rows.drop_columns([name for name in ("probabilities",) if name in rows.column_names])
    safe = plain.to_pandas(integer_object_nulls=True)
    for name in safe.select_dtypes(["object", "string"]):
        safe[name] = safe[name].map(as_cell)
    write_atomically(folder / CSV, safe.to_csv(index=False).encode())
