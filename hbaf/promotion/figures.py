"""The numbers of a model card."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Figures:
    """What a card says of the split that decided; numbers and names of emotions only, nothing of any conversation.

    Attributes:
        counts: split -> dialogues, utterances, labelled, with_voice, with_words; the last two since they are counted.
        scores: as `scores_with_intervals`.
        slices: as `slices`.
        calibration_error: of the calibrated probabilities.
        bins: of the reliability plot: (mean confidence, share right, utterances).
        certain: `share` of the labelled utterances at or above the threshold, and their `precision`.
        looks: uses of the test split of this assignment so far, and how many of these were promotions.
    """

    split: str
    counts: dict[str, dict[str, int]]
    scores: dict[str, dict[str, float]]
    slices: dict[str, list[dict[str, Any]]]
    calibration_error: float
    bins: list[tuple[float, float, int]]
    certain: dict[str, float] = field(default_factory=dict)
    looks: dict[str, int] = field(default_factory=dict)
