"""A comparison from question to report: run what is missing, log it, write tables and page."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hbaf.comparison.bench import Cell, Say, compare, silent
from hbaf.comparison.comparison_log import comparison_log, nested_run, scores
from hbaf.comparison.pages.figures import write_figures
from hbaf.comparison.pages.page import write_page
from hbaf.comparison.pages.render import write_tables
from hbaf.comparison.reported import Report
from hbaf.comparison.table import chained_of, ensembles_of, rows_of
from hbaf.home import directory, write_atomically
from hbaf.parameters import ComparisonParameters
from hbaf.registry.records.test_looks import share_test_looks


def run_comparison(
    cells: Sequence[Cell],
    asked: ComparisonParameters,
    changes: dict[str, dict[str, Any]] | None = None,
    *,
    page: Path | None = None,
    say: Say = silent,
) -> Report:
    """Trains and evaluates what is missing, logs to MLflow and writes the tables.

    Args:
        changes: `{stage: {name: value}}` over every recipe.
        page: also a page of results here.
        say: called as each run ends.
    """
    log = comparison_log(cells, asked)
    log.begin()
    comparison = compare(cells, asked, changes, say=say, done=lambda run: log.add(nested_run(run)))
    rows = rows_of(comparison)
    report = Report(
        comparison,
        rows,
        ensembles_of(comparison),
        [],
        chained=chained_of(comparison),
        chained_ensembles=ensembles_of(comparison, chain=True),
    )
    report.files.extend(write_report(report))
    if page is not None:
        report.files.append(write_page(report, page))
    report.files.extend(write_figures(comparison, folder_of(cells, asked), rows))
    log.finish(scores(rows), report.files)
    share_test_looks()
    return replace(report, parent_run_id="" if log.lost else log.run_id)


def folder_of(cells: Sequence[Cell], asked: ComparisonParameters) -> Path:
    """`comparison/<corpora>-<digest>` in the home: the same question, the same folder."""
    corpora = "-".join(dict.fromkeys(cell.reference.name for cell in cells))
    data = [{"corpus": cell.reference.digest, **cell.columns.digests()} for cell in cells]
    digest = hashlib.sha256(json.dumps([asked.digest(), data], sort_keys=True).encode()).hexdigest()
    return directory("comparison", f"{corpora}-{digest[:10]}")


def write_report(report: Report) -> list[Path]:
    """Writes tables and `comparison.json`, which lists the folders of all runs.

    Returns:
        The files.
    """
    comparison = report.comparison
    folder = folder_of(comparison.cells, comparison.asked)
    runs = [
        {
            "cell": run.cell.name,
            "system": run.job.entrant.name,
            "standing": run.job.entrant.standing,
            "seed": run.job.training.seed,
            "folder": run.outcome.folder.name,
            "failure": run.outcome.failure,
        }
        for run in comparison.runs
    ]
    listed = {"asked": comparison.asked.model_dump(mode="json"), "runs": runs}
    path = folder / "comparison.json"
    write_atomically(path, json.dumps(listed, indent=1).encode())
    written = [path, *write_tables(report.rows, folder)]
    for stem, _, rows in report.tables():
        written += write_tables(rows, folder, stem) if rows else []
    return written
