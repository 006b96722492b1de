"""Every scored row there is, one part of one table in memory at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd

Select = Callable[[pd.DataFrame], np.ndarray]  # columns SELECTED_BY of a part -> (rows,) bool
SELECTED_BY = ("conversation", "corpus", "dialogue_id", "speaker", "scored_at")


class ScoredTable(Protocol):
    """A place of scored rows: a folder of `hbaf score`, or what scheduled scoring published of a source.

    Frames have the columns of `hbaf.scoring.schema.COLUMNS` but `probabilities`, which stands in `p_<emotion>`, and
    `corpus`.

    Attributes:
        place: folder or URL.
        source: name of the source whose published rows they are; "" for a folder of `hbaf score`.
        facts: what is known of all its rows: `corpus`, `corpus_digest`, `corpus_root`, `keep_features` ...
        written: seconds since 1970 when it was written last; None where nobody notes that.
    """

    @property
    def place(self) -> str: ...  # noqa: D102  # above
    @property
    def source(self) -> str: ...  # noqa: D102
    @property
    def facts(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def written(self) -> float | None: ...  # noqa: D102

    def frames(
        self, columns: Sequence[str] | None = None, scored: tuple[pd.Timestamp, pd.Timestamp] | None = None
    ) -> Iterator[pd.DataFrame]:
        """The rows, by parts; a conversation stands in one part. Columns that nobody wrote are absent.

        Args:
            scored: rows that were scored from then until then suffice: a table that knows so much of its parts
                without reading them leaves the others out.
        """
        ...

    def conversation(self, name: str) -> pd.DataFrame:
        """All rows of `corpus/dialogue`, empty where it has none."""
        ...

    def selected(self, select: Select, part: pd.DataFrame) -> np.ndarray:
        """(rows,) bool: what `remove` takes out of a part; published conversations go whole."""
        ...

    def remove(self, select: Select) -> int:
        """Takes rows out, in every form that they have there; returns how many. Again it does nothing."""
        ...


@dataclass(frozen=True)
class FoundScore:
    """A scored row, the conversation it stands in, and the table."""

    row: dict[str, Any]
    conversation: pd.DataFrame
    table: ScoredTable


@dataclass(frozen=True)
class ScoreStore:
    """The tables of a home, or some that a person named."""

    tables: tuple[ScoredTable, ...]

    def find(self, utterance_id: str) -> FoundScore | None:
        """The latest score of an utterance."""
        name = utterance_id.rpartition("/")[0]
        found = []
        for table in self.tables:
            whole = table.conversation(name)
            for place in np.flatnonzero(whole["utterance_id"] == utterance_id) if len(whole) else ():
                row = {str(key): value for key, value in whole.iloc[int(place)].items()}
                found.append(FoundScore(row, whole, table))
        return max(found, key=lambda one: one.row["scored_at"], default=None)

    def rows(self, run_id: str, since: float, until: float) -> pd.DataFrame:
        """Rows of a model within a time, each utterance once, the latest score of it.

        Args:
            run_id: of the run that made the model.
            since, until: seconds since 1970.
        """
        first, last = (pd.Timestamp(moment, unit="s", tz="UTC") for moment in (since, until))
        found = []
        for table in self.tables:
            for part in table.frames(scored=(first, last)):
                at = part["scored_at"]
                inside = part[(part["run_id"] == run_id) & (at >= first) & (at <= last)]
                if len(inside):
                    found.append(inside)
        if not found:
            return pd.DataFrame()
        rows = pd.concat(found, ignore_index=True).sort_values("scored_at", kind="stable")
        return rows.drop_duplicates("utterance_id", keep="last").sort_values(["corpus", "dialogue_id", "turn"])

    def holds(self, select: Select) -> bool:
        """Whether any row is selected."""
        return any(select(part).any() for table in self.tables for part in table.frames(SELECTED_BY))

    def example(self) -> str:
        """An id that is there, "" in an empty store."""
        parts = (part for table in self.tables for part in table.frames(["utterance_id"]) if len(part))
        return next((str(part["utterance_id"].iloc[0]) for part in parts), "")

    def written(self) -> float | None:
        """Seconds since 1970 when a table was written last whose writing nobody else notes."""
        return max((table.written for table in self.tables if table.written is not None), default=None)


def older_than(limit: float) -> Select:
    """Selects what was scored before, in seconds since 1970."""
    moment = pd.Timestamp(limit, unit="s", tz="UTC")
    return lambda part: (part["scored_at"] < moment).to_numpy(bool)
