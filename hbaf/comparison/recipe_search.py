"""Which optional settings improve HBAF, by dev alone: one at a time against the base, then those together that helped.

No run here reads the test split; the bench keeps them apart from those that do.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hbaf.comparison.bench import Cell, Comparison, Run, Say, job_of, line, run_all, silent
from hbaf.comparison.pages.findings import Question, counts_of, own_runs
from hbaf.comparison.pages.render import md_line
from hbaf.comparison.systems import parse_systems
from hbaf.corpus.folds import folds as folds_of
from hbaf.parameters import ComparisonParameters
from hbaf.statistics import mean_difference

# One switch each; docs/findings.md says what they gave.
SWITCHES = (
    "hbaf:dropout=0.3",
    'hbaf:monitor="weighted_f1"',
    "hbaf:class_weights=true,class_weight_power=0.5",
    "hbaf:focal_gamma=1.0",
    "hbaf:label_smoothing=0.1",
    'hbaf:schedule="cosine",warmup=0.1',
    'hbaf:averaging="ema",averaging_decay=0.98',
    "hbaf:clip_norm=1.0",
    "hbaf:pre_norm=true",
    "hbaf:modality_dropout=0.15",
    "hbaf:speaker_embedding=true",
    "hbaf:symmetric=true",
    "hbaf:supervised=0.1",
    'hbaf:optimizer="adamw",weight_decay=0.01',
    "hbaf:batch_dialogues=16",
    "hbaf:mu=0.0",
)

RECIPE = Question(
    "A better recipe",
    "Each optional setting alone against the base, on dev: no test split was used.",
    ("hbaf", *SWITCHES),
)


def on_dev(
    cells: Sequence[Cell],
    asked: ComparisonParameters,
    changes: dict[str, dict[str, Any]] | None = None,
    *,
    folds: int = 1,
    say: Say = silent,
) -> Comparison:
    """As `hbaf.comparison.bench.compare`, without tuning and without the test split.

    The seeds are the outer loop: what is there of a search that was stopped compares all settings with the same seeds.

    Args:
        folds: parts of train and dev by dialogue, each of which is dev once; 1: the corpus's own dev.

    Raises:
        ValueError: a system with the label chain, which is counted on the corpus's own train, and folds.
    """
    entrants = parse_systems(asked.systems)
    if folds > 1 and (chained := [entrant.name for entrant in entrants if entrant.chain]):
        raise ValueError(
            f"{', '.join(chained)}: the label chain is counted on the corpus's own train split, and folds have "
            "others. Ask without `+chain`, or without --folds."
        )
    wanted = [
        (cell, replace(job_of(cell, entrant, seed, asked, changes or {}), is_trial=True, fold=fold))
        for seed in range(asked.first_seed, asked.first_seed + asked.seeds)
        for fold in folds_of(folds)
        for cell in cells
        for entrant in entrants
    ]
    runs: dict[int, Run] = {}
    for number, outcome in run_all([job for _, job in wanted], asked.workers):
        cell, job = wanted[number]
        runs[number] = Run(cell, job, outcome)
        say(line(job, outcome), len(runs), len(wanted))
    return Comparison(asked, tuple(cells), tuple(runs[number] for number in sorted(runs)))


def taken(comparison: Comparison, question: Question = RECIPE) -> str:
    """Markdown: what each setting gains on the mean of corpora and folds, and whether that takes it into a recipe.

    It is taken where the whole interval is above zero: a gain that dialogues drawn anew could undo is none to build on.
    """
    base, *settings = question.systems
    runs = {cell.name: [run for run in comparison.runs if run.cell.name == cell.name] for cell in comparison.cells}
    ours = {cell: counts_of(of, base, "dev") for cell, of in runs.items()}
    lines = [md_line(["setting", "corpora", "folds", "mean gain", "95 % of it", "taken"]), md_line(["---"] * 6)]
    there = own_runs(comparison.runs, base)
    for name in settings:
        if own_runs(comparison.runs, name) & there:
            continue  # the recipe has it already
        pairs = []
        for cell, of in runs.items():
            theirs = counts_of(of, name, "dev")
            if common := sorted(set(theirs) & set(ours[cell])):
                stacked = [np.stack([counts[seed] for seed in common]) for counts in (theirs, ours[cell])]
                pairs.append((stacked[0], stacked[1]))
        if not pairs:
            continue
        gain = mean_difference(pairs)
        bounds = f"[{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"
        answer = "yes" if gain.low > 0 else "no"
        lines.append(
            md_line([f"`{name}`", len(pairs), pairs[0][0].shape[1], f"{100 * gain.value:+.1f}", bounds, answer])
        )
    return "\n".join(["## What is taken", "", *lines])
