"""A golden training run: fixed seed, tiny data with a known answer; and what a resumed or restarted run keeps."""

import numpy as np
import pytest
import torch

from hbaf.model.hbaf import HBAF
from hbaf.parameters import TrainingParameters
from hbaf.training.data import Dialogue
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


GOLDEN = [0.6247, 0.5635, 0.5030, 0.4076, 0.3426, 0.2791, 0.2301, 0.1824, 0.1482, 0.1128]

TRAIN, DEV = dialogues(48, 0), dialogues(16, 1)
QUICK = TrainingParameters(learning_rate=3e-3, batch_dialogues=8, max_epochs=10, patience=10, threads=1, device="cpu")


def system(variant: str = "bimodal", seed: int = 0) -> HBAF:
    seed_everything(seed)
    return HBAF(
        audio_dim=6, text_dim=5, commonsense_dim=None, emotions=2, variant=variant, dim=16, heads=2, encoder_layers=1,
        feedforward=32, conv_channels=8,
    )  # fmt: skip


def train(folder, training: TrainingParameters = QUICK, variant: str = "bimodal", seed: int = 0):
    made = system(variant, seed)
    return made, fit(made, TRAIN, DEV, emotions=EMOTIONS, training=training, folder=folder)


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
    quick = QUICK.model_copy(update={"max_epochs": 60, "patience": 2, "learning_rate": 0.05})
    _, history = train(tmp_path, quick)
    assert len(history) < 60
    assert len(history) - 1 - history.index(dict(best_epoch(history))) == 2


def test_bf16_trains_too(tmp_path):
    _, history = train(tmp_path, QUICK.model_copy(update={"precision": "bf16"}))
    assert best_epoch(history)["dev/weighted_f1"] > 0.85


def test_class_weights_have_mean_one_over_utterances():
    weights = inverse_frequencies(TRAIN, 3).numpy()
    labels = np.concatenate([d.label for d in TRAIN])
    assert weights[labels].mean() == pytest.approx(1)
    assert weights[2] == 0  # a class that train lacks
