"""A source's report, written anew by each of its runs: what was published last, what is held and why, the last runs."""

import shutil
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path

import pandas as pd
import pyarrow.compute as pc

from hbaf.home import directory, home_folder
from hbaf.inbox.entries import Inbox
from hbaf.inbox.ledger.database import Ledger
from hbaf.inbox.ledger.records import RunRecord
from hbaf.inbox.ledger.states import State
from hbaf.inbox.publish.parquet import ParquetDataset
from hbaf.report.pages import Table, write_report
from hbaf.scoring.schema import as_scores

FOLDER = "reports"  # in the home
NEWEST = 200  # conversations that have a page; all stand in the dataset
HELD = (State.QUARANTINED, State.WAITING)
LINES = 50  # of each table


def report_of(source: str) -> Path:
    """The page of a source's report, whether it was written yet or not."""
    return home_folder() / FOLDER / source / "index.html"


def remove_report(source: str) -> None:
    """Takes the report away, until the next run writes it: what was forgotten may stand in it."""
    shutil.rmtree(report_of(source).parent, ignore_errors=True)


def write_living_report(
    ledger: Ledger, source: str, dataset: ParquetDataset, emotions: Sequence[str], root: Path | None
) -> Path:
    """Writes the report; what it costs does not grow with what is published.

    Args:
        emotions: of the model that scores now, in the order of its classes; those of earlier ones come after them.
        root: folder below which the recordings lie; None: nothing is played.

    Raises:
        hbaf.report.pages.ReportError: another program's page lies in its place.
        hbaf.files.StorageError: it cannot be written.
    """
    parts = ledger.of(source).newest(NEWEST)
    scores = _rows(dataset, parts)
    known = [name.removeprefix("p_") for name in map(str, scores) if name.startswith("p_")]
    labels = [*emotions, *sorted(set(known) - set(emotions))]
    scores = scores.assign(**{f"p_{name}": None for name in labels if name not in known})
    inbox = Inbox(ledger, source)
    counts = {state: number for state, number in inbox.counts().items() if number}
    above = f", the newest {NEWEST} of them above" if counts.get(State.PUBLISHED, 0) > NEWEST else ""
    runs = ledger.runs(source, LINES)
    held = inbox.entries(HELD)[:LINES]
    shown = [(state, f"{number:,}{above if state is State.PUBLISHED else ''}") for state, number in counts.items()]
    # Titles and facts stay as they are from run to run: they stand in each conversation's page.
    tables = [
        Table("Everything that arrived", ("state", "conversations, and arrivals that are not read"), shown),
        Table(
            "What is held",
            ("state", "name", "since (UTC)", "why, and the way out"),
            [(one.state, one.name, f"{one.since:%Y-%m-%d %H:%M}", one.reason) for one in held],
        ),
        Table("The last runs", ("began (UTC)", "took", "model", "result"), [_line(run) for run in runs]),
    ]
    facts = {"source": str(root or source), "published": dataset.url}
    facts |= {"purpose": runs[0].purpose} if runs else {}
    return write_report(
        scores,
        directory(FOLDER, source),
        title=f"{source}: published conversations",
        corpus_root=root,
        emotions=labels,
        provenance=facts,
        audio="link" if root is not None else "none",
        tables=[table for table in tables if table.rows],
    )


def _rows(dataset: ParquetDataset, parts: dict[str, int]) -> pd.DataFrame:
    """Rows of these conversations, from their parts alone."""
    by_part: dict[int, list[str]] = defaultdict(list)
    for name, part in parts.items():
        by_part[part].append(name)
    frames = [as_scores(dataset.part(part, filters=_among(names))) for part, names in sorted(by_part.items())]
    return pd.concat([frame for frame in frames if len(frame)], ignore_index=True) if frames else pd.DataFrame()


def _among(names: Collection[str]) -> pc.Expression:
    return pc.field("conversation").isin(sorted(names))


def _line(run: RunRecord) -> tuple[str, str, str, str]:
    done = ", ".join(f"{number} {what}" for what, number in run.counts.items()) or "nothing new"
    took = "" if run.ended_at is None else f"{(run.ended_at - run.started_at).total_seconds():.0f} s"
    # What a run failed of may quote whatever lies in the source: as text, and short.
    result = done if not run.error else f"{run.state}: {run.error[:200]}"
    return f"{run.started_at:%Y-%m-%d %H:%M}", took, run.model_version, result
