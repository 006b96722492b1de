"""Wall time and peak memory of each stage on the example corpus, and seconds an epoch in fp32 and bf16."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

HBAF = Path(sys.executable).parent / "hbaf"
STAGES = {
    "help": ["--help"],
    "validate (makes the corpus)": ["validate", "example", "--quiet"],
    "extract": ["extract", "example", "--recipe", "demo", "--quiet"],
    "train": ["train", "example", "--recipe", "demo", "--quiet"],
    "train, bf16": ["train", "example", "--recipe", "demo", "--quiet", "--set", "training.precision=bf16"],
    "promote": ["promote", "example", "--quiet"],
    "score": ["score", "example", "--purpose", "research", "--quiet"],
}


@pytest.mark.benchmark
@pytest.mark.timeout(1800)
def test_stages(tmp_path: Path) -> None:
    environment = {**os.environ, "HBAF_HOME": str(tmp_path / "home"), "OMP_WAIT_POLICY": "PASSIVE"}
    print(f"\n{'stage':30} {'seconds':>8} {'peak MB':>8}")
    for name, arguments in STAGES.items():
        began = time.perf_counter()
        process = subprocess.Popen([HBAF, *arguments], env=environment, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)  # the largest single process of the stage
        print(f"{name:30} {time.perf_counter() - began:8.1f} {usage.ru_maxrss / 1024:8.0f}")
        assert os.waitstatus_to_exitcode(status) == 0, name


@pytest.mark.benchmark
def test_seconds_an_epoch_and_parameters(tmp_path: Path) -> None:
    """The paper's width against the demo's, on dialogues as long as the example's."""
    import numpy as np
    import torch

    from hbaf.model.build import build_hbaf
    from hbaf.parameters import TrainingParameters, from_recipe
    from hbaf.training.data import Dialogue
    from hbaf.training.fit import fit, seed_everything

    random = np.random.default_rng(0)

    def dialogue(number: int) -> Dialogue:
        turns = int(random.integers(6, 13))
        return Dialogue(
            dialogue_id=str(number),
            utterance_ids=tuple(map(str, range(turns))),
            audio=random.normal(size=(turns, 512)).astype(np.float32),
            text=random.normal(size=(turns, 384)).astype(np.float32),
            commonsense=None,
            has_audio=np.ones(turns, dtype=bool),
            has_text=np.ones(turns, dtype=bool),
            speaker=np.arange(turns) % 2,
            label=random.integers(0, 6, turns),
        )

    dialogues = [dialogue(number) for number in range(224)]
    for recipe in ("demo", "paper"):
        _, model, training = from_recipe(recipe)
        for precision in ("fp32", "bf16"):
            seed_everything(0)
            system = build_hbaf(model, audio_dim=512, text_dim=384, commonsense_dim=None, emotions=6)
            epochs = 3 if recipe == "demo" else 1
            values = {**training.model_dump(), "max_epochs": epochs, "precision": precision}
            began = time.perf_counter()
            fit(
                system,
                dialogues,
                dialogues[:48],
                emotions=tuple("abcdef"),
                training=TrainingParameters(**values),
                folder=tmp_path / f"{recipe}-{precision}",
            )
            parameters = sum(p.numel() for p in system.parameters())
            seconds = (time.perf_counter() - began) / epochs
            print(f"\n{recipe:6} {precision}: {parameters / 1e6:.2f} M parameters, {seconds:.1f} s an epoch", end="")
    print(f" ({torch.get_num_threads()} threads)")
