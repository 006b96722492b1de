"""Runs -> rows of a table: mean, deviation, interval, test against HBAF, classes, sizes, times."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from hbaf.comparison.bench import Comparison, Run
from hbaf.comparison.decoded import decode
from hbaf.comparison.jobs import RunFacts
from hbaf.comparison.systems import CHAIN, FLOOR_WITH_CHAIN, parse_systems
from hbaf.statistics import (
    accuracy,
    class_f1,
    counts_by_dialogue,
    holm,
    interval,
    macro_f1,
    paired_test,
    uar,
    weighted_f1,
)

REFERENCE = "hbaf"  # the row that every other one of its block is held against
BLOCKS = {  # in the order of a table
    "floor": "Floors",
    "published": "Published, in audio + text",
    "reading": "Our reading, no code known",
    "own": "Your own",
    "hbaf": "HBAF, variants",
    "variant": "HBAF, variants",
}


@dataclass(frozen=True)
class Row:
    """A system in one cell. Scores are shares, 0..1.

    Attributes:
        f1: weighted F1 on test, mean over seeds; `deviation` over seeds; `low` and `high` its 95 % interval.
        difference: against HBAF on the seeds that both have; None for HBAF itself or without one.
        p: of that difference, corrected (Holm) over the rows of the block table; None likewise.
        over_floor, p_over_floor: the same against logistic regression with the label chain.
        as_published: mean over seeds of the best test score of any epoch; None where it was not asked for.
        failures: the error messages of failed runs.
    """

    cell: str
    system: str
    standing: str
    seeds: int = 0
    f1: float = np.nan
    deviation: float = np.nan
    low: float = np.nan
    high: float = np.nan
    difference: float | None = None
    p: float | None = None
    over_floor: float | None = None
    p_over_floor: float | None = None
    dev_f1: float = np.nan
    macro_f1: float = np.nan
    uar: float = np.nan
    accuracy: float = np.nan
    classes: dict[str, float] = field(default_factory=dict)
    parameters: int = 0
    seconds_an_epoch: float = np.nan
    epochs: float = np.nan
    trials: int = 0
    changes: dict[str, object] = field(default_factory=dict)
    as_published: float | None = None
    failures: tuple[str, ...] = ()


def rows_of(comparison: Comparison) -> list[Row]:
    """A row per cell and system, in the order asked for."""
    return _rows(comparison, chain=False, ensemble=False)


def chained_of(comparison: Comparison) -> list[Row]:
    """With `chain`: every system with the label chain behind it."""
    return _rows(comparison, chain=True, ensemble=False) if comparison.asked.chain else []


def ensembles_of(comparison: Comparison, *, chain: bool = False) -> list[Row]:
    """A row per cell and system of the mean probability of its seeds: to be compared with each other alone.

    Args:
        chain: of every system with the chain behind the mean.
    """
    asked = comparison.asked
    return _rows(comparison, chain=chain, ensemble=True) if asked.ensemble and (asked.chain or not chain) else []


def _rows(comparison: Comparison, *, chain: bool, ensemble: bool) -> list[Row]:
    names = {entrant.name for entrant in parse_systems(comparison.asked.systems)}
    rows: list[Row] = []
    for cell in comparison.cells:
        of_cell = [
            run
            for run in comparison.runs
            if run.cell.name == cell.name and (run.job.entrant.chain if chain else run.job.entrant.name in names)
        ]
        rows += block(of_cell, cell.name, reference=REFERENCE + CHAIN * chain, ensemble=ensemble)
    return rows


def block(runs: Sequence[Run], cell: str, *, reference: str = REFERENCE, ensemble: bool = False) -> list[Row]:
    """The rows of one cell; tests are corrected over all of them.

    Args:
        reference: the system that the others are held against.
    """
    by_system: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_system[run.job.entrant.name].append(run)
    counts = {name: _counts(of, ensemble) for name, of in by_system.items()}
    against, over = differences_from(reference, counts), differences_from(FLOOR_WITH_CHAIN, counts)
    nothing = (None, None)
    rows = []
    for name, of in by_system.items():
        (gap, p), (over_floor, p_over) = against.get(name, nothing), over.get(name, nothing)
        row = _row(cell, of, counts[name], ensemble)
        rows.append(replace(row, difference=gap, p=p, over_floor=over_floor, p_over_floor=p_over))
    return rows


def differences_from(reference: str, counts: Mapping[str, dict[int, np.ndarray]]) -> dict[str, tuple[float, float]]:
    """System -> difference of weighted F1 from the reference on the seeds that both have, and p corrected by Holm.

    Args:
        counts: system -> seed -> (D, C, C).
    """
    found: dict[str, tuple[float, float]] = {}
    for name, own in counts.items():
        common = sorted(set(counts.get(reference, {})) & set(own))
        if name != reference and common:
            ours = np.stack([counts[reference][seed] for seed in common])
            theirs = np.stack([own[seed] for seed in common])
            gap = float(weighted_f1(theirs.sum(1)).mean() - weighted_f1(ours.sum(1)).mean())
            found[name] = gap, paired_test(ours, theirs)
    corrected = holm([p for _, p in found.values()])
    return {name: (gap, p) for (name, (gap, _)), p in zip(found.items(), corrected, strict=True)}


def _counts(runs: Sequence[Run], ensemble: bool) -> dict[int, np.ndarray]:
    """Seed -> (D, C, C); an ensemble is one more seed, -1."""
    ended = [run for run in runs if run.outcome.facts is not None]
    if not ended:
        return {}
    emotions = _facts(ended[0]).emotions
    if ensemble:
        tables = {-1: _mean(ended, emotions)}
    else:
        tables = {_facts(run).seed: run.outcome.predictions("test") for run in ended}
    return {seed: counts_by_dialogue(table, emotions) for seed, table in tables.items()}


def _mean(runs: Sequence[Run], emotions: Sequence[str]) -> pd.DataFrame:
    """Test predictions from the mean of the seeds; the chain, where the row has one, stands behind the mean."""
    entrant, reference = runs[0].job.entrant, runs[0].job.reference
    splits = ("dev", "test") if entrant.chain else ("test",)
    tables = {split: mean_of([run.outcome.alone().predictions(split) for run in runs], emotions) for split in splits}
    return decode(reference, tables).tables["test"] if entrant.chain else tables["test"]


def mean_of(tables: Sequence[pd.DataFrame], emotions: Sequence[str]) -> pd.DataFrame:
    """One prediction table from the mean probabilities of several, joined by utterance."""
    columns = [f"p_{emotion}" for emotion in emotions]
    first = tables[0].set_index("utterance_id")
    mean = np.mean([table.set_index("utterance_id").loc[first.index, columns] for table in tables], axis=0)  # (n, C)
    label = np.asarray(emotions, dtype=object)[mean.argmax(1)]
    return first.assign(**dict(zip(columns, mean.T, strict=True)), label=label).reset_index()


def _row(cell: str, runs: Sequence[Run], counts: dict[int, np.ndarray], ensemble: bool) -> Row:
    entrant = runs[0].job.entrant
    failures = tuple(
        f"seed {run.job.training.seed}: {run.outcome.failure}" for run in runs if run.outcome.facts is None
    )
    ended = [_facts(run) for run in runs if run.outcome.facts is not None]
    row = Row(cell, entrant.name, entrant.standing, trials=runs[0].job.trials, failures=failures)
    if not ended:
        return row
    stacked = np.stack(list(counts.values()))
    whole = stacked.sum(1)  # (S, C, C)
    per_seed = weighted_f1(whole)
    low, high = interval(stacked)
    seconds = [facts.seconds_an_epoch for facts in ended if facts.seconds_an_epoch is not None]
    published = [facts.as_published["weighted_f1"] for facts in ended if facts.as_published is not None]
    return replace(
        row,
        seeds=len(ended),
        f1=float(per_seed.mean()),
        deviation=float(per_seed.std(ddof=1)) if len(per_seed) > 1 else np.nan,
        low=low,
        high=high,
        dev_f1=np.nan if ensemble else float(np.mean([facts.dev["weighted_f1"] for facts in ended])),
        macro_f1=float(macro_f1(whole).mean()),
        uar=float(uar(whole).mean()),
        accuracy=float(accuracy(whole).mean()),
        classes=dict(zip(ended[0].emotions, class_f1(whole).mean(0).tolist(), strict=True)),
        parameters=ended[0].parameters * (len(ended) if ensemble else 1),
        seconds_an_epoch=float(np.mean(seconds)) if seconds else np.nan,
        epochs=float(np.mean([facts.epochs for facts in ended])),
        changes=runs[0].job.changes,
        as_published=float(np.mean(published)) if len(published) == len(ended) and not ensemble else None,
    )


def _facts(run: Run) -> RunFacts:
    assert run.outcome.facts is not None
    return run.outcome.facts
