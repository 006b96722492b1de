"""The home of deployed runs, and which MLflow a command talks to while the local stack runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from hbaf.home import HomeError, home_folder


def test_a_deployed_run_refuses_a_relative_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HBAF_HOME", "data")
    assert home_folder() == tmp_path / "data"  # at a desk it is what the user sees
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", "4a5c")
    with pytest.raises(HomeError, match="HBAF_HOME=data is a relative path"):
        home_folder()


@pytest.mark.parametrize(("started", "expected"), [(0.0, "http://127.0.0.1:5000"), (-3600.0, "sqlite:")])
def test_the_stacks_mlflow_is_used_while_it_runs(started: float, expected: str, home: Path) -> None:
    """The number of a process that ended may be somebody else's by now: its start time tells."""
    (home / "stack").mkdir(parents=True)
    alive = psutil.Process().create_time() + started
    service = {"name": "mlflow", "pid": os.getpid(), "started": alive, "log": ""}
    written = {"urls": {"mlflow": "http://127.0.0.1:5000"}, "services": {"mlflow": service}}
    (home / "stack" / "stack.json").write_text(json.dumps(written))
    assert _address(HBAF_HOME=str(home)).startswith(expected)


def test_a_server_that_the_environment_names_wins(home: Path) -> None:
    assert (
        _address(HBAF_HOME=str(home), MLFLOW_TRACKING_URI="https://mlflow.example.org") == "https://mlflow.example.org"
    )


def _address(**more: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    code = "import os, hbaf.home as h; h.prepare_environment(); print(os.environ['MLFLOW_TRACKING_URI'])"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**kept, **more}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
