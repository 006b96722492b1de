"""Weight averaging: dev is scored with, and the checkpoint holds, a mean of the weights of many steps."""

from typing import Literal

from lightning.pytorch.callbacks import WeightAveraging
from torch.optim.swa_utils import get_ema_avg_fn, get_swa_avg_fn

Averaging = Literal["none", "ema", "swa"]


class AveragedWeights(WeightAveraging):
    """torch's averages, by Lightning's callback, which a resumed run goes on with.

    `ema`: after every step, decay * average + (1 - decay) * weights. `swa`: the plain mean of the weights at the end of
    each epoch. Up to `start` there is nothing to average: dev sees the weights as they are.

    Args:
        kind: `ema` or `swa`.
        decay: of `ema`, in (0, 1).
        start: epochs before averaging begins.
    """

    def __init__(self, kind: Averaging, *, decay: float, start: int):
        # Buffers are copied: what a system keeps there is counts and fixed draws, of which no mean makes sense.
        super().__init__(use_buffers=False, avg_fn=get_ema_avg_fn(decay) if kind == "ema" else get_swa_avg_fn())
        self.kind = kind
        self.start = start
        self.steps_an_epoch = 1

    def on_train_start(self, trainer, module) -> None:  # type: ignore[no-untyped-def]  # as Lightning's
        """Notes how many steps an epoch has, which is known only now; `should_update` counts with it."""
        self.steps_an_epoch = trainer.num_training_batches

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """After a step that counts, before dev is scored; Lightning asks at the end of the epoch too, too late."""
        if step_idx is None:
            return False
        epoch, place = divmod(step_idx, self.steps_an_epoch)
        if epoch < self.start:
            # The first value that an average takes in becomes the average.
            assert self._average_model is not None
            self._average_model.n_averaged.zero_()
            return True
        return self.kind == "ema" or place == self.steps_an_epoch - 1
