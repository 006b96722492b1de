"""What came of a comparison: its runs, the rows of its tables, and the files that were written."""

from dataclasses import dataclass, field
from pathlib import Path

from hbaf.comparison.bench import Comparison
from hbaf.comparison.table import Row


@dataclass(frozen=True)
class Report:
    """What came of a comparison.

    Attributes:
        ensembles: rows of the mean over seeds; empty where they were not asked for.
        chained, chained_ensembles: the same two with the label chain behind every system; likewise.
        files: tables, page and the list of runs.
        parent_run_id: in MLflow; "" when it could not be reached.
    """

    comparison: Comparison
    rows: list[Row]
    ensembles: list[Row]
    files: list[Path]
    parent_run_id: str = ""
    chained: list[Row] = field(default_factory=list)
    chained_ensembles: list[Row] = field(default_factory=list)

    def tables(self) -> list[tuple[str, str, list[Row]]]:
        """Stem of the files, title and rows of each table behind the first."""
        mean = "the mean of each system's seeds"
        return [
            ("chained", "With the label chain behind every system", self.chained),
            ("ensembles", f"Ensembles: {mean}", self.ensembles),
            ("chained-ensembles", f"Ensembles with the label chain behind {mean}", self.chained_ensembles),
        ]

    @property
    def failures(self) -> list[str]:
        """A line for each run that failed: cell, system, reason."""
        return [f"{row.cell}, {row.system}: {failure}" for row in self.rows for failure in row.failures]
