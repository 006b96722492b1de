"""The habit of choosing the epoch by the test split, to show what it is worth. Nothing here chooses a checkpoint."""

from collections.abc import Callable, Mapping
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from torch import nn

from hbaf.training.fit import SystemTraining


class TestWatcher(Callback):
    """Notes the weighted F1 on the test split after every epoch; it travels in the checkpoint of a resumed run.

    Args:
        look: a system's metrics on the test split, from `hbaf.training.evaluate.watch_test_split`.
    """

    __test__ = False  # pytest: no test class

    def __init__(self, look: Callable[[nn.Module], Mapping[str, float]]):
        self.look = look
        self.epochs: list[float] = []

    def state_dict(self) -> dict[str, list[float]]:
        """For the checkpoint: `epochs`, weighted F1 on test (0..1) after each epoch up to now."""
        return {"epochs": self.epochs}

    def load_state_dict(self, state_dict: dict[str, list[float]]) -> None:
        """Takes up the scores of the epochs before the run was interrupted."""
        self.epochs = list(state_dict["epochs"])

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Scores the test split behind the last dev batch, with the weights that dev was scored with."""
        # At the last batch, not at the end of the epoch: averaged weights are taken out again by then.
        if batch_idx == trainer.num_val_batches[0] - 1:
            assert isinstance(pl_module, SystemTraining)
            self.epochs.append(self.look(pl_module.system)["weighted_f1"])

    def best(self) -> dict[str, float]:
        """`weighted_f1` of the epoch that would have been published, and which `epoch` from 1 it was."""
        value = max(self.epochs)
        return {"weighted_f1": value, "epoch": self.epochs.index(value) + 1}
