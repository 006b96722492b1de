"""The classification loss of a training run. B dialogues, U utterances, C emotions."""

import torch.nn.functional as F
from torch import Tensor

from hbaf.model.batch import UNLABELLED

SMALLEST = 1e-6  # keeps the slope of (1 - p)^gamma finite where p is 1 and gamma below 1


def classification_loss(
    logits: Tensor, label: Tensor, *, weight: Tensor | None = None, smoothing: float = 0.0, gamma: float = 0.0
) -> Tensor:
    """Sum over labelled utterances of the cross-entropy, as Eq. 22 has it, or of the focal loss.

    Args:
        logits: (B, U, C). label: (B, U) with `UNLABELLED`.
        weight: (C,) of each class, or None.
        smoothing: share of the target that all C classes get alike, 0..1.
        gamma: of the focal loss (Lin et al., ICCV 2017): an utterance counts (1 - p)^gamma, p the probability of its
            label, so that what is known already teaches less. 0: the cross-entropy.

    Returns:
        Scalar >= 0, in float32.
    """
    flat, target = logits.float().flatten(0, 1), label.flatten()
    settings = {"weight": weight, "ignore_index": UNLABELLED, "label_smoothing": smoothing}
    if gamma == 0:
        return F.cross_entropy(flat, target, reduction="sum", **settings)  # type: ignore[arg-type]
    each = F.cross_entropy(flat, target, reduction="none", **settings)  # type: ignore[arg-type]  # 0 without a label
    p = flat.softmax(-1).gather(-1, target.clamp(min=0)[:, None])[:, 0]
    return (each * (1 - p).clamp(min=SMALLEST).pow(gamma)).sum()
