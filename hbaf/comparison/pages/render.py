"""Rows as a table for the terminal, Markdown, CSV, LaTeX and PDF. Scores are shown in per cent, as the field does."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from hbaf.comparison.table import BLOCKS, Row
from hbaf.home import published, write_atomically
from hbaf.markdown import code, plain

if TYPE_CHECKING:
    from rich.table import Table

SIGNIFICANT = 0.05
NOT_NUMBERS = ("classes", "changes", "failures")
AS_PUBLISHED = "as published (epoch by test!)"
LEGEND = (
    "Weighted F1 on test in per cent: mean over seeds ± their standard deviation, [95 % interval, bootstrap over "
    "dialogues]. Δ: against HBAF on the same seeds; p: approximate randomisation over dialogues, corrected for the "
    f"number of comparisons (Holm), * below {SIGNIFICANT}. Δ floor: the same against logistic regression with the "
    "label chain. The epoch, and every setting, was chosen on dev."
)


def shown(rows: Sequence[Row]) -> pd.DataFrame:
    """The table as people read it: a row per system, strings."""
    table = []
    for row in rows:
        scored = row.seeds > 0
        line = {
            "system": row.system,
            "weighted F1": f"{percent(row.f1)} ± {percent(row.deviation)}" if scored else "failed",
            "95 %": f"[{percent(row.low)}, {percent(row.high)}]" if scored else "",
            "Δ": "" if row.difference is None else f"{100 * row.difference:+.1f}",
            "p": "" if row.p is None else f"{row.p:.3f}{_starred(row.p)}",
            "Δ floor": "" if row.over_floor is None else f"{100 * row.over_floor:+.1f}{_starred(row.p_over_floor)}",
            "dev": percent(row.dev_f1),
            "macro F1": percent(row.macro_f1),
            "UAR": percent(row.uar),
            "acc.": percent(row.accuracy),
            **{name: percent(value) for name, value in row.classes.items()},
            "parameters": _count(row.parameters) if scored else "",
            "s/epoch": f"{row.seconds_an_epoch:.2f}" if scored else "",
            "trials": str(row.trials) if row.trials > 1 else "–",
            "seeds": str(row.seeds),
        }
        if any(other.as_published is not None for other in rows):
            line[AS_PUBLISHED] = "" if row.as_published is None else percent(row.as_published)
        table.append(line)
    frame = pd.DataFrame(table).fillna("")
    return frame if any(row.over_floor is not None for row in rows) else frame.drop(columns="Δ floor", errors="ignore")


def _starred(p: float | None) -> str:
    return "*" if p is not None and p < SIGNIFICANT else ""


def percent(value: float) -> str:
    """0..1 as per cent with one decimal; a dash for NaN."""
    return "–" if np.isnan(value) else f"{100 * value:.1f}"


def _count(parameters: int) -> str:
    return f"{parameters / 1e6:.2f} M" if parameters >= 1e5 else f"{parameters / 1e3:.1f} k"


def blocks(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """Title -> rows, in the order of `BLOCKS`: what may be claimed of a row is set apart in every table."""
    found: dict[str, list[Row]] = {}
    for standing, title in BLOCKS.items():
        found.setdefault(title, []).extend(row for row in rows if row.standing == standing)
    # HBAF itself first, then its variants as they were asked for.
    return [(title, of) for title, of in found.items() if of]


def by_cell(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """Name of the cell -> its rows, in the order in which cells first occur."""
    return [(name, [row for row in rows if row.cell == name]) for name in dict.fromkeys(row.cell for row in rows)]


def terminal(rows: Sequence[Row], title: str) -> "Table":
    """A table of one cell for the terminal; classes and the other metrics are left to the files."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    named = [*{name for row in rows for name in row.classes}, "macro F1", "UAR", "acc."]
    frame = shown(rows).drop(columns=named, errors="ignore")
    for name in frame.columns:
        table.add_column(name, justify="left" if name == "system" else "right", no_wrap=name != "system")
    by_system = {str(line["system"]): [str(value) for value in line.tolist()] for _, line in frame.iterrows()}
    for title_of_block, of in blocks(rows):
        table.add_row(f"[italic]{title_of_block}[/italic]")
        for row in of:
            table.add_row(*by_system[row.system])
        table.add_section()
    return table


def markdown(rows: Sequence[Row]) -> str:
    """One Markdown table of one cell, the blocks set apart by rows of their own."""
    frame = shown(rows)
    lines = [md_line(list(frame.columns)), md_line(["---"] + ["---:"] * (frame.shape[1] - 1))]
    by_system = {str(line["system"]): line.tolist() for _, line in frame.iterrows()}
    for title, of in blocks(rows):
        lines.append(md_line([f"**{title}**", *[""] * (frame.shape[1] - 1)]))
        lines += [md_line([code(row.system), *by_system[row.system][1:]]) for row in of]
    failures = [f"- {code(row.system)} failed, {plain(failure)}" for row in rows for failure in row.failures]
    return "\n".join([*lines, *(["", *failures] if failures else [])])


def as_markdown(rows: Sequence[Row]) -> str:
    """All cells under headings, with the legend."""
    return "\n\n".join([*(f"## {name}\n\n{markdown(of)}" for name, of in by_cell(rows)), LEGEND]) + "\n"


def md_line(values: Sequence[object]) -> str:
    """A line of a Markdown table; bars in values are escaped."""
    return "| " + " | ".join(str(value).replace("|", "\\|") for value in values) + " |"


def latex(rows: Sequence[Row], caption: str) -> str:
    r"""A booktabs table of one cell; needs `\usepackage{booktabs}`."""
    frame = shown(rows).set_index("system")
    parts = []
    for title, of in blocks(rows):
        part = frame.loc[[row.system for row in of]]
        part.index = pd.MultiIndex.from_product([[title], part.index], names=["", "system"])
        parts.append(part)
    whole = pd.concat(parts).replace({"±": r"$\\pm$"}, regex=True)
    whole.columns = [r"$\Delta$" if name == "Δ" else tex(name) for name in whole.columns]
    whole = whole.map(lambda value: value if "$" in str(value) else tex(str(value)))
    whole = whole.rename(index=tex)
    text: str = whole.style.to_latex(
        hrules=True, caption=tex(caption), column_format="ll" + "r" * whole.shape[1], clines="skip-last;index"
    )
    return text


def tex(text: str) -> str:
    """Plain text for LaTeX: & % _ # escaped, the dash and ≥ as commands; other special signs stay as they are."""
    for sign in "&%_#":
        text = text.replace(sign, "\\" + sign)
    return text.replace("–", "--").replace("≥", r"$\geq$")


def pdf(rows: Sequence[Row], path: Path) -> None:
    """One page per cell."""
    from matplotlib.backends.backend_pdf import PdfPages
    from matplotlib.figure import Figure

    with published(path) as beside, PdfPages(beside) as pages:
        for name, of in by_cell(rows):
            frame = shown([row for _, block in blocks(of) for row in block])
            figure = Figure(figsize=(1.05 * frame.shape[1] + 1, 0.28 * len(frame) + 1.4))
            axes = figure.subplots()
            axes.axis("off")
            axes.set_title(name, fontsize=10, loc="left")
            drawn = axes.table(
                frame.to_numpy().tolist(), colLabels=list(frame.columns), loc="upper center", edges="horizontal"
            )
            drawn.auto_set_font_size(False)
            drawn.set_fontsize(7)
            drawn.auto_set_column_width(list(range(frame.shape[1])))
            figure.text(0.01, 0.01, LEGEND, fontsize=6, wrap=True)
            pages.savefig(figure, bbox_inches="tight")


def numbers(rows: Sequence[Row]) -> pd.DataFrame:
    """Every number unrounded, a row per system and cell; shares, 0..1."""
    return pd.DataFrame(
        [
            {
                **{
                    name: value for name, value in asdict(row).items() if name not in ("classes", "changes", "failures")
                },
                **{f"f1_{name}": value for name, value in row.classes.items()},
                "changes": str(row.changes or ""),
                "failures": "; ".join(row.failures),
            }
            for row in rows
        ]
    )


def write_tables(rows: Sequence[Row], folder: Path, stem: str = "table") -> list[Path]:
    """table.csv, table.md, table.tex and table.pdf in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{stem}.{kind}" for kind in ("csv", "md", "tex", "pdf")]
    write_atomically(paths[0], numbers(rows).to_csv(index=False).encode())
    write_atomically(paths[1], as_markdown(rows).encode())
    write_atomically(paths[2], "\n".join(latex(of, name) for name, of in by_cell(rows)).encode())
    pdf(rows, paths[3])
    return paths
