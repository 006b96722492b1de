"""The optional settings of training: each does what it says, and none of them does anything when it is off."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import Callback

from hbaf.model.batch import UNLABELLED
from hbaf.model.build import build_hbaf
from hbaf.model.hbaf import HBAF
from hbaf.parameters import ModelParameters, TrainingParameters
from hbaf.training.data import Dialogue
from hbaf.training.evaluate import predict
from hbaf.training.fit import best_epoch, fit, inverse_frequencies, seed_everything
from hbaf.training.losses import classification_loss
from hbaf.training.schedule import learning_rate_share

EMOTIONS = ("a", "b", "c")
QUICK = TrainingParameters(learning_rate=3e-3, batch_dialogues=8, max_epochs=4, patience=10, threads=1, device="cpu")


def dialogues(count: int, seed: int) -> list[Dialogue]:
    """Both modalities hint at the label; `c` is rare."""
    random = np.random.default_rng(seed)
    made = []
    for number in range(count):
        turns = int(random.integers(2, 6))
        label = random.choice(3, turns, p=[0.6, 0.3, 0.1]).astype(np.int64)
        noise = random.normal(size=(2, turns, 3))
        made.append(
            Dialogue(
                dialogue_id=str(number),
                utterance_ids=tuple(f"{number}/{turn}" for turn in range(turns)),
                audio=(np.eye(3)[label] + noise[0]).astype(np.float32),
                text=(np.eye(3)[label] + noise[1]).astype(np.float32),
                commonsense=None,
                has_audio=np.ones(turns, dtype=bool),
                has_text=np.ones(turns, dtype=bool),
                speaker=np.arange(turns) % 2,
                label=label,
            )
        )
    return made


TRAIN, DEV = dialogues(32, 0), dialogues(12, 1)


def system(**settings: object) -> HBAF:
    seed_everything(0)
    narrow = ModelParameters(dim=8, heads=2, encoder_layers=1, feedforward=8, conv_channels=4, **settings)  # type: ignore[arg-type]
    return build_hbaf(narrow, audio_dim=3, text_dim=3, commonsense_dim=None, emotions=3)


class Watch(Callback):
    """What the run is like after every step and at every scoring of dev."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.weights: list[torch.Tensor] = []
        self.scored: list[torch.Tensor] = []

    def on_train_batch_start(self, trainer, module, batch, batch_idx) -> None:
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx) -> None:
        self.weights.append(module.system.classifier.weight.detach().clone())

    def on_validation_batch_start(self, trainer, module, batch, batch_idx, dataloader_idx=0) -> None:
        if batch_idx == 0:
            self.scored.append(module.system.classifier.weight.detach().clone())


def train(folder: Path, *, watch: Watch | None = None, **changes: object):
    made = system()
    training = QUICK.model_copy(update=changes)
    callbacks = [] if watch is None else [watch]
    return made, fit(made, TRAIN, DEV, emotions=EMOTIONS, training=training, folder=folder, callbacks=callbacks)


def test_losses_by_hand():
    # Softmax of (log 2, 0, 0) is (1/2, 1/4, 1/4).
    logits = torch.tensor([[[math.log(2), 0.0, 0.0], [math.log(2), 0.0, 0.0], [9.0, 9.0, -9.0]]])
    label = torch.tensor([[0, 1, UNLABELLED]])
    half, quarter = math.log(2), math.log(4)
    assert classification_loss(logits, label).item() == pytest.approx(half + quarter)
    # Smoothing 0.3: 0.1 of the target on each class, and 0.7 more on the label.
    spread = 0.1 * (half + 2 * quarter)
    smooth = classification_loss(logits, label, smoothing=0.3).item()
    assert smooth == pytest.approx(0.7 * (half + quarter) + 2 * spread)
    # Focal loss, gamma 2: (1 - 1/2)^2 and (1 - 1/4)^2.
    focal = classification_loss(logits, label, gamma=2.0).item()
    assert focal == pytest.approx(0.25 * half + 0.5625 * quarter)
    weight = torch.tensor([3.0, 0.5, 1.0])
    weighted = classification_loss(logits, label, weight=weight, gamma=2.0).item()
    assert weighted == pytest.approx(3 * 0.25 * half + 0.5 * 0.5625 * quarter)
    assert classification_loss(logits, torch.full_like(label, UNLABELLED), gamma=2.0).item() == 0


def test_focal_loss_of_what_is_certain_has_a_finite_slope():
    logits = torch.tensor([[[200.0, 0.0]]], requires_grad=True)
    classification_loss(logits, torch.tensor([[0]]), gamma=0.5).backward()
    assert torch.isfinite(logits.grad).all()


def test_the_plain_loss_is_torchs():
    torch.manual_seed(0)
    logits, label = torch.randn(3, 4, 5), torch.randint(-1, 5, (3, 4))
    plain = F.cross_entropy(logits.flatten(0, 1), label.flatten(), ignore_index=-1, reduction="sum")
    assert torch.equal(classification_loss(logits, label), plain)


def test_class_weights_between_none_and_full():
    labels = np.concatenate([d.label for d in TRAIN])
    counts = np.bincount(labels, minlength=4)
    for power in (0.0, 0.5, 1.0):
        weights = inverse_frequencies(TRAIN, 4, power).numpy()
        assert weights[labels].mean() == pytest.approx(1)
        assert weights[0] / weights[2] == pytest.approx((counts[2] / counts[0]) ** power)
        assert weights[3] == 0  # a class that train lacks


def test_schedules_by_hand():
    shares = [learning_rate_share(step, 10, "constant", 0.4) for step in range(10)]
    assert shares == [0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1, 1]
    # Four steps of rise, then six of seven parts of the fall.
    shares = [learning_rate_share(step, 10, "linear", 0.4) for step in range(10)]
    assert shares == pytest.approx([0.25, 0.5, 0.75, 1, 1, 6 / 7, 5 / 7, 4 / 7, 3 / 7, 2 / 7])
    shares = [learning_rate_share(step, 3, "cosine", 0.0) for step in range(4)]
    # half a cosine over 4 parts: 1, (1 + cos 45°) / 2, 1/2, and what comes after the end
    assert shares == pytest.approx([1, 0.853553, 0.5, 0.146447], abs=1e-6)
    assert all(learning_rate_share(step, 5, "linear", 1.0) == (step + 1) / 5 for step in range(5))


def test_the_learning_rate_follows_its_schedule(tmp_path):
    watch = Watch()
    train(tmp_path, watch=watch, schedule="cosine", warmup=0.25)
    steps = 4 * 4  # epochs of four batches
    expected = [3e-3 * learning_rate_share(step, steps, "cosine", 0.25) for step in range(steps)]
    assert watch.rates == pytest.approx(expected)


def test_decoupled_decay_shrinks_weights_by_itself(tmp_path):
    """With L2 in the gradient Adam divides the decay away; decoupled it takes rate x decay off every weight."""
    norms = {}
    for optimizer in ("adam", "adamw"):
        made, _ = train(tmp_path / optimizer, optimizer=optimizer, weight_decay=30.0, learning_rate=3e-3, max_epochs=2)
        norms[optimizer] = float(made.text_context.text.weight.norm())
    fresh = float(system().text_context.text.weight.norm())
    assert norms["adamw"] < 0.7 * fresh
    assert norms["adam"] != pytest.approx(norms["adamw"], rel=0.05)


def test_ema_is_the_moving_mean_of_the_weights(tmp_path):
    watch = Watch()
    made, history = train(tmp_path, watch=watch, averaging="ema", averaging_decay=0.8)
    mean = watch.weights[0]
    for step, weight in enumerate(watch.weights):
        mean = weight if step == 0 else 0.8 * mean + 0.2 * weight
        if step % 4 == 3:
            torch.testing.assert_close(watch.scored[step // 4], mean)
    # The kept model is the average that was scored, not the weights of that step.
    kept = best_epoch(history)
    assert torch.equal(made.classifier.weight, watch.scored[history.index(dict(kept))])
    assert predict(made, DEV, EMOTIONS).metrics()["weighted_f1"] == pytest.approx(kept["dev/weighted_f1"])


def test_swa_is_the_plain_mean_of_the_epochs_after_its_start(tmp_path):
    watch = Watch()
    train(tmp_path, watch=watch, averaging="swa", averaging_start=1)
    ends = watch.weights[3::4]
    torch.testing.assert_close(watch.scored[0], ends[0])  # not begun yet: dev sees the weights as they are
    torch.testing.assert_close(watch.scored[1], (ends[0] + ends[1]) / 2)
    torch.testing.assert_close(watch.scored[3], torch.stack(ends).mean(0))


class Killed(Callback):
    def on_train_epoch_start(self, trainer, module) -> None:
        if trainer.current_epoch == 2:
            raise KeyError("killed")


def test_a_resumed_run_with_every_setting_is_bit_equal(tmp_path):
    everything = QUICK.model_copy(
        update={
            "averaging": "ema", "schedule": "cosine", "warmup": 0.2, "optimizer": "adamw", "label_smoothing": 0.1,
            "focal_gamma": 1.0, "class_weights": True, "class_weight_power": 0.5, "monitor": "weighted_f1",
            "clip_norm": 1.0,
        }
    )  # fmt: skip
    arguments = {"emotions": EMOTIONS, "training": everything}
    made, again, settings = None, None, {"pre_norm": True, "speaker_embedding": True, "supervised": 0.1}
    made = system(**settings)
    undisturbed = fit(made, TRAIN, DEV, folder=tmp_path / "undisturbed", **arguments)
    with pytest.raises(KeyError):
        fit(system(**settings), TRAIN, DEV, folder=tmp_path / "disturbed", callbacks=[Killed()], **arguments)
    again = system(**settings)
    assert fit(again, TRAIN, DEV, folder=tmp_path / "disturbed", **arguments) == undisturbed
    for (name, value), other in zip(made.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(value, other), name


def test_the_epoch_can_be_chosen_by_weighted_f1(tmp_path):
    made, history = train(tmp_path, monitor="weighted_f1", learning_rate=0.03, max_epochs=20, patience=3)
    kept = best_epoch(history, "weighted_f1")
    assert kept["dev/weighted_f1"] == max(epoch["dev/weighted_f1"] for epoch in history)
    assert predict(made, DEV, EMOTIONS).metrics()["weighted_f1"] == pytest.approx(kept["dev/weighted_f1"])
    assert len(history) < 20
    assert len(history) - 1 - history.index(dict(kept)) == 3
