"""Fits a label chain: its tables are counted on train, its three exponents are chosen on dev.

n utterances, C emotions.
"""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from hbaf.model.batch import UNLABELLED
from hbaf.model.label_chain import Chained, LabelChain, previous_turns
from hbaf.training.data import Dialogue
from hbaf.training.evaluate import SplitPredictions, predict

Mode = Literal["none", "both", "causal"]

SMOOTHING = 5.0  # utterances, spread as the prior, that stand in each row of a table beside those counted
START = tuple(itertools.product((0.6, 1.0), (0.0, 0.6, 1.2), (0.0, 0.4)))  # a, b, c; the search begins at the best
BOUNDS = ((0.05, 5.0), (0.0, 5.0), (0.0, 5.0))
STEPS = (
    0.2,
    0.3,
    0.2,
)  # of the search's first simplex; scipy's own step from a zero, 0.00025, would end where it began
EVALUATIONS = 80
SMALLEST = 1e-12  # of a probability before its logarithm


def chained(
    system: nn.Module, train: Sequence[Dialogue], dev: Sequence[Dialogue], emotions: Sequence[str], mode: Mode
) -> nn.Module:
    """The system with its chain behind it; the system itself where the mode is `none`."""
    if mode == "none":
        return system
    chain = fit_chain(train, dev, predict(system, dev, emotions), mode)
    return Chained(system, chain.to(next(system.parameters()).device)).eval()


def fit_chain(
    train: Sequence[Dialogue], dev: Sequence[Dialogue], predictions: SplitPredictions, mode: Mode
) -> LabelChain:
    """The chain whose tables are those of train and whose exponents make the labels of dev likeliest.

    Exponents (1, 0, 0), which change nothing, are among those tried: dev is never explained worse than without. Only
    labels and speakers of the dialogues are read.

    Args:
        predictions: of dev, by the system alone, in the order of the dialogues.
        mode: `both` or `causal`.
    """
    from scipy.optimize import minimize

    chain = LabelChain(len(predictions.emotions), causal=mode == "causal")
    chain.prior, chain.own, chain.other = count(train, len(predictions.emotions))
    given = padded(dev, predictions.probability)
    label = given[3]

    def loss(exponents: Sequence[float] | np.ndarray) -> float:
        chain.exponents = torch.tensor([float(value) for value in exponents])
        with torch.inference_mode():
            log_probability = chain(*given[:3])[label != UNLABELLED]
            return float(torch.nn.functional.nll_loss(log_probability, label[label != UNLABELLED]))

    start = min([(1.0, 0.0, 0.0), *START], key=loss)
    simplex = np.asarray(start) + np.vstack([np.zeros(3), np.diag(STEPS)])
    found = minimize(
        loss,
        start,
        method="Nelder-Mead",
        bounds=BOUNDS,
        options={"initial_simplex": simplex, "maxfev": EVALUATIONS, "xatol": 0.01, "fatol": 1e-5},
    )
    best = min([(1.0, 0.0, 0.0), tuple(found.x)], key=loss)
    chain.exponents = torch.tensor([float(value) for value in best])
    return chain


def count(dialogues: Sequence[Dialogue], classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """log p(label) (C,), log p(label | the speaker's own last) (C, C) and log p(label | the other's last) (C, C).

    A pair of turns counts where both have a label. A row is smoothed towards the prior, so that a label after which
    nothing was seen says nothing.
    """
    own, other = pairs(dialogues, classes)
    labels = np.concatenate([dialogue.label for dialogue in dialogues])
    counts = np.bincount(labels[labels != UNLABELLED], minlength=classes) + 1.0
    prior = counts / counts.sum()
    smoothed = [(table + SMOOTHING * prior) / (table.sum(1, keepdims=True) + SMOOTHING) for table in (own, other)]
    log_prior, log_own, log_other = (torch.from_numpy(np.log(values)).float() for values in (prior, *smoothed))
    return log_prior, log_own, log_other


def pairs(dialogues: Sequence[Dialogue], classes: int) -> tuple[np.ndarray, np.ndarray]:
    """(C, C) counts of (last, now): of a speaker's own last label, and of the last by anybody else."""
    tables = (np.zeros((classes, classes)), np.zeros((classes, classes)))
    for dialogue in dialogues:
        speaker = torch.from_numpy(np.asarray(dialogue.speaker))[None]
        places = previous_turns(speaker, torch.ones_like(speaker, dtype=torch.bool))
        for table, place in zip(tables, (found[0].numpy() for found in places), strict=True):
            last = np.where(place >= 0, dialogue.label[np.maximum(place, 0)], UNLABELLED)
            at = (last != UNLABELLED) & (dialogue.label != UNLABELLED)
            np.add.at(table, (last[at], dialogue.label[at]), 1)
    return tables


def with_chain(chain: LabelChain, dialogues: Sequence[Dialogue], predictions: SplitPredictions) -> SplitPredictions:
    """Predictions as the chain decodes them, from those of the system alone."""
    log_probability, speaker, mask, _ = padded(dialogues, predictions.probability)
    with torch.inference_mode():
        marginal = chain(log_probability, speaker, mask)[mask].exp()
    return replace(predictions, probability=marginal.numpy())


def with_and_without(alone: float, whole: SplitPredictions) -> dict[str, float]:
    """For a run log: `best/...` is what the whole reaches on dev, `without_chain/weighted_f1` the system alone."""
    best = {**whole.metrics(), "loss": whole.loss()}
    return {"without_chain/weighted_f1": alone, **{f"best/{name}": value for name, value in best.items()}}


def inertia(dialogues: Sequence[Dialogue], classes: int) -> dict[str, float]:
    """How much of a label its speaker's last one tells, by counts alone.

    Returns:
        `entropy` and `entropy_given_own`, bit, of turns that have an own last label; `same`, the share of turns that
        keep it, and `same_by_chance`, if labels were drawn by their frequency; `pairs`, how many turns that is.
    """
    own, _ = pairs(dialogues, classes)
    total = max(own.sum(), 1.0)
    joint, now, last = own / total, own.sum(0) / total, own.sum(1) / total
    return {
        "entropy": _bits(now),
        "entropy_given_own": _bits(joint.ravel()) - _bits(last),
        "same": float(np.diag(joint).sum()),
        "same_by_chance": float((now * last).sum()),
        "pairs": float(own.sum()),
    }


def padded(dialogues: Sequence[Dialogue], probability: np.ndarray) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """log probabilities (B, U, C), speakers, mask and labels (B, U) of all dialogues in one batch.

    Args:
        probability: (n, C) in the order of the dialogues.
    """
    lengths = torch.tensor([len(dialogue) for dialogue in dialogues])
    mask = torch.arange(int(lengths.max()))[None] < lengths[:, None]
    log_probability = torch.zeros(*mask.shape, probability.shape[1])
    log_probability[mask] = torch.tensor(probability, dtype=torch.float32).clamp(min=SMALLEST).log()
    speaker = torch.zeros(mask.shape, dtype=torch.int64)
    speaker[mask] = torch.from_numpy(np.concatenate([dialogue.speaker for dialogue in dialogues])).long()
    label = torch.full(mask.shape, UNLABELLED)
    label[mask] = torch.from_numpy(np.concatenate([dialogue.label for dialogue in dialogues])).long()
    return log_probability, speaker, mask, label


def _bits(p: np.ndarray) -> float:
    p = p[p > 0]
    return float(-(p * np.log2(p)).sum())
