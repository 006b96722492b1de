"""What scheduled scoring published of a source as a table of scored rows, and the store of all there is."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from hbaf.inbox.ledger.database import Ledger
from hbaf.inbox.ledger.records import SourceRecord
from hbaf.inbox.publish.exports import exports_of
from hbaf.inbox.publish.living_report import remove_report
from hbaf.inbox.publish.parquet import SCHEMA_FILE, ParquetDataset
from hbaf.inbox.publish.postgres import PostgresResult
from hbaf.scoring.schema import as_scores
from hbaf.scoring.scores_folder import TABLE, ScoresError, ScoresFolder, scores_folders
from hbaf.scoring.store import SELECTED_BY, ScoredTable, ScoreStore, Select


@dataclass(frozen=True, eq=False)
class PublishedScores:
    """A Parquet dataset, with its copies; implements `hbaf.scoring.store.ScoredTable`.

    Attributes:
        source: "" for a dataset that a person named and this home's ledger does not know.
        root: folder or URL that the source's recordings lie in; "" if unknown.
    """

    dataset: ParquetDataset
    source: str = ""
    root: str = ""
    written = None  # the runs say when

    @property
    def place(self) -> str:
        """Folder or URL."""
        return self.dataset.url

    @property
    def facts(self) -> Mapping[str, str]:
        """As a folder of `hbaf score` tells them."""
        return {"corpus": self.source, "corpus_root": self.root, "keep_features": "selected"}

    def frames(
        self, columns: Sequence[str] | None = None, scored: tuple[pd.Timestamp, pd.Timestamp] | None = None
    ) -> Iterator[pd.DataFrame]:
        """The rows, one file of the dataset at a time; of a file that holds none of that time its footer is read."""
        filters = (
            None if scored is None else (pc.field("scored_at") >= scored[0]) & (pc.field("scored_at") <= scored[1])
        )
        wanted = None if columns is None else sorted({*columns, "conversation", "source", "dialogue_id"} - {"corpus"})
        for table in self.dataset.tables(wanted, filters):
            if len(table) or scored is None:
                yield as_scores(table)

    def conversation(self, name: str) -> pd.DataFrame:
        """All rows of `source/dialogue`."""
        tables = (table for table in self.dataset.tables(filters=pc.field("conversation") == name) if len(table))
        return next((as_scores(table) for table in tables), pd.DataFrame())

    def selected(self, select: Select, part: pd.DataFrame) -> np.ndarray:
        """(rows,) bool: every row of the conversations that have one of these, as they are published whole."""
        return part["conversation"].isin(part.loc[select(part), "conversation"].unique()).to_numpy(bool)

    def remove(self, select: Select) -> int:
        """Out of the database, the exports and the dataset; the ledger notes that they stay out.

        The dataset goes last: it knows the rows, so whoever is interrupted can begin again.
        """
        ledger = Ledger.open()
        with ledger.alone(self.source, self.place) as fence:
            names, rows = set[str](), 0
            for part in self.frames(SELECTED_BY):
                gone = self.selected(select, part)
                names |= set(part.loc[gone, "conversation"])
                rows += int(gone.sum())
            if names:
                ledger.of(self.source, fence=fence).forget(names)
                if not ledger.embedded:
                    PostgresResult(ledger.engine).remove(names, fence)
                # Other forms of the same rows; the next run makes them.
                shutil.rmtree(exports_of(self.dataset), ignore_errors=True)
                remove_report(self.source)
                self.dataset.remove(names, fence)
        return rows


def score_store(places: Sequence[str | Path] = ()) -> ScoreStore:
    """Every scored row that this home knows, or those in some places.

    Args:
        places: folders of `hbaf score`, or folders and URLs of published datasets.

    Raises:
        ScoresError: a place that was named holds no scores.
    """
    known = [PublishedScores(ParquetDataset(one.published), one.source, one.url) for one in _sources() if one.published]
    if not places:
        return ScoreStore((*scores_folders(), *known))
    by_url = {table.dataset.url: table for table in known}
    return ScoreStore(tuple(_table_at(str(place), by_url) for place in places))


def _table_at(place: str, known: Mapping[str, PublishedScores]) -> ScoredTable:
    if (Path(place) / TABLE).exists():
        return ScoresFolder(Path(place))
    if "://" not in place and not (Path(place) / SCHEMA_FILE).exists():
        raise ScoresError(f"{place}: neither {TABLE} nor {SCHEMA_FILE}, so no scores. Name a folder of scores.")
    dataset = ParquetDataset(place)
    return known.get(dataset.url) or PublishedScores(dataset)


def _sources() -> list[SourceRecord]:
    """None where nothing was ever scheduled: asking must not make a database."""
    return ledger.sources() if (ledger := Ledger.existing()) is not None else []
