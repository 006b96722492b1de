"""Loss terms that several systems share. N utterances, C emotions. None of them is ever NaN."""

import torch
import torch.nn.functional as F
from torch import Tensor

from hbaf.baselines.similarity import cosines
from hbaf.model.batch import UNLABELLED


def labelled_cross_entropy(logits: Tensor, label: Tensor, keep: Tensor) -> Tensor:
    """Mean cross-entropy over utterances that are labelled and kept; 0 where there are none, still in the graph.

    Args:
        logits: (B, U, C). label: (B, U) with `UNLABELLED`. keep: (B, U) bool.
    """
    label = label.masked_fill(~keep, UNLABELLED).flatten()
    total = F.cross_entropy(logits.flatten(0, 1).float(), label, ignore_index=UNLABELLED, reduction="sum")
    return total / (label != UNLABELLED).sum().clamp(min=1)


def distillation(student: Tensor, teacher: Tensor, keep: Tensor, temperature: float) -> Tensor:
    """KL(teacher || student) of class probabilities softened by `temperature`, mean over kept utterances.

    Args:
        student, teacher: (B, U, C) logits; no gradient goes to the teacher. keep: (B, U) bool.
    """
    kl = F.kl_div(
        F.log_softmax(student.float() / temperature, -1),
        F.log_softmax(teacher.detach().float() / temperature, -1),
        reduction="none",
        log_target=True,
    ).sum(-1)
    return torch.where(keep, kl, 0.0).sum() / keep.sum().clamp(min=1)


def info_nce(x: Tensor, y: Tensor, tau: float) -> Tensor:
    """Each row of x (N, D) is to find its own row of y (N, D) by cosine similarity, and the other way round.

    Returns:
        Mean of both ways; log N when all rows are equal, 0 for N = 0 and N = 1.
    """
    if len(x) < 2:
        return (x.sum() + y.sum()) * 0.0
    logits = cosines(x, y) / tau
    target = torch.arange(len(x), device=x.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
