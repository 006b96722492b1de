"""One encoder with a classification head, trained on utterances and stopped by dev."""

import copy
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from hbaf.features.text.language_models import chosen_device, half_precision
from hbaf.parameters import FineTuneParameters
from hbaf.statistics import confusion, weighted_f1
from hbaf.training.data import LengthBuckets
from hbaf.training.finetuning.examples import Examples, FineTuneError
from hbaf.training.run_log import RunLog


class Classifier(nn.Module):
    """Encoder -> mean (B, D) -> dropout -> linear head (B, C)."""

    def __init__(self, encoder: Any, width: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, classes)

    def forward(self, examples: Examples, rows: Sequence[int]) -> torch.Tensor:
        """Logits (B, C) of the utterances at `rows`, in their order: W dropout(mean) + b."""
        logits: torch.Tensor = self.head(self.dropout(examples.means(self.encoder, rows)))
        return logits


def train_part(
    examples: Examples,
    labels: np.ndarray,
    train: np.ndarray,
    dev: np.ndarray,
    classes: int,
    parameters: FineTuneParameters,
    *,
    log: RunLog,
    name: str,
    progress: bool = False,
) -> tuple[Any, dict[str, float]]:
    """Trains on the rows `train`, keeps the epoch with the lowest loss on the rows `dev`.

    Returns:
        The encoder without its head, on the CPU, and what it reached on dev.
    """
    if parameters.threads:
        torch.set_num_threads(parameters.threads)
    device = chosen_device(parameters.device)
    encoder = examples.load_model()
    torch.manual_seed(parameters.seed)  # every part begins with the same head
    system = Classifier(encoder, encoder.config.hidden_size, classes, parameters.dropout).to(device)
    freeze_below(encoder, parameters.frozen_layers)
    batches = LengthBuckets(examples.lengths[train].tolist(), parameters.batch_size, seed=parameters.seed)
    optimiser, schedule = _optimiser(system, parameters, steps=len(batches) * parameters.max_epochs)
    weights = _class_weights(labels[train], classes) if parameters.class_weights else None
    best: tuple[float, dict[str, float], dict[str, torch.Tensor]] | None = None
    since = 0
    for epoch in range(parameters.max_epochs):
        batches.set_epoch(epoch)
        loss = _train_epoch(system, examples, labels, train, batches, optimiser, schedule, weights, parameters)
        report = {"epoch": epoch + 1, **_measure(system, examples, labels, dev)}
        log.log_metrics({f"{name}/train_loss": loss} | {f"{name}/dev_{k}": v for k, v in report.items()}, epoch + 1)
        if progress:
            message = f"train loss {loss:.3f}, dev loss {report['cross_entropy']:.3f}, F1 {report['weighted_f1']:.3f}"
            print(f"fine-tune {name}: epoch {epoch + 1} of {parameters.max_epochs}, {message}", file=sys.stderr)
        since += 1
        if best is None or parameters.patience is None or report["cross_entropy"] < best[0]:
            best = (report["cross_entropy"], report, copy.deepcopy(encoder.state_dict()))
            since = 0
        if parameters.patience is not None and since >= parameters.patience:
            break
    assert best is not None
    encoder.load_state_dict(best[2])
    return encoder.cpu().eval(), best[1]


def freeze_below(encoder: Any, layers: int) -> None:
    """Keeps the embeddings and the lowest layers as they are; 0 freezes nothing more than is frozen already.

    Raises:
        FineTuneError: there are not so many, or they cannot be found.
    """
    if layers == 0:
        return
    wanted = encoder.config.num_hidden_layers
    stacks = [m for m in encoder.modules() if isinstance(m, nn.ModuleList) and len(m) == wanted]
    if layers > wanted or not stacks:
        raise FineTuneError(f"frozen_layers: {layers}, but the encoder has {wanted if stacks else 'no known'} layers.")
    for parameter in encoder.parameters():
        parameter.requires_grad_(False)
    for layer in stacks[0][layers:]:
        for parameter in layer.parameters():
            parameter.requires_grad_(True)


def _optimiser(system: Classifier, parameters: FineTuneParameters, steps: int) -> tuple[Any, Any]:
    """AdamW without decay of biases and norms; the rate rises for `warmup`, then falls in a line to zero."""
    groups = []
    for module, rate in ((system.encoder, parameters.learning_rate), (system.head, parameters.head_learning_rate)):
        learned = [p for p in module.parameters() if p.requires_grad]
        groups += [
            {"params": [p for p in learned if p.ndim > 1], "lr": rate, "weight_decay": parameters.weight_decay},
            {"params": [p for p in learned if p.ndim <= 1], "lr": rate, "weight_decay": 0.0},
        ]
    optimiser = torch.optim.AdamW([group for group in groups if group["params"]])
    rising = max(1, round(parameters.warmup * steps))

    def share(step: int) -> float:
        return min((step + 1) / rising, (steps - step) / max(1, steps - rising + 1))

    return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, share)


def _train_epoch(
    system: Classifier,
    examples: Examples,
    labels: np.ndarray,
    train: np.ndarray,
    batches: LengthBuckets,
    optimiser: Any,
    schedule: Any,
    weights: torch.Tensor | None,
    parameters: FineTuneParameters,
) -> float:
    """One pass; returns the mean loss of its batches."""
    system.train()
    device = system.head.weight.device
    losses = []
    for batch in batches:
        rows = train[batch]
        with half_precision(device.type):
            logits = system(examples, rows.tolist())
        target = torch.from_numpy(labels[rows]).to(device)
        loss = F.cross_entropy(logits.float(), target, weight=None if weights is None else weights.to(device))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(system.parameters(), parameters.clip_norm)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    return float(np.mean(losses))


def _measure(system: Classifier, examples: Examples, labels: np.ndarray, rows: np.ndarray) -> dict[str, float]:
    system.eval()
    device = system.head.weight.device
    guesses = np.empty(len(rows), np.int64)
    loss = 0.0
    with torch.inference_mode(), half_precision(device.type):
        for batch in LengthBuckets(examples.lengths[rows].tolist(), 64, seed=0, shuffle=False):
            logits = system(examples, rows[batch].tolist()).float().cpu()
            loss += F.cross_entropy(logits, torch.from_numpy(labels[rows[batch]]), reduction="sum").item()
            guesses[batch] = logits.argmax(1).numpy()
    counts = confusion(labels[rows], guesses, system.head.out_features)
    return {"cross_entropy": loss / len(rows), "weighted_f1": float(weighted_f1(counts))}


def _class_weights(labels: np.ndarray, classes: int) -> torch.Tensor:
    """(C,) inverse frequency, mean 1 over the utterances; a class that train lacks gets 0."""
    counts = np.bincount(labels, minlength=classes)
    weights = np.where(counts > 0, len(labels) / np.maximum(counts, 1) / max(1, (counts > 0).sum()), 0)
    return torch.from_numpy(weights).float()
