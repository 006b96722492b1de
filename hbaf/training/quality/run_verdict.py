"""What a training run came to, on dev: beside the floors, by emotion, by modality, what it confuses, the next step."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from hbaf.markdown import cell, plain
from hbaf.model.batch import UNLABELLED
from hbaf.statistics import class_f1, interval, weighted_f1
from hbaf.training.data import Dialogue
from hbaf.training.evaluate import SplitPredictions
from hbaf.training.package import PackageFacts

FEW_DEV = 20  # labelled dialogues of dev below which scores of two models can hardly be told apart
CLEARLY = 0.01  # weighted F1 by which one modality alone must be ahead of both


@dataclass(frozen=True)
class Confusion:
    """An emotion that is taken for another.

    Attributes:
        truth, predicted: the two emotions.
        utterances: how many of `truth` are taken for `predicted`.
        of: how many of `truth` there are.
        cost: weighted F1 that would be gained without them, 0..1.
    """

    truth: str
    predicted: str
    utterances: int
    of: int
    cost: float


@dataclass(frozen=True)
class RunVerdict:
    """A run on dev; all scores are F1, 0..1.

    Attributes:
        score: weighted F1; `low` and `high` are its interval at 95 %, over dialogues.
        floors: weighted F1 of `majority` and, where train has two emotions, of `logistic regression`.
        emotions: F1 of each emotion.
        support: utterances of each emotion.
        alone: weighted F1 with the modality alone, "audio" and "text"; empty for a model of one, or data of one.
        untrained: the modalities of `alone` that were never trained alone, so that their score is a lower bound.
        confusion: the one that costs most; None where nothing is confused.
        dialogues: labelled ones, of "train" and "dev".
        next_steps: what to do next, the most pressing first; never empty.
    """

    score: float
    low: float
    high: float
    floors: dict[str, float]
    emotions: dict[str, float]
    support: dict[str, int]
    alone: dict[str, float]
    untrained: tuple[str, ...]
    confusion: Confusion | None
    dialogues: dict[str, int]
    next_steps: tuple[str, ...]

    def lines(self) -> list[str]:
        """The verdict for a terminal."""
        interval_ = f"95 %: {self.low:.3f} to {self.high:.3f}; {self.dialogues['dev']} dialogues"
        lines = [f"dev weighted F1 {self.score:.3f} ({interval_})"]
        lines += [f"  {name:20} {value:.3f}" for name, value in self._beside().items()]
        lines.append(f"F1 by emotion: {', '.join(f'{name} {value:.3f}' for name, value in self.emotions.items())}")
        return [*lines, *self._remarks()]

    def markdown(self) -> str:
        """The verdict as Markdown: the scores of dev as a table, then what it confuses and what to do next."""
        rows = {"this model": self.score, **self._beside()}
        rows |= {f"F1 of {name}": value for name, value in self.emotions.items()}
        table = ["| dev | F1 |", "| --- | --- |", *(f"| {cell(name)} | {value:.3f} |" for name, value in rows.items())]
        return "\n".join([*table, "", *(f"- {plain(remark)}" for remark in self._remarks())])

    def _beside(self) -> dict[str, float]:
        marks = {name: " *" if name in self.untrained else "" for name in self.alone}
        return self.floors | {f"{name} alone{marks[name]}": value for name, value in self.alone.items()}

    def _remarks(self) -> list[str]:
        found = []
        if self.untrained:
            found.append("* at least: this model was not trained to do without the other (`model.modality_dropout`)")
        if (worst := self.confusion) is not None:
            found.append(
                f"costs most: {worst.utterances} of {worst.of} {worst.truth} taken for {worst.predicted}, "
                f"{worst.cost:.3f} of weighted F1"
            )
        return [*found, *(f"next: {step}" for step in self.next_steps)]

    def as_json(self) -> str:
        """JSON that `from_json` reads back."""
        return json.dumps(asdict(self), indent=1)

    @staticmethod
    def from_json(content: str) -> "RunVerdict":
        """A verdict as `as_json` wrote it."""
        values = json.loads(content)
        confusion = values["confusion"] and Confusion(**values["confusion"])
        lists = {name: tuple(values[name]) for name in ("untrained", "next_steps")}
        return RunVerdict(**{**values, **lists, "confusion": confusion})


def verdict_of(
    facts: PackageFacts,
    predictions: SplitPredictions,
    floors: Mapping[str, SplitPredictions],
    train: Sequence[Dialogue],
    dev: Sequence[Dialogue],
) -> RunVerdict:
    """The verdict on a run.

    Args:
        facts: of its package, with `missing` and `trained_to_miss`.
        predictions: of dev, by the run; `floors` are those of each floor.
    """
    counts = predictions.counts()
    whole = counts.sum(0)
    score, (low, high) = float(weighted_f1(whole)), interval(counts)
    beside = {name: found.weighted_f1() for name, found in floors.items()}
    there = all(any(getattr(d, f"has_{m}").any() for d in dev) for m in ("audio", "text"))
    alone = {}
    if facts.model.variant == "bimodal" and there:
        alone = {"audio": facts.missing["text"], "text": facts.missing["audio"]}
    other = {"audio": "text", "text": "audio"}
    dialogues = {"train": sum(bool((d.label != UNLABELLED).any()) for d in train), "dev": len(counts)}
    return RunVerdict(
        score=score,
        low=low,
        high=high,
        floors=beside,
        emotions=dict(zip(facts.emotions, class_f1(whole).tolist(), strict=True)),
        support=dict(zip(facts.emotions, whole.sum(1).tolist(), strict=True)),
        alone=alone,
        untrained=tuple(m for m in alone if not facts.trained_to_miss[other[m]]),
        confusion=costliest(whole, facts.emotions),
        dialogues=dialogues,
        next_steps=_next_steps(score, beside, alone, facts, dialogues),
    )


def costliest(counts: np.ndarray, emotions: Sequence[str]) -> Confusion | None:
    """The confusion without which weighted F1 would be highest.

    Args:
        counts: (C, C), rows the truth.
    """
    present, found = float(weighted_f1(counts)), []
    for truth, predicted in zip(*np.nonzero(counts), strict=True):
        if truth != predicted:
            right = counts.copy()
            right[truth, truth] += right[truth, predicted]
            right[truth, predicted] = 0
            number, of = int(counts[truth, predicted]), int(counts[truth].sum())
            cost = float(weighted_f1(right)) - present
            found.append(Confusion(emotions[truth], emotions[predicted], number, of, cost))
    return max(found, key=lambda one: one.cost, default=None)


def past_floors(facts: PackageFacts, dialogues: Mapping[str, int]) -> list[str]:
    """What may bring a model past a floor.

    Args:
        dialogues: how many each split has, by the split in words.
    """
    steps = ["`hbaf train SOURCE --recipe best`"] if facts.training.recipe != "best" else []
    counts = ", ".join(f"{number} in {split}" for split, number in dialogues.items())
    steps.append(f"more labelled dialogues (there are {counts})")
    text = facts.extractors["text"].get("name", facts.features.text)
    steps.append(
        f"another encoder than {text}: `--set features.text=NAME`, or one that `hbaf finetune SOURCE` makes "
        "(docs/representations.md)"
    )
    return steps


def _next_steps(
    score: float,
    floors: Mapping[str, float],
    alone: Mapping[str, float],
    facts: PackageFacts,
    dialogues: Mapping[str, int],
) -> tuple[str, ...]:
    steps = [
        f"{modality} alone is better here ({value:.3f} against {score:.3f}): train with "
        f"`--set model.variant={modality}`"
        for modality, value in sorted(alone.items(), key=lambda item: -item[1])
        if value > score + CLEARLY
    ][:1]
    best = max(floors, key=lambda name: floors[name])
    if floors[best] > score:
        ways = "; ".join(past_floors(facts, dialogues))
        steps.append(f"behind {best} by {floors[best] - score:.3f}: {ways}")
    if dialogues["dev"] < FEW_DEV:
        steps.append(
            f"{dialogues['dev']} dialogues in dev tell two models hardly apart: take folds, "
            "`hbaf search SOURCE --folds 5`, or label more"
        )
    return tuple(steps) or ("`hbaf promote SOURCE` makes it the champion if it meets every rule",)
