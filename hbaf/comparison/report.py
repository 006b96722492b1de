"""What a comparison leaves behind: tables, and which runs they came from."""

import hashlib
import json
from pathlib import Path

from hbaf.comparison.bench import Comparison
from hbaf.comparison.render import write_tables
from hbaf.comparison.table import ensembles_of, rows_of
from hbaf.home import room, write_atomically


def folder_of(comparison: Comparison) -> Path:
    """`comparison/<corpora>-<digest>` in the home: the same question, the same folder."""
    corpora = "-".join(dict.fromkeys(cell.reference.name for cell in comparison.cells))
    keys = json.dumps([run.job.key() for run in comparison.runs])
    digest = hashlib.sha256(f"{comparison.asked.digest()} {keys}".encode()).hexdigest()
    return room("comparison", f"{corpora}-{digest[:10]}")


def write_report(comparison: Comparison, page: Path | None = None) -> list[Path]:
    """Writes tables and `comparison.json`, which lists the folders of all runs.

    Returns:
        The files.
    """
    folder = folder_of(comparison)
    runs = [
        {
            "cell": run.cell.name,
            "system": run.job.entrant.name,
            "seed": run.job.training.seed,
            "folder": run.outcome.folder.name,
            "failure": run.outcome.failure,
        }
        for run in comparison.runs
    ]
    listed = {"asked": comparison.asked.model_dump(mode="json"), "runs": runs}
    path = folder / "comparison.json"
    write_atomically(path, json.dumps(listed, indent=1).encode())
    written = [path, *write_tables(rows_of(comparison), folder)]
    if comparison.asked.ensemble:
        written += write_tables(ensembles_of(comparison), folder, "ensembles")
    return written
