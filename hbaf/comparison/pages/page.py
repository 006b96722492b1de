"""docs/results.md, rendered from the runs: what stands between its marks; what people write round them stays."""

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hbaf.comparison.bench import Cell, Comparison
from hbaf.comparison.pages.findings_page import write_block
from hbaf.comparison.pages.implied import implied
from hbaf.comparison.pages.render import LEGEND, blocks, by_cell, markdown, md_line, percent
from hbaf.comparison.reported import Report
from hbaf.comparison.systems import CHAIN
from hbaf.comparison.table import REFERENCE, Row
from hbaf.home import write_atomically

IMPLIED = "implied by the paper's text, not measured here"


def write_page(report: Report, path: Path) -> Path:
    """Writes the page of one comparison.

    Returns:
        Its path.
    """
    return write_pages([("", report)], path)


def write_pages(reports: Sequence[tuple[str, Report]], path: Path) -> Path:
    """Writes several comparisons, each under its title, between the page's marks; a new page gets its heading."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, b"# Results\n")
    parts = []
    for title, report in reports:
        parts += [f"# {title}" if title else "", *section(report)]
    parts += ["## How to read this", LEGEND, sources([report.comparison for _, report in reports])]
    write_block(path, "results", "\n\n".join(part for part in parts if part))
    return path


def section(report: Report) -> list[str]:
    """What ran, then a table per cell, then those with the chain and the ensembles."""
    parts = [facts(report.comparison)]
    for (name, of), cell in zip(by_cell(report.rows), report.comparison.cells, strict=True):
        parts += [f"## {name}", verdict(of), markdown(of), held_against(of, cell), chosen(of)]
    for stem, title, rows in report.tables():
        if rows:
            parts.append(f"## {title}")
            if "ensembles" in stem:
                parts.append("Compared with each other alone: several models are not one.")
            reference = REFERENCE + CHAIN * stem.startswith("chained")
            parts += [f"### {name}\n\n{verdict(of, reference)}\n\n{markdown(of)}" for name, of in by_cell(rows)]
    return parts


def facts(comparison: Comparison) -> str:
    """What ran: rendered, so that the page cannot say otherwise than the runs."""
    asked = comparison.asked
    ended = [run.outcome.facts for run in comparison.runs if run.outcome.facts is not None]
    versions = sorted({f"{name} {version}" for each in ended for name, version in each.versions.items()})
    widths = sorted({str(each.arguments["dim"]) for each in ended if "dim" in each.arguments})
    looks = len([each for each in ended if each.test is not None])
    often = ", and after every epoch for the column `as published`" if asked.selection == "as-published" else ""
    day = time.strftime("%Y-%m-%d", time.gmtime())
    lines = [
        f"Rendered by `hbaf compare --write` from {len(ended)} finished runs, {day}{commit()}.",
        f"- Recipe `{asked.recipe}`, seeds {asked.first_seed} to {asked.first_seed + asked.seeds - 1}, width (`dim`) "
        f"{', '.join(widths) or '–'}; the same batches, optimiser, early stopping on dev and code for all systems.",
        *([trained(ended[0].training)] if ended else []),
        f"- Tuning on dev: {f'{asked.trials} trials of each system' if asked.trials > 1 else 'none, of no system'}.",
        f"- Each run used the test split once, at its end: {looks} uses{often}, listed in "
        "`test-looks.jsonl` in the home and the experiment `hbaf-test-looks` in MLflow.",
        f"- {', '.join(versions)}.",
    ]
    if asked.selection == "as-published":
        lines.append("- The column `as published` chooses the epoch by the test split. It is there to show what that "
                     "habit is worth, and nothing else uses it.")  # fmt: skip
    return "\n".join(lines)


def trained(training: dict[str, Any]) -> str:
    """How every system was trained; what a row changes stands in its name."""
    return (
        f"- {training['optimizer']}, learning rate {training['learning_rate']:g}, weight decay "
        f"{training['weight_decay']:g}, {training['batch_dialogues']} dialogues a batch, at most "
        f"{training['max_epochs']} epochs, {training['patience']} without a better {training['monitor']} on dev."
    )


def commit() -> str:
    """Where this was computed, in a checkout."""
    checkout = Path(__file__).parents[3]
    if not (checkout / ".git").exists():
        return ""
    result = subprocess.run(
        ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return f", commit {result.stdout.strip()}" if result.returncode == 0 else ""


def verdict(rows: Sequence[Row], reference: str = REFERENCE) -> str:
    """Where HBAF stands, by the numbers alone."""
    ours = next((row for row in rows if row.system == reference and row.seeds), None)
    others = [row for row in rows if row.standing in ("floor", "published", "reading", "own") and row.seeds]
    if ours is None or not others:
        return ""
    ahead = [row for row in others if row.f1 > ours.f1]
    surely = [row for row in others if row.p is not None and row.p < 0.05]
    behind = [f"`{row.system}`" for row in surely if row.f1 < ours.f1]
    better = [f"`{row.system}`" for row in surely if row.f1 > ours.f1]
    result = (
        f"HBAF: {percent(ours.f1)} [{percent(ours.low)}, {percent(ours.high)}], place {len(ahead) + 1} of "
        f"{len(others) + 1}. "
    )
    result += f"Significantly better (p < .05, corrected): {', '.join(better) or 'none'}. "
    return (
        result + f"Significantly worse: {', '.join(behind) or 'none'}. For the others the difference is within chance."
    )


def held_against(rows: Sequence[Row], cell: Cell) -> str:
    """Measured beside implied, where the paper's text implies something."""
    lines = []
    for _, of in blocks(rows):
        for row in of:
            result = implied(cell.reference.name, row.system, cell.features.audio)
            if result is not None and row.seeds:
                lines.append(md_line([f"`{row.system}`", percent(row.f1), f"{result:.1f}"]))
    if not lines:
        return ""
    head = [md_line(["system", "measured here", IMPLIED]), md_line(["---", "---:", "---:"])]
    return "\n".join([*head, *lines])


def chosen(rows: Sequence[Row]) -> str:
    """What tuning chose, per system."""
    tuned = [row for row in rows if row.trials > 1]
    if not tuned:
        return ""
    chosen = (", ".join(f"{name} {value}" for name, value in row.changes.items()) or "as the recipe" for row in tuned)
    settings = [f"`{row.system}`: {values}" for row, values in zip(tuned, chosen, strict=True)]
    return f"Chosen on dev among {tuned[0].trials} trials each: " + "; ".join(settings) + "."


def sources(comparisons: Sequence[Comparison]) -> str:
    """What each name stands for."""
    named: dict[str, tuple[str, str]] = {}
    for run in (run for comparison in comparisons for run in comparison.runs):
        entrant = run.job.entrant
        named.setdefault(entrant.name, (entrant.source(), entrant.standing))
    lines = [md_line(["system", "after", "kind"]), md_line(["---", "---", "---"])]
    lines += [md_line([f"`{name}`", source, standing]) for name, (source, standing) in named.items()]
    return "\n".join(lines)
