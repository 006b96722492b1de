"""One training run: dialogues in, the best checkpoint by dev out.

Lightning drives the loop: early stopping, best checkpoint, resuming and precision are its well-tested parts.
"""

import hashlib
import io
import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
import torch.nn.functional as F
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from torch import Tensor, nn
from torch.utils.data import DataLoader

from hbaf.home import write_atomically
from hbaf.model.batch import UNLABELLED, DialogueBatch, SystemOutput
from hbaf.parameters import TrainingParameters
from hbaf.progress import under_way
from hbaf.stop import check
from hbaf.training.averaging import AveragedWeights
from hbaf.training.data import Dialogue, LengthBuckets, collate
from hbaf.training.evaluate import metrics
from hbaf.training.losses import classification_loss
from hbaf.training.run_log import MetricLog
from hbaf.training.schedule import learning_rate_share

MONITORED = "dev/loss"
F1 = "dev/weighted_f1"


class SystemTraining(lightning.LightningModule):
    """Cross-entropy over labelled utterances plus the system's weighted terms, Eq. 22-23: L = L_ce + mu L_inter."""

    def __init__(
        self,
        system: nn.Module,
        *,
        emotions: Sequence[str],
        training: TrainingParameters,
        class_weights: Tensor | None = None,
        log_prior: Tensor | None = None,
    ):
        super().__init__()
        self.system = system
        self.emotions = tuple(emotions)
        self.training_parameters = training
        self.class_weights: Tensor | None
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.log_prior: Tensor | None
        self.register_buffer("log_prior", log_prior, persistent=False)
        self.train_sums: dict[str, Tensor] = {}
        self.dev_parts: list[tuple[Tensor, Tensor, Tensor]] = []
        self.epoch_metrics: dict[str, float] = {}

    def configure_optimizers(self) -> Any:
        """Adam or AdamW; with a schedule or a warm-up also the learning rate's share, set anew at every step."""
        given = self.training_parameters
        kind = torch.optim.AdamW if given.optimizer == "adamw" else torch.optim.Adam
        optimizer = kind(
            self.system.parameters(),
            lr=given.learning_rate,
            weight_decay=given.weight_decay,
            # One pass over the weights in place of eight. Lightning refuses to clip beside it in mixed precision.
            fused=given.precision == "fp32" or given.clip_norm is None,
        )
        if given.schedule == "constant" and given.warmup == 0:
            return optimizer
        steps = int(self.trainer.estimated_stepping_batches)
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: learning_rate_share(step, steps, given.schedule, given.warmup)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def transfer_batch_to_device(self, batch: DialogueBatch, device: torch.device, index: int) -> DialogueBatch:
        """Lightning cannot move a `DialogueBatch` by itself."""
        return batch.to(device)

    def on_train_epoch_start(self) -> None:
        """Empties the sums of the epoch before, and has the sampler shuffle by the number of this epoch."""
        self.train_sums = {}
        # Lightning tells the epoch to plain samplers only; without this every epoch would see the same batches.
        loader: Any = self.trainer.train_dataloader
        loader.batch_sampler.set_epoch(self.current_epoch)

    def on_train_batch_start(self, batch: DialogueBatch, batch_idx: int) -> None:
        """Seeds dropout at the first batch of each epoch."""
        # Dropout follows from seed and epoch alone, so a run that was killed and goes on ends bit-equal on a CPU. Not
        # at the start of the epoch: making a data loader's iterator draws a number, before or after that.
        if batch_idx == 0:
            torch.manual_seed(epoch_seed(self.training_parameters.seed, self.current_epoch))

    def training_step(self, batch: DialogueBatch, index: int) -> Tensor:
        """The loss of a batch, Eq. 23: mean cross-entropy of labelled utterances plus the system's weighted terms.

        Raises:
            hbaf.stop.Stopped: the run was asked to end.
        """
        check()
        output: SystemOutput = self.system(batch)
        logits = output.logits
        if self.log_prior is not None:
            logits = logits + self.training_parameters.prior_correction * self.log_prior
        cross_entropy = classification_loss(
            logits,
            batch.label,
            weight=self.class_weights,
            smoothing=self.training_parameters.label_smoothing,
            gamma=self.training_parameters.focal_gamma,
        )
        labelled = (batch.label != UNLABELLED).sum()
        # A batch without a single label still teaches the contrastive terms.
        cross_entropy = cross_entropy / labelled.clamp(min=1)
        loss = cross_entropy + sum(output.losses.values())
        for name, value in {"loss": loss, "cross_entropy": cross_entropy, **output.terms}.items():
            self.train_sums[name] = self.train_sums.get(name, 0) + value.detach()
        return loss

    def validation_step(self, batch: DialogueBatch, index: int) -> None:
        """Keeps loss and prediction of each labelled dev utterance; metrics are made when the epoch ends.

        Raises:
            hbaf.stop.Stopped: the run was asked to end.
        """
        check()
        output: SystemOutput = self.system(batch)
        at = batch.label != UNLABELLED
        logits = output.logits.float()[at]
        cross_entropy = F.cross_entropy(logits, batch.label[at], reduction="none")
        extra = sum(output.losses.values()) if self.training_parameters.monitor == "total" else 0.0
        self.dev_parts.append((cross_entropy + extra, logits.argmax(-1), batch.label[at]))

    def on_validation_epoch_end(self) -> None:
        """Logs dev loss (nat per utterance) and weighted F1 for early stopping; all metrics go to `epoch_metrics`."""
        losses, predicted, truth = (torch.cat(part).float() for part in zip(*self.dev_parts, strict=True))
        self.dev_parts = []
        found = metrics(truth.long().cpu().numpy(), predicted.long().cpu().numpy(), self.emotions)
        self.log(MONITORED, losses.mean())
        self.log(F1, found["weighted_f1"])
        self.epoch_metrics = {MONITORED: float(losses.mean()), **{f"dev/{name}": v for name, v in found.items()}}

    def add_train_metrics(self) -> None:
        """Completes `epoch_metrics`. `History` calls it, for Lightning asks callbacks before modules."""
        batches = self.trainer.num_training_batches
        self.epoch_metrics |= {f"train/{name}": float(value) / batches for name, value in self.train_sums.items()}


class WholeCheckpoints(TorchCheckpointIO):
    """Checkpoints that are whole or absent.

    Lightning's own pass through the temporary folder, and a move from another disk can be killed half-way.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Serialises in memory, then writes under another name and renames."""
        content = io.BytesIO()
        torch.save(checkpoint, content)
        write_atomically(Path(path), content.getvalue())


class History(Callback):
    """Writes each epoch's metrics beside the checkpoints and logs them.

    They travel in the checkpoint too: weights and curves of a resumed run always belong to the same epoch.
    """

    def __init__(self, path: Path, log: MetricLog | None, progress: bool):
        self.path = path
        self.run_log = log  # `log` is a method of Lightning's callbacks
        self.epochs: list[dict[str, float]] = []
        self.progress = progress
        self.work = ExitStack()

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint: `epochs`, the metrics of each epoch up to now."""
        return {"epochs": self.epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up the epochs of an interrupted run and logs them again, because the resumed run has a new run log."""
        self.epochs = [dict(epoch) for epoch in state_dict["epochs"]]
        for step, epoch in enumerate(self.epochs, 1):  # into a run log that is new: the interrupted one has ended
            if self.run_log is not None:
                self.run_log.log_metrics(epoch, step=step)

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Ends a resumed run at once if early stopping had ended it before it was killed; shows the progress bar."""
        stopper = trainer.early_stopping_callback
        # Killed between its last epoch and its end: Lightning forgets that the run had stopped.
        if stopper is not None and (stopper.wait_count >= stopper.patience or stopper.stopped_epoch > 0):
            trainer.should_stop = True
        epochs = under_way("training", trainer.max_epochs or 0, shown=self.progress, done=trainer.current_epoch)
        self.advance = self.work.enter_context(epochs)

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Writes the epoch's metrics of train and dev to file, run log and progress bar."""
        assert isinstance(module, SystemTraining)
        module.add_train_metrics()
        self.epochs.append(module.epoch_metrics)
        write_atomically(self.path, json.dumps(self.epochs).encode())
        if self.run_log is not None:
            self.run_log.log_metrics(module.epoch_metrics, step=len(self.epochs))
        loss, f1 = module.epoch_metrics[MONITORED], module.epoch_metrics["dev/weighted_f1"]
        self.advance(1, f"at most, for it stops early; dev loss {loss:.3f}, F1 {f1:.3f}")

    def teardown(self, trainer: lightning.Trainer, module: lightning.LightningModule, stage: str) -> None:
        """Takes the progress bar away when training ends."""
        self.work.close()


def fit(
    system: nn.Module,
    train: Sequence[Dialogue],
    dev: Sequence[Dialogue],
    *,
    emotions: Sequence[str],
    training: TrainingParameters,
    folder: Path,
    log: MetricLog | None = None,
    progress: bool = False,
    callbacks: Sequence[Callback] = (),
) -> list[dict[str, float]]:
    """Trains a system in place and leaves it at the checkpoint that `training.monitor` finds best on dev.

    Args:
        folder: for checkpoints and history; if a run was interrupted there, it goes on where it stopped.
        callbacks: further Lightning callbacks, such as a pruner.

    Returns:
        One dict of metrics per epoch: `train/*`, `dev/*`.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    if training.threads is not None:
        torch.set_num_threads(training.threads)
    folder.mkdir(parents=True, exist_ok=True)
    module = SystemTraining(
        system,
        emotions=emotions,
        training=training,
        class_weights=inverse_frequencies(train, len(emotions), training.class_weight_power)
        if training.class_weights
        else None,
        log_prior=log_frequencies(train, len(emotions)) if training.prior_correction > 0 else None,
    )
    monitored, mode = (F1, "max") if training.monitor == "weighted_f1" else (MONITORED, "min")
    history = History(folder / "history.json", log, progress)
    # At the end of the epoch, after `History` has seen it. Not `save_last`, which saves when an epoch is the best.
    checkpoints = partial(ModelCheckpoint, folder, enable_version_counter=False, save_on_train_epoch_end=True)
    best = checkpoints("best", monitor=monitored, mode=mode)
    last = checkpoints("last")
    stop = EarlyStopping(monitored, patience=training.patience, mode=mode)
    averaging = (
        []
        if training.averaging == "none"
        else [AveragedWeights(training.averaging, decay=training.averaging_decay, start=training.averaging_start)]
    )
    trainer = lightning.Trainer(
        accelerator={"auto": "auto", "cpu": "cpu", "cuda": "gpu"}[training.device],
        devices=1,
        precision="bf16-mixed" if training.precision == "bf16" else "32-true",
        max_epochs=training.max_epochs,
        gradient_clip_val=training.clip_norm,
        callbacks=[stop, best, last, history, *averaging, *callbacks],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        plugins=[WholeCheckpoints()],
        default_root_dir=folder,
    )
    buckets = LengthBuckets([len(d) for d in train], training.batch_dialogues, seed=training.seed)
    in_order = LengthBuckets([len(d) for d in dev], training.batch_dialogues, seed=0, shuffle=False)
    with warnings.catch_warnings():
        # The dialogues are in memory already: worker processes would only copy them.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # Lightning's own use of torch
        warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
        trainer.fit(
            module,
            DataLoader(train, batch_sampler=buckets, collate_fn=collate),  # type: ignore[arg-type]  # a Sequence is a dataset
            DataLoader(dev, batch_sampler=in_order, collate_fn=collate),  # type: ignore[arg-type]  # likewise
            ckpt_path=str(folder / "last.ckpt") if (folder / "last.ckpt").exists() else None,
            weights_only=True,
        )
    state = torch.load(folder / "best.ckpt", map_location="cpu", weights_only=True)["state_dict"]
    module.load_state_dict(state)
    return history.epochs


def seed_everything(seed: int) -> None:
    """Seeds Python, NumPy and torch; call it before a system is built, so that its weights follow the seed."""
    lightning.seed_everything(seed, workers=True, verbose=False)


def epoch_seed(seed: int, epoch: int) -> int:
    """63 bits that follow from seed and epoch; neighbours have nothing in common."""
    return int.from_bytes(hashlib.sha256(f"{seed} {epoch}".encode()).digest()[:8], "big") >> 1


def inverse_frequencies(dialogues: Sequence[Dialogue], classes: int, power: float = 1.0) -> Tensor:
    """(C,) weights n^-power of classes with n train utterances, of mean 1 over these; a class that train lacks gets 0.

    Args:
        power: 1 makes all classes count alike, 0 all utterances, 0.5 is between.
    """
    labels = np.concatenate([d.label for d in dialogues])
    counts = np.bincount(labels[labels != UNLABELLED], minlength=classes).astype(float)
    rarity = np.where(counts > 0, np.maximum(counts, 1) ** -power, 0.0)
    return torch.tensor(rarity * counts.sum() / (rarity * counts).sum(), dtype=torch.float32)


def log_frequencies(dialogues: Sequence[Dialogue], classes: int) -> Tensor:
    """(C,) log share of each class among the train labels, one utterance added to each."""
    labels = np.concatenate([d.label for d in dialogues])
    counts = np.bincount(labels[labels != UNLABELLED], minlength=classes) + 1.0
    return torch.tensor(np.log(counts / counts.sum()), dtype=torch.float32)


def best_epoch(history: Sequence[Mapping[str, float]], monitor: str = "cross_entropy") -> Mapping[str, float]:
    """The metrics of the epoch whose checkpoint was kept.

    Args:
        monitor: the run's `TrainingParameters.monitor`.
    """
    if monitor == "weighted_f1":
        return max(history, key=lambda epoch: epoch[F1])
    return min(history, key=lambda epoch: epoch[MONITORED])
