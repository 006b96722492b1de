"""How the learning rate goes over a run: its share of the full one at each optimiser step."""

import math
from typing import Literal

Schedule = Literal["constant", "cosine", "linear"]


def learning_rate_share(step: int, steps: int, schedule: Schedule, warmup: float) -> float:
    """Share of the learning rate at a step, in (0, 1].

    It rises in a line over the first `warmup * steps` steps. Then it stays (`constant`), or falls towards 0 at the end
    of `max_epochs` in a line (`linear`) or half a cosine (`cosine`), whether or not training stops before.

    Args:
        step: optimiser steps taken, from 0.
        steps: of the whole run, `max_epochs` epochs.
        warmup: share of the steps, 0..1.
    """
    rising = round(warmup * steps)
    if step < rising:
        return (step + 1) / rising
    if schedule == "constant":
        return 1.0
    # One more than there are: the last step too learns something.
    done = min((step - rising) / (steps - rising + 1), 1.0)
    return 1 - done if schedule == "linear" else (1 + math.cos(math.pi * done)) / 2
