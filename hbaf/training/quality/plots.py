"""Figures of a training run, for the tracking server: curves, confusion matrix, gates."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def curves(history: Sequence[Mapping[str, float]]) -> "Figure":
    """Losses on the left, dev scores on the right, over epochs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = range(1, len(history) + 1)
    names = sorted(history[0]) if history else []
    for name in names:
        if name.startswith("train/") or name == "dev/loss":
            left.plot(epochs, [epoch[name] for epoch in history], label=name)
    for name in ("dev/weighted_f1", "dev/macro_f1", "dev/accuracy"):
        if name in names:
            right.plot(epochs, [epoch[name] for epoch in history], label=name)
    right.set_ylim(0, 1)
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    return figure


def confusion_matrix(counts: np.ndarray, emotions: Sequence[str], title: str) -> "Figure":
    """Shares per true class, with the counts written in.

    Args:
        counts: (C, C), rows are the truth.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.6 + 0.8 * len(emotions), 1.2 + 0.7 * len(emotions)), layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*counts.shape):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", color=colour)
    axes.set_xticks(range(len(emotions)), list(emotions), rotation=40, ha="right")
    axes.set_yticks(range(len(emotions)), list(emotions))
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(title, fontsize=10)
    return figure


def gates(values: Mapping[str, np.ndarray]) -> "Figure":
    """Histogram of each stream's mean gate per utterance: 1 keeps the stream's own view, 0 takes the other's."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.2), layout="constrained")
    axes = figure.subplots()
    for name, gate in values.items():
        axes.hist(gate, bins=30, range=(0, 1), histtype="step", label=name)
    axes.set_xlabel("mean gate of an utterance (1 keeps its own stream)")
    axes.set_ylabel("utterances")
    axes.legend()
    return figure


def reliability_plot(lines: Mapping[str, Sequence[tuple[float, float, int]]], title: str) -> "Figure":
    """Share of right labels over confidence: on the diagonal the probabilities mean what they say.

    Args:
        lines: name -> (mean confidence, share right, utterances) of every bin; the area of a dot is its utterances.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1)
    for name, bins in lines.items():
        confidence, right, counts = (np.asarray(values) for values in zip(*bins, strict=True))
        (line,) = axes.plot(confidence, right, label=name, linewidth=1)
        axes.scatter(confidence, right, s=10 + 400 * counts / counts.sum(), color=line.get_color(), alpha=0.5)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="share of right labels", title=title)
    axes.legend(loc="upper left", fontsize=8)
    axes.grid(alpha=0.3)
    return figure
