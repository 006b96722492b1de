"""A golden training run: fixed seed, tiny data with a known answer; and what a resumed or restarted run keeps."""

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback

from hbaf.model.build import build_hbaf
from hbaf.model.hbaf import HBAF
from hbaf.parameters import ModelParameters, TrainingParameters
from hbaf.training.data import Dialogue, LengthBuckets
from hbaf.training.evaluate import predict
from hbaf.training.fit import best_epoch, fit, inverse_frequencies, seed_everything

EMOTIONS = ("a", "b")


def dialogues(count: int, seed: int) -> list[Dialogue]:
    """Audio tells the label of even turns, text that of odd ones."""
    random = np.random.default_rng(seed)
    made = []
    for number in range(count):
        turns = int(random.integers(2, 7))
        label = random.integers(0, 2, turns)
        sign = (2 * label - 1)[:, None].astype(np.float32)
        even = (np.arange(turns) % 2 == 0)[:, None]
        made.append(
            Dialogue(
                dialogue_id=str(number),
                utterance_ids=tuple(f"{number}/{turn}" for turn in range(turns)),
                audio=(np.where(even, sign, 0) + 0.3 * random.normal(size=(turns, 6))).astype(np.float32),
                text=(np.where(even, 0, sign) + 0.3 * random.normal(size=(turns, 5))).astype(np.float32),
                commonsense=None,
                has_audio=np.ones(turns, dtype=bool),
                has_text=np.ones(turns, dtype=bool),
                speaker=np.arange(turns) % 2,
                label=label.astype(np.int64),
            )
        )
    return made


GOLDEN = [0.6247, 0.5643, 0.5053, 0.4444, 0.3629, 0.3238, 0.2553, 0.2186, 0.1605, 0.1300]

TRAIN, DEV = dialogues(48, 0), dialogues(16, 1)
QUICK = TrainingParameters(learning_rate=3e-3, batch_dialogues=8, max_epochs=10, patience=10, threads=1, device="cpu")
OVERFITS = QUICK.model_copy(update={"max_epochs": 60, "patience": 5, "learning_rate": 0.05})


def system(variant: str = "bimodal", seed: int = 0) -> HBAF:
    seed_everything(seed)
    narrow = ModelParameters(variant=variant, dim=16, heads=2, encoder_layers=1, feedforward=32, conv_channels=8)
    return build_hbaf(narrow, audio_dim=6, text_dim=5, commonsense_dim=None, emotions=2)


def train(folder, training: TrainingParameters = QUICK, variant: str = "bimodal", seed: int = 0, callbacks=()):
    made = system(variant, seed)
    return made, fit(made, TRAIN, DEV, emotions=EMOTIONS, training=training, folder=folder, callbacks=callbacks)


def test_golden_run(tmp_path):
    """The loss of every epoch at a fixed seed. Moved only on purpose, with the reason in the commit."""
    _, history = train(tmp_path)
    losses = [epoch["dev/loss"] for epoch in history]
    assert losses == pytest.approx(GOLDEN, abs=2e-3)
    assert best_epoch(history)["dev/weighted_f1"] > 0.9


def test_each_stream_alone_knows_half(tmp_path):
    for variant in ("audio", "text"):
        _, history = train(tmp_path / variant, variant=variant)
        assert best_epoch(history)["dev/weighted_f1"] < 0.9


def test_the_kept_weights_are_those_of_the_lowest_validation_loss(tmp_path):
    made, history = train(tmp_path)
    found = predict(made, DEV, EMOTIONS)
    kept = best_epoch(history)
    truth = torch.tensor(found.truth)
    loss = torch.nn.functional.nll_loss(torch.tensor(found.probability).log(), truth)
    assert float(loss) == pytest.approx(kept["dev/loss"], abs=1e-5)
    assert found.metrics()["weighted_f1"] == pytest.approx(kept["dev/weighted_f1"])


def test_equal_seeds_give_equal_runs_and_others_do_not(tmp_path):
    _, first = train(tmp_path / "1")
    _, again = train(tmp_path / "2")
    _, other = train(tmp_path / "3", seed=1)
    assert first == again
    assert first != other


def test_patience_ends_training(tmp_path):
    _, history = train(tmp_path, OVERFITS)
    assert len(history) < 60
    assert len(history) - 1 - history.index(dict(best_epoch(history))) == OVERFITS.patience


def test_bf16_trains_too(tmp_path):
    _, history = train(tmp_path, QUICK.model_copy(update={"precision": "bf16"}))
    assert best_epoch(history)["dev/weighted_f1"] > 0.85


def test_class_weights_have_mean_one_over_utterances():
    weights = inverse_frequencies(TRAIN, 3).numpy()
    labels = np.concatenate([d.label for d in TRAIN])
    assert weights[labels].mean() == pytest.approx(1)
    assert weights[2] == 0  # a class that train lacks


class Killed(Callback):
    """Ends training as a kill would: nothing is written after it."""

    def __init__(self, epoch: int, hook: str):
        def stop(trainer, module, *batch):
            if trainer.current_epoch == epoch:
                raise KeyError("killed")

        setattr(self, hook, stop)


@pytest.mark.parametrize(
    ("epoch", "hook"), [(0, "on_train_batch_end"), (4, "on_train_epoch_start"), (7, "on_validation_end")]
)
def test_a_resumed_run_is_bit_equal(tmp_path, epoch, hook):
    made, undisturbed = train(tmp_path / "undisturbed")
    disturbed = system()
    arguments = {"emotions": EMOTIONS, "training": QUICK, "folder": tmp_path / "disturbed"}
    with pytest.raises(KeyError):
        fit(disturbed, TRAIN, DEV, callbacks=[Killed(epoch, hook)], **arguments)
    again = system()
    assert fit(again, TRAIN, DEV, **arguments) == undisturbed
    for (name, value), other in zip(made.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(value, other), name


class Begun(Callback):
    """Notes the epochs that are trained."""

    def __init__(self):
        self.epochs = []

    def on_train_batch_start(self, trainer, module, batch, index):
        if index == 0:
            self.epochs.append(trainer.current_epoch)


def test_a_run_killed_after_its_last_epoch_trains_no_further(tmp_path):
    begun = Begun()
    _, history = train(tmp_path, OVERFITS)
    _, again = train(tmp_path, OVERFITS, callbacks=[begun])
    assert again == history
    assert begun.epochs == []


def test_no_epoch_is_trained_twice_though_others_were_better(tmp_path):
    _, history = train(tmp_path / "undisturbed", OVERFITS)
    killed = history.index(dict(best_epoch(history))) + 4  # three epochs after the best
    begun = Begun()
    with pytest.raises(KeyError):
        train(tmp_path / "disturbed", OVERFITS, callbacks=[Killed(killed, "on_train_epoch_start")])
    _, again = train(tmp_path / "disturbed", OVERFITS, callbacks=[begun])
    assert again == history
    assert begun.epochs == [*range(killed, len(history))]


def test_every_epoch_has_other_neighbours(tmp_path, monkeypatch):
    """Contrastive terms compare within a batch: the same batches in every epoch would teach them less."""
    seen = []
    whole = LengthBuckets.__iter__

    def noted(self):
        batches = list(whole(self))
        if self.shuffle:
            seen.append(batches)
        return iter(batches)

    monkeypatch.setattr(LengthBuckets, "__iter__", noted)
    train(tmp_path, QUICK.model_copy(update={"max_epochs": 3}))
    assert len({str(batches) for batches in seen}) == 3
