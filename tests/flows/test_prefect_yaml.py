"""prefect.yaml against Prefect's own models: what `prefect deploy` would silently skip is an error here."""

import importlib
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Flow
from prefect.cli.deploy._models import PrefectYamlModel
from prefect.utilities.callables import parameter_schema

ROOT = Path(__file__).parents[2]
IN_PROCESS = {"demo"}  # never deployed: it is one command on one desk
CONTENT: dict[str, Any] = yaml.safe_load((ROOT / "prefect.yaml").read_text())
DEPLOYMENTS = CONTENT["deployments"]
names = pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=[each["name"] for each in DEPLOYMENTS])


def flow_of(deployment: dict[str, Any]) -> Flow[..., Any]:
    module, _, name = deployment["entrypoint"].rpartition(".")
    found = getattr(importlib.import_module(module), name)
    assert isinstance(found, Flow)
    return found


def test_prefect_understands_the_file() -> None:
    model = PrefectYamlModel.model_validate(CONTENT)
    assert len(model.deployments) == len(DEPLOYMENTS)
    assert model.pull, "without pull steps Prefect makes up its own"


def test_every_flow_is_deployed_once_at_least() -> None:
    """By the text of the files: a flow that nobody added here must fail this."""
    written = {
        name
        for file in (ROOT / "flows").glob("*.py")
        for name in re.findall(r'@flow\(name="([\w-]+)"', file.read_text())
    }
    assert written - IN_PROCESS == {flow_of(deployment).name for deployment in DEPLOYMENTS}


def test_names_are_unique_so_that_bare_names_work() -> None:
    assert len({deployment["name"] for deployment in DEPLOYMENTS}) == len(DEPLOYMENTS)


@names
def test_a_deployment_says_what_it_is_and_where_it_runs(deployment: dict[str, Any]) -> None:
    assert set(deployment) <= {
        "name", "entrypoint", "description", "tags", "parameters", "work_pool", "concurrency_limit", "schedules",
    }, "Prefect ignores keys that it does not know"  # fmt: skip
    assert deployment["description"].endswith(".")
    assert "hbaf" in deployment["tags"]
    pool = CONTENT["definitions"]["pools"][deployment["work_pool"]["name"]]
    assert deployment["work_pool"]["work_queue_name"] in pool["queues"]


@names
def test_parameters_fit_the_flow(deployment: dict[str, Any]) -> None:
    if _complete(deployment):
        flow_of(deployment).validate_parameters(deployment.get("parameters", {}))
    assert set(deployment.get("parameters", {})) <= set(flow_of(deployment).parameters.properties)


def _complete(deployment: dict[str, Any]) -> bool:
    """A worker's study is known only when it is started."""
    required = set(flow_of(deployment).parameters.required or [])
    return required <= set(deployment.get("parameters", {}))


@names
def test_the_form_describes_every_parameter(deployment: dict[str, Any]) -> None:
    schema = parameter_schema(flow_of(deployment))
    bare = [name for name, said in schema.properties.items() if not said.get("description")]
    assert not bare, f"no description in the flow's docstring: {bare}"


def test_a_prefix_comes_before_pools_and_deployments_and_changes_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "infra"))
    monkeypatch.delitem(sys.modules, "deployments", raising=False)
    read = importlib.import_module("deployments").read
    assert set(read("team-")["definitions"]["pools"]) == {"team-local", "team-gpu"}
    for plain, named in zip(read("")["deployments"], read("team-")["deployments"], strict=True):
        assert named["name"] == f"team-{plain['name']}"
        assert named["work_pool"]["name"] == f"team-{plain['work_pool']['name']}"
        assert named["entrypoint"] == plain["entrypoint"]
