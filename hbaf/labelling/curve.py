"""The learning curve: how good a model is on dev that learned from so many labelled turns, and whether more would help.

Whole dialogues of train are drawn, the same ones first at every size of a seed. Dev is whole throughout, and test is
not read.
"""

import csv
import io
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING

import numpy as np

from hbaf.corpus.schema import Corpus
from hbaf.features.columns import Columns
from hbaf.files import published, write_atomically
from hbaf.labelling.given import LabellingError
from hbaf.parameters import Settings
from hbaf.training.data import Vectors, read_vectors
from hbaf.training.run import RunData, TrainedRun, train

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Point:
    """Models that learned from about so many labels.

    Attributes:
        labels: labelled turns, the mean over seeds.
        dialogues: that they stand in, the mean over seeds.
        scores: weighted F1 on dev of each seed, 0..1.
    """

    labels: float
    dialogues: float
    scores: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over seeds."""
        return fmean(self.scores)

    @property
    def deviation(self) -> float:
        """Over seeds; 0 of one."""
        return stdev(self.scores) if len(self.scores) > 1 else 0.0


@dataclass(frozen=True)
class Curve:
    """Points by size, and how many labelled turns train has."""

    corpus: str
    points: tuple[Point, ...]
    whole: int

    @property
    def message(self) -> str:
        """What the last step says of more labels."""
        if len(self.points) < 2:
            return "one size says nothing of more labels."
        before, last = self.points[-2:]
        gain, noise = last.mean - before.mean, max(before.deviation, last.deviation)
        step = f"from {before.labels:.0f} to {last.labels:.0f} labels: {gain:+.3f}, seeds differ by {noise:.3f}"
        if gain > noise:
            return f"{step}. More labels help."
        return f"{step}. What more labels bring is within what seeds differ by."

    def table(self) -> str:
        """CSV: a row for each size and seed."""
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(["labels", "dialogues", "seed", "dev_weighted_f1"])
        for point in self.points:
            for seed, score in enumerate(point.scores):
                writer.writerow([round(point.labels, 1), round(point.dialogues, 1), seed, round(score, 4)])
        return text.getvalue()

    def save(self, folder: Path) -> Path:
        """Writes curve.png and curve.csv; returns the picture."""
        save_figure(figure_of({self.corpus: self}, f"What labels are worth: {self.corpus}"), folder / "curve.png")
        write_atomically(folder / "curve.csv", self.table().encode())
        return folder / "curve.png"


def save_figure(figure: "Figure", file: Path) -> None:
    """As PNG; the folder is made if absent."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with published(file) as beside:
        figure.savefig(beside, format="png", dpi=120)


def learning_curve(
    corpus: Corpus,
    columns: Columns,
    settings: Settings,
    sizes: Sequence[int],
    *,
    seeds: int = 3,
    say: Callable[[str], None] = lambda text: None,
) -> Curve:
    """Trains on parts of the train split, each size with each seed; a size above what there is takes all.

    Args:
        sizes: labelled turns.
        say: called after each training.

    Raises:
        LabellingError: no size, or the features learned from all labels of train.
        hbaf.training.data.SplitError: train or dev has no label.
    """
    if not sizes or min(sizes) < 1 or seeds < 1:
        raise LabellingError("--labels: name one size or more, as `50,100,200`; --seeds is 1 or more.")
    if learned := [name for name, column in columns.by_modality().items() if column.folds]:
        raise LabellingError(
            f"the {' and '.join(learned)} features come from an encoder that learned from all labels of train, so "
            "parts of them would look better than they are. Draw the curve with another encoder (`features.*`)."
        )
    vectors = read_vectors(corpus, columns)
    counts = labelled_turns(corpus)
    found: dict[int, list[tuple[int, int, float]]] = {}
    for size in sorted({min(size, sum(counts.values())) for size in sizes}):
        for seed in range(seeds):
            part = draw_part(counts, size, seed)
            run = train_on(corpus, vectors, settings, part, seed)
            score, labels = run.predictions.weighted_f1(), sum(counts[name] for name in part)
            found.setdefault(size, []).append((labels, len(part), score))
            say(f"{labels} labels, seed {seed}: dev weighted F1 {score:.3f}")
    points = (
        Point(fmean(labels for labels, _, _ in of), fmean(n for _, n, _ in of), tuple(score for _, _, score in of))
        for of in found.values()
    )
    return Curve(corpus.name, tuple(points), sum(counts.values()))


def labelled_turns(corpus: Corpus) -> dict[str, int]:
    """Dialogue of train -> how many of its turns have a label; those without any are left out."""
    train_rows = corpus.in_split("train")
    counts = train_rows[train_rows["emotion"].notna()].groupby("dialogue_id", sort=False).size()
    return {str(name): int(count) for name, count in counts.items()}


def draw_part(counts: dict[str, int], size: int, seed: int) -> tuple[str, ...]:
    """Whole dialogues by chance until they have so many labels; a larger size has those of a smaller one too."""
    names, part, labels = sorted(counts), list[str](), 0
    for number in np.random.default_rng(seed).permutation(len(names)):
        if labels >= size:
            break
        part.append(names[number])
        labels += counts[names[number]]
    return tuple(part)


def with_train(corpus: Corpus, dialogues: Sequence[str]) -> Corpus:
    """The corpus with these alone in train."""
    splits = corpus.splits
    kept = (splits["split"] != "train") | splits["dialogue_id"].isin(dialogues)
    return replace(corpus, splits=splits[kept].reset_index(drop=True))


def train_on(corpus: Corpus, vectors: Vectors, settings: Settings, dialogues: Sequence[str], seed: int) -> TrainedRun:
    """Trains on these dialogues of train; dev chooses the epoch."""
    seeded = settings._replace(training=settings.training.model_copy(update={"seed": seed}))
    data = RunData.fitted(with_train(corpus, dialogues), vectors, settings.features)
    with tempfile.TemporaryDirectory(prefix="hbaf-curve-") as folder:
        return train(seeded, data, folder=Path(folder))


def figure_of(curves: dict[str, Curve], title: str, measured: str = "weighted F1 on dev") -> "Figure":
    """Mean over seeds with the least and the most, over the number of labels; a line for each named curve."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.subplots()
    for name, curve in curves.items():
        labels = [point.labels for point in curve.points]
        (line,) = axes.plot(labels, [point.mean for point in curve.points], marker="o", label=name)
        least, most = ([edge(point.scores) for point in curve.points] for edge in (min, max))
        axes.fill_between(labels, least, most, color=line.get_color(), alpha=0.15)
    axes.set_xlabel("labelled turns to learn from")
    axes.set_ylabel(measured)
    axes.set_title(title)
    axes.set_ylim(0, 1)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
