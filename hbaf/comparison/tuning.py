"""The same tuning budget for every system: the same points of learning rate, dropout and width, judged on dev."""

import math
from typing import Any

from hbaf.comparison.jobs import Job, Outcome
from hbaf.comparison.systems import arguments_of

# Round the recipe's own values: learning rates differ most between systems, widths least.
LEARNING_RATES = (0.1, 10.0)  # times the recipe's
DROPOUT = (0.0, 0.6)
WIDTHS = (0.5, 1.0, 2.0)  # times the recipe's


def trial_changes(trials: int, job: Job) -> list[dict[str, Any]]:
    """The settings of a system's trials: its recipe's own first, then points that fill the space evenly.

    The points are the same for every system; a system that has no dropout or no width is tried as often, with what
    it has.
    """
    from scipy.stats import qmc

    takes = set(type(job.model).model_fields) if job.entrant.is_hbaf else set(arguments_of(job.entrant.kind()))
    found: list[dict[str, Any]] = [{}]
    for rate, dropout, width in qmc.Sobol(3, seed=0).random(_power_of_two(trials))[: trials - 1]:
        low, high = (math.log(value) for value in LEARNING_RATES)
        times = WIDTHS[int(width * len(WIDTHS))]
        changes: dict[str, Any] = {
            "learning_rate": float(f"{job.training.learning_rate * math.exp(low + rate * (high - low)):.2g}"),
            "dropout": round(DROPOUT[0] + float(dropout) * (DROPOUT[1] - DROPOUT[0]), 2),
            # A multiple of 16: heads and directions divide it.
            "dim": max(16, round(job.model.dim * times / 16) * 16),
        }
        found.append({name: value for name, value in changes.items() if name in takes or name == "learning_rate"})
    return found


def choose(trials: list[tuple[Job, Outcome]]) -> dict[str, Any]:
    """The changes of the trial with the best weighted F1 on dev; none when all failed."""
    ended = [(outcome.facts.dev["weighted_f1"], job.changes) for job, outcome in trials if outcome.facts is not None]
    return max(ended, key=lambda pair: pair[0])[1] if ended else {}


def _power_of_two(number: int) -> int:
    """A Sobol sequence is even only in whole powers of two."""
    return 1 << max(0, number - 1).bit_length()
