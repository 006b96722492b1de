"""prefect.yaml against a real server and a real worker."""

import json
import sys
import time

import pytest

from tests.flows.conftest import BIN, ROOT, Stack, stop

pytestmark = pytest.mark.long

FLOWS = {"validate-corpus", "extract-features", "train-hbaf", "promote-hbaf", "score-corpus"}
PARAMETERS = """
import json
from hbaf.home import prepare_environment
prepare_environment()
from hbaf.registry.tracking import EXPERIMENT, MlflowClient, experiment_id
(run,) = MlflowClient().search_runs([experiment_id(EXPERIMENT)], "attributes.status = 'FINISHED'", max_results=1)
print(json.dumps(run.data.params))
"""


@pytest.fixture(scope="module")
def deployed(stack: Stack) -> Stack:
    stack.run(sys.executable, ROOT / "infra" / "deployments.py", "apply", timeout=240)
    return stack


def flow_runs(stack: Stack, deployment: str) -> list[dict]:
    return stack.ask("/flow_runs/filter", deployments={"name": {"any_": [deployment]}})


def test_every_flow_is_deployed(deployed: Stack) -> None:
    listed = deployed.prefect("deployment", "ls")
    for name in FLOWS:
        assert f"{name}/{name}" in listed


def test_a_scheduled_run_really_appears(deployed: Stack) -> None:
    """With sqlalchemy 2.1 manual runs work and the scheduler fails in silence: only a run that appears proves it."""
    deployed.prefect("deployment", "schedule", "create", "validate-corpus/validate-corpus", "--interval", "3600")
    for _ in range(60):
        runs = flow_runs(deployed, "validate-corpus")
        if runs:
            break
        time.sleep(1)
    assert {run["state_type"] for run in runs} == {"SCHEDULED"}
    deployed.prefect("deployment", "schedule", "clear", "-y", "validate-corpus/validate-corpus")


@pytest.mark.timeout(420)
def test_a_worker_trains(deployed: Stack) -> None:
    worker = deployed.start(BIN / "prefect", "worker", "start", "--pool", "local", "--name", "tester")
    try:
        corpus = '{"reader": "example", "dialogues": 12}'
        given = {
            "corpus": corpus,
            "training": '{"max_epochs": 1, "batch_dialogues": 4}',
            "model": '{"variant": "text"}',
        }
        asked = [part for name, value in given.items() for part in ("-p", f"{name}={value}")]
        deployed.prefect("deployment", "run", "train-hbaf/train-hbaf", *asked)
        for _ in range(350):
            run = flow_runs(deployed, "train-hbaf")[0]
            if run["state_type"] in ("COMPLETED", "FAILED", "CRASHED"):
                break
            time.sleep(1)
        log = deployed.prefect("flow-run", "logs", run["id"]) if run["state_type"] != "COMPLETED" else ""
        assert run["state_type"] == "COMPLETED", log
        # The deployment's recipe `demo` with what was given changed, not the paper's widths under its name.
        logged = json.loads(deployed.run(sys.executable, "-c", PARAMETERS))
        told = {"variant": "text", "dim": "96", "dropout": "0.4"}
        assert {name: logged[f"model.{name}"] for name in told} == told
        assert (logged["training.recipe"], logged["training.learning_rate"]) == ("demo", "0.001")
        assert (logged["training.max_epochs"], logged["features.scale_text"]) == ("1", "True")
    finally:
        stop(worker)
