"""A deployment by its own name; full names as ever."""

import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
from prefect.plugins import HookContext

from flows import prefect_plugin
from tests.flows.conftest import BIN, ROOT, Stack

CORPUS = 'corpus={"reader": "example", "dialogues": 12}'


@pytest.fixture(scope="module")
def deployed(stack: Stack) -> Iterator[Stack]:
    stack.run(sys.executable, ROOT / "infra" / "deployments.py", "apply", timeout=240)
    stack.run(sys.executable, ROOT / "infra" / "deployments.py", "apply", timeout=240, HBAF_PREFIX="team-")
    yield stack
    stack.prefect("--no-prompt", "deployment", "delete", "--all")  # and with them the runs that no worker took


@pytest.mark.long
def test_a_bare_name_runs_the_deployment(deployed: Stack) -> None:
    said = deployed.prefect("deployment", "run", "train-hbaf", "-p", CORPUS)
    assert "train-hbaf/train-hbaf" in said
    assert "Created flow run" in said


@pytest.mark.long
def test_a_full_name_works_as_ever(deployed: Stack) -> None:
    assert "Created flow run" in deployed.prefect("deployment", "run", "train-hbaf/train-hbaf", "-p", CORPUS)


@pytest.mark.long
def test_a_prefix_names_pools_and_deployments(deployed: Stack) -> None:
    listed = deployed.prefect("deployment", "ls")
    assert "train-hbaf/team-train-hbaf" in listed
    assert "train-hbaf/train-hbaf " in listed
    assert "team-local" in deployed.prefect("work-pool", "ls")
    assert '"HBAF_PREFIX": "team-"' in deployed.prefect(
        "deployment", "inspect", "train-hbaf/team-train-hbaf", "--output", "json"
    )


@pytest.mark.long
def test_an_unknown_name_says_what_to_do(deployed: Stack) -> None:
    command = [BIN / "prefect", "deployment", "run", "train-hbap"]
    done = subprocess.run(command, env=deployed.environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "prefect deployment ls" in done.stderr


@pytest.mark.parametrize(
    ("command", "version", "wraps"),
    [("bin/prefect", "3.8.8", True), ("bin/prefect", "3.9.0", False), ("python", "3.8.8", False)],
)
def test_it_acts_on_the_command_and_tested_versions_alone(
    command: str, version: str, wraps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.client.orchestration import PrefectClient

    before = PrefectClient.read_deployment_by_name
    monkeypatch.setattr(PrefectClient, "read_deployment_by_name", before)  # put back after the test
    monkeypatch.setattr(sys, "argv", [command])
    prefect_plugin.setup_environment(
        ctx=HookContext(prefect_version=version, api_url=None, logger_factory=logging.getLogger)
    )
    assert (PrefectClient.read_deployment_by_name is not before) == wraps
