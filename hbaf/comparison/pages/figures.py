"""Figures in the paper's form, from the kept runs of a comparison: Figures 6 and 8, Figure 7's table, Table 2."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hbaf.comparison.bench import Cell, Comparison, Run
from hbaf.comparison.pages.case import case_table
from hbaf.comparison.pages.render import tex
from hbaf.comparison.table import REFERENCE, Row, rows_of
from hbaf.home import write_atomically
from hbaf.statistics import counts_by_dialogue

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# What is drawn side by side: with and without the audio context network.
PAIRS = {"audio alone": ("hbaf-audio", "hbaf-audio-no-acn"), "audio + text": (REFERENCE, "hbaf-no-acn")}
TABLE2 = {
    REFERENCE: "HBAF",
    "hbaf-audio": "audio only",
    "hbaf-text": "text only",
    "hbaf-no-acn": "w/o ACN",
    "hbaf-no-fusion": "w/o multi-modal fusion",
    "hbaf-no-bimodal-attention": "w/o bimodal attention",
    "hbaf-no-gate": "w/o dynamic filter gate",
    "hbaf-no-residual": "w/o residual",
    "hbaf-no-contrastive": "w/o contrastive learning",
}
BLUE, ORANGE = "#33618f", "#d98b3a"
# Of the compared systems: what a row may claim is shown by its colour.
SHADES = {"floor": "#9a9a9a", "published": BLUE, "reading": "#8fabc8", "own": "#6a8f4e", "hbaf": ORANGE}
KINDS = {"floor": "floor", "published": "published", "reading": "our reading", "own": "your own", "hbaf": "HBAF"}
PIXELS_PER_INCH = 160


def write_figures(
    comparison: Comparison, folder: Path, rows: Sequence[Row] | None = None, *, words: bool = False
) -> list[Path]:
    """Draws what the runs allow, each as PDF and PNG, and Table 2 as LaTeX too.

    Args:
        rows: those of the comparison, if they are there already.
        words: show what was said in the case table. Transcripts are private, so they are left out unless asked for.

    Returns:
        The files; none for a figure whose systems were not compared.
    """
    rows, written = rows or rows_of(comparison), []
    drawn = {
        "figure6": figure6(rows, comparison.cells),
        "figure6_systems": figure6_systems(rows, comparison.cells),
        "figure7": case_table(comparison.runs, words=words),
        "figure8": figure8(comparison.runs),
        "table2": table2(rows, comparison.cells),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in drawn.items():
        if figure is not None:
            written += save(figure, folder / name)
    if drawn["table2"] is not None:
        path = folder / "table2.tex"
        write_atomically(path, table2_latex(rows, comparison.cells).encode())
        written.append(path)
    return written


def save(figure: "Figure", stem: Path) -> list[Path]:
    """Stem.pdf and stem.png."""
    from hbaf.home import published

    paths = [stem.with_suffix(kind) for kind in (".pdf", ".png")]
    for path in paths:
        with published(path) as beside:
            # Without a date, the same runs give the same file.
            dateless: dict[str, Any] = {"metadata": {"CreationDate": None}} if path.suffix == ".pdf" else {}
            figure.savefig(beside, format=path.suffix[1:], dpi=PIXELS_PER_INCH, bbox_inches="tight", **dateless)
    return paths


def figure6(rows: Sequence[Row], cells: Sequence[Cell]) -> "Figure | None":
    """Weighted F1 by audio representation, with and without ACN; whiskers are the 95 % interval over dialogues."""
    from matplotlib.figure import Figure

    found = {(row.cell, row.system): row for row in rows if row.seeds}
    corpora = list(dict.fromkeys(cell.reference.name for cell in cells))
    panels = [
        (corpus, title, pair, of)
        for corpus in corpora
        for title, pair in PAIRS.items()
        if (of := [c for c in cells if c.reference.name == corpus and all((c.name, s) in found for s in pair)])
    ]
    if not panels:
        return None
    widest = max(len(of) for *_, of in panels)
    figure = Figure(figsize=((1.6 + 1.3 * widest) * len(panels), 3.6), layout="constrained")
    for axes, (corpus, title, pair, of) in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        for place, (system, colour, bar_label) in enumerate(
            zip(pair, (BLUE, ORANGE), ("with ACN", "w/o ACN"), strict=True)
        ):
            bars(axes, [found[cell.name, system] for cell in of], place, colour, bar_label)
        several_texts = len({cell.features.text for cell in of}) > 1
        labels = [c.features.audio + (f"\n+ {c.features.text}" if several_texts else "") for c in of]
        axes.set_xticks(np.arange(len(of)) + 0.2, [label.removeprefix("imported:") for label in labels])
        axes.set_title(f"{corpus}: {title}", fontsize=10)
        axes.set_ylabel("weighted F1 (%)")
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.15, y=0.25)
        axes.legend(fontsize=8, frameon=False, loc="upper center", ncols=2)
    return figure


def figure6_systems(rows: Sequence[Row], cells: Sequence[Cell]) -> "Figure | None":
    """Weighted F1 of the compared systems and HBAF, a panel per cell; whiskers are the 95 % interval over dialogues."""
    from matplotlib.figure import Figure

    panels = []
    for cell in cells:
        of = [row for row in rows if row.cell == cell.name and row.seeds and row.standing in SHADES]
        if any(row.standing != "hbaf" for row in of):
            panels.append((cell.name, sorted(of, key=lambda row: row.f1)))
    if not panels:
        return None
    highest = max(len(of) for _, of in panels)
    figure = Figure(figsize=(5.2 * len(panels), 1.2 + 0.27 * highest), layout="constrained")
    for axes, (name, of) in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        for standing, colour in SHADES.items():
            at = [place for place, row in enumerate(of) if row.standing == standing]
            if at:
                shown = [of[place] for place in at]
                beyond = np.array([[100 * (row.f1 - row.low), 100 * (row.high - row.f1)] for row in shown]).T
                axes.barh(at, [100 * row.f1 for row in shown], 0.75, color=colour, label=KINDS[standing],
                          xerr=np.maximum(beyond, 0), ecolor="#444", capsize=2)  # fmt: skip
        for place, row in enumerate(of):
            axes.annotate(f"{100 * row.f1:.1f}", (0, place), (4, 0), textcoords="offset points", va="center",
                          fontsize=8, color="w")  # fmt: skip
        axes.set_yticks(range(len(of)), [row.system for row in of], fontsize=8)
        axes.set_xlabel("weighted F1 (%)")
        axes.set_title(name, fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(1, 0))
    return figure


def bars(axes: "Axes", rows: Sequence[Row], place: int, colour: str, bar_label: str) -> None:
    """One bar per row, `place` bars to the right, with its interval and its value."""
    at, height = np.arange(len(rows)) + 0.4 * place, np.array([100 * row.f1 for row in rows])
    beyond = np.array([[100 * (row.f1 - row.low), 100 * (row.high - row.f1)] for row in rows]).T
    axes.bar(at, height, 0.38, color=colour, label=bar_label, yerr=np.maximum(beyond, 0), ecolor="#444", capsize=3)
    for x, value in zip(at, height, strict=True):
        axes.annotate(f"{value:.1f}", (x, 0), (0, 4), textcoords="offset points", ha="center", fontsize=8, color="w")


def figure8(runs: Sequence[Run]) -> "Figure | None":
    """HBAF's confusion matrices on test, one per corpus and representation, shares of the true class over all seeds."""
    from matplotlib.figure import Figure

    by_cell: dict[str, list[Run]] = {}
    for run in runs:
        if run.job.entrant.name == REFERENCE and run.outcome.facts is not None:
            by_cell.setdefault(run.cell.name, []).append(run)
    if not by_cell:
        return None
    figure = Figure(figsize=(4.8 * len(by_cell), 4.4), layout="constrained")
    for axes, (name, of) in zip(np.atleast_1d(figure.subplots(1, len(by_cell))), by_cell.items(), strict=True):
        emotions = of[0].outcome.facts.emotions  # type: ignore[union-attr]  # only ended runs are here
        counts = np.sum([counts_by_dialogue(run.outcome.predictions("test"), emotions).sum(0) for run in of], axis=0)
        shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
        for row, column in np.ndindex(*shares.shape):
            colour = "white" if shares[row, column] > 50 else "black"
            axes.text(column, row, f"{shares[row, column]:.0f}", ha="center", va="center", color=colour, fontsize=8)
        axes.set_xticks(range(len(emotions)), emotions, rotation=40, ha="right")
        axes.set_yticks(range(len(emotions)), emotions)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        axes.set_title(f"{name}\n% of the true class, {len(of)} seed{'s' * (len(of) > 1)}", fontsize=9)
    return figure


def table2_lines(rows: Sequence[Row], cells: Sequence[Cell]) -> list[list[str]]:
    """Name, and a weighted F1 with its difference from HBAF for every cell; a system that was never run has no line."""
    found = {(row.cell, row.system): row for row in rows if row.seeds}
    lines = []
    for system, bar_label in TABLE2.items():
        if not any((cell.name, system) in found for cell in cells):
            continue
        line = [bar_label]
        for cell in cells:
            row = found.get((cell.name, system))
            gap = "" if row is None or row.difference is None else f" ({100 * row.difference:+.1f})"
            spread = "" if row is None or np.isnan(row.deviation) else f" ± {100 * row.deviation:.1f}"
            line.append("–" if row is None else f"{100 * row.f1:.1f}{spread}{gap}")
        lines.append(line)
    return lines


def table2(rows: Sequence[Row], cells: Sequence[Cell]) -> "Figure | None":
    """The ablations as a picture."""
    from matplotlib.figure import Figure

    lines = table2_lines(rows, cells)
    if len(lines) < 2:
        return None
    figure = Figure(figsize=(2.6 + 2.4 * len(cells), 0.5 + 0.3 * len(lines)))
    axes = figure.subplots()
    axes.axis("off")
    header = ["weighted F1 (%)", *[cell.name.replace(": ", "\n") for cell in cells]]
    drawn = axes.table(lines, colLabels=header, loc="center", edges="horizontal", cellLoc="left", colLoc="left")
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(8)
    drawn.auto_set_column_width(list(range(len(header))))
    for column in range(len(header)):
        drawn[0, column].set_height(2 * drawn[1, column].get_height())
    return figure


def table2_latex(rows: Sequence[Row], cells: Sequence[Cell]) -> str:
    """The ablations as a booktabs table."""
    lines = [["", *[tex(cell.name) for cell in cells]], *[[tex(v) for v in line] for line in table2_lines(rows, cells)]]
    body = [" & ".join(line).replace("±", r"$\pm$") + r" \\" for line in lines]
    return "\n".join(
        [rf"\begin{{tabular}}{{l{'r' * len(cells)}}}", r"\toprule", body[0], r"\midrule", *body[1:], r"\bottomrule",
         r"\end{tabular}", ""]
    )  # fmt: skip
