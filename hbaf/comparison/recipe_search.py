"""Which optional settings improve HBAF, by dev alone: one at a time against the base, then those together that helped.

No run here looks at the test split; the bench keeps them apart from those that do.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hbaf.comparison.bench import Cell, Comparison, Run, Say, job_of, line, run_all, silent
from hbaf.comparison.pages.findings import Question
from hbaf.comparison.systems import parse_systems
from hbaf.parameters import ComparisonParameters

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
    "Each optional setting alone against the base, on dev: no test split was looked at.",
    ("hbaf", *SWITCHES),
)


def on_dev(
    cells: Sequence[Cell],
    asked: ComparisonParameters,
    changes: dict[str, dict[str, Any]] | None = None,
    *,
    say: Say = silent,
) -> Comparison:
    """As `hbaf.comparison.bench.compare`, without tuning and without the test split.

    The seeds are the outer loop: what is there of a search that was stopped compares all settings with the same seeds.
    """
    entrants = parse_systems(asked.systems)
    wanted = [
        (cell, replace(job_of(cell, entrant, seed, asked, changes or {}), is_trial=True))
        for seed in range(asked.first_seed, asked.first_seed + asked.seeds)
        for cell in cells
        for entrant in entrants
    ]
    runs: dict[int, Run] = {}
    for number, outcome in run_all([job for _, job in wanted], asked.workers):
        cell, job = wanted[number]
        runs[number] = Run(cell, job, outcome)
        say(line(job, outcome), len(runs), len(wanted))
    return Comparison(asked, tuple(cells), tuple(runs[number] for number in sorted(runs)))
