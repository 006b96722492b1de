"""Scores that scheduled scoring published: which rows there are, and their removal."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import sqlalchemy as sql

from hbaf.home import home_folder, located
from hbaf.inbox.ledger import SOURCES, Ledger, database_address
from hbaf.inbox.publish.parquet import ParquetDataset
from hbaf.inbox.publish.postgres import PostgresResult
from hbaf.inbox.scored_conversations import forgotten


@dataclass(frozen=True, eq=False)
class PublishedScores:
    """What is published of one source.

    Attributes:
        table: all rows, with the source as `corpus`.
    """

    source: str
    dataset: ParquetDataset
    table: pd.DataFrame

    def whole_conversations(self, rows: np.ndarray) -> np.ndarray:
        """(rows,) bool: every row of the conversations that have one of these: conversations are published whole."""
        return self.table["conversation"].isin(self.table.loc[rows, "conversation"].unique()).to_numpy(bool)

    def older_than(self, limit: float) -> np.ndarray:
        """(rows,) bool: scored before that, in seconds since 1970."""
        return (self.table["scored_at"] < pd.Timestamp(limit, unit="s", tz="UTC")).to_numpy(bool)


def open_published() -> list[PublishedScores]:
    """Everything that was ever published from this home, or to the database of the environment."""
    if database_address() is None and not (home_folder() / "inbox" / "ledger.sqlite").exists():
        return []
    with Ledger.open().engine.begin() as connection:
        sources = [(str(row.source), located(str(row.published))) for row in connection.execute(sql.select(SOURCES))]
    found = []
    for source, url in sources:
        dataset = ParquetDataset(url)
        found.append(PublishedScores(source, dataset, dataset.read().to_pandas().assign(corpus=source)))
    return found


def remove_published(scores: PublishedScores, gone: np.ndarray) -> None:
    """Takes conversations out of the dataset, the database and the exports; the ledger notes that they stay out.

    Args:
        gone: (rows,) bool, whole conversations.
    """
    names = sorted(scores.table.loc[gone, "conversation"].unique())
    ledger = Ledger.open()
    with ledger.alone(scores.source):
        forgotten(ledger, scores.source, names, time.time())
        if not ledger.embedded:
            PostgresResult(ledger.engine).remove(names)
        scores.dataset.remove(names, scores.dataset.parts())
        # Other forms of the same rows; the next run makes them.
        shutil.rmtree(home_folder() / "exports" / Path(scores.dataset.url).name, ignore_errors=True)
