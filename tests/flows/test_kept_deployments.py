"""`apply` on a real server: what people changed stays, what a new version brings comes, sources have their own."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.flows.conftest import BIN, ROOT, Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
ONCE = ("id", "created", "updated", "last_polled", "status")  # of a deployment and its schedules, new with each upsert
CHANGE = """
import asyncio, json, sys
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentUpdate

async def change(name, values):
    async with get_client() as client:
        found = await client.read_deployment_by_name(name)
        await client.update_deployment(found.id, DeploymentUpdate(**values))
asyncio.run(change(sys.argv[1], json.loads(sys.argv[2])))
"""
ALL = """
import asyncio
from prefect.client.orchestration import get_client

async def read():
    async with get_client() as client:
        found = await client.read_deployments()
        print("[" + ",".join(one.model_dump_json() for one in found) + "]")
asyncio.run(read())
"""


def apply(stack: Stack, *more: str) -> str:
    return stack.run(sys.executable, ROOT / "infra" / "deployments.py", "apply", *more, timeout=300)


def change(stack: Stack, name: str, **values: object) -> None:
    stack.run(sys.executable, "-c", CHANGE, name, json.dumps(values))


def deployments(stack: Stack) -> dict[str, Any]:
    """Name -> all of a deployment that says something."""
    return by_name(stack.run(sys.executable, "-c", ALL))


def by_name(told: str) -> dict[str, Any]:
    return {one["name"]: _without_ids(one) for one in json.loads(told)}


def _without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        gone = {*ONCE, *(name for name in value if name.endswith("_id"))}
        return {name: _without_ids(one) for name, one in value.items() if name not in gone}
    return [_without_ids(one) for one in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def deployed(stack: Stack) -> Stack:
    apply(stack)
    return stack


def test_what_people_changed_on_the_server_is_kept_and_said(deployed: Stack) -> None:
    fresh = deployments(deployed)
    assert "kept" not in apply(deployed)
    assert deployments(deployed) == fresh

    source = {"url": "/data/calls", "quiet_minutes": 5}
    hourly = {"schedule": {"cron": "0 * * * *", "timezone": "Europe/Berlin"}, "active": True, "slug": "nightly"}
    every = {"schedule": {"interval": 900, "anchor_date": "2026-01-01T00:00:00Z"}, "active": False, "slug": "often"}
    loose = {"enforce_parameter_schema": False}  # as an earlier version, which knew other parameters
    change(
        deployed, "score-corpus/score-corpus",
        parameters={"purpose": "personal", "source": source, "bygone": 1}, schedules=[hourly, every],
        concurrency_limit=2, concurrency_options={"collision_strategy": "CANCEL_NEW"}, tags=["hbaf", "scoring", "mine"],
        job_variables={"env": {"HBAF_SHOW_NAMES": "1"}}, **loose,
    )  # fmt: skip
    change(deployed, "monitor-scores/monitor-scores", paused=True)
    # The server would refuse these whole.
    change(deployed, "promote-hbaf/promote-hbaf", parameters={"corpus": {"reader": "bygone"}}, **loose)
    changed = deployments(deployed)
    said = apply(deployed)
    after = deployments(deployed)

    promotion = after.pop("promote-hbaf")
    assert changed.pop("promote-hbaf")["parameters"] == {"corpus": {"reader": "bygone"}}
    assert (promotion["paused"], promotion["parameters"]) == (True, fresh["promote-hbaf"]["parameters"])
    assert "PAUSED: promote-hbaf: its parameters do not fit this version" in said
    assert '{"corpus": {"reader": "bygone"}}' in said

    theirs, ours = changed["score-corpus"], after["score-corpus"]
    assert theirs["parameters"].pop("bygone") == 1
    assert "dropped: score-corpus: parameter bygone" in said
    assert theirs.pop("job_variables") == {"env": {"HBAF_SHOW_NAMES": "1"}}
    assert ours.pop("job_variables")["env"] == fresh["score-corpus"]["job_variables"]["env"] | {"HBAF_SHOW_NAMES": "1"}
    for one in (theirs, ours):
        one["schedules"].sort(key=str)
    assert after == changed
    assert 'kept: score-corpus: parameter purpose "personal" (prefect.yaml: "research")' in said
    assert "kept: score-corpus: parameter corpus nothing" in said
    assert "kept: score-corpus: schedules" in said
    assert "kept: monitor-scores: paused true (prefect.yaml: false)" in said

    apply(deployed, "--reset", "score-corpus", "monitor-scores", "promote-hbaf")
    reset = deployments(deployed)
    for name in ("score-corpus", "monitor-scores", "promote-hbaf"):
        for setting in ("parameters", "schedules", "paused", "global_concurrency_limit", "concurrency_options"):
            assert reset[name][setting] == fresh[name][setting], (name, setting)


def test_a_scheduled_source_is_a_deployment_of_its_own(deployed: Stack, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    calls.mkdir()
    hbaf = lambda *words: deployed.run(BIN / "hbaf", "schedule", *words)  # noqa: E731  # one shape of call, many times
    said = hbaf("add", str(calls), "--purpose", "research", "--every", "1h", "--set", "source.quiet_minutes=0")
    assert "score calls: made, 1h" in said
    made = deployments(deployed)["score calls"]
    assert made["parameters"] == {"purpose": "research", "source": {"url": str(calls), "quiet_minutes": 0.0}}
    assert made["entrypoint"] == "flows.score_corpus.score_corpus"
    assert made["work_pool_name"] == "local"
    assert (made["global_concurrency_limit"]["limit"], made["concurrency_options"]["collision_strategy"]) == (
        1, "CANCEL_NEW",
    )  # fmt: skip
    (when,) = made["schedules"]
    assert (when["schedule"]["interval"], when["active"], when["slug"]) == (3600.0, True, "every")

    # `make up` and `make deploy` change nothing.
    before = deployments(deployed)
    assert "score calls" not in apply(deployed)
    assert deployments(deployed) == before

    # What somebody changed on the server stays, until the verb asks for something else.
    nightly = {"schedule": {"cron": "0 3 * * *", "timezone": "UTC"}, "active": True, "slug": "every"}
    runner = {"kind": "dask"}
    change(
        deployed, "score-corpus/score calls", schedules=[nightly], paused=True,
        parameters={**made["parameters"], "runner": runner},
    )  # fmt: skip
    before = deployments(deployed)
    apply(deployed)
    assert deployments(deployed) == before
    assert "paused on the Prefect server" in hbaf("list")
    said = hbaf("add", str(calls), "--channels", "0=agent,1=customer")
    assert "score calls: source.channels None -> {'agent': 0, 'customer': 1}" in said
    now = deployments(deployed)["score calls"]
    assert now["parameters"]["runner"] == runner
    assert now["parameters"]["source"]["channels"] == {"agent": 0, "customer": 1}
    assert (now["schedules"][0]["schedule"]["cron"], now["paused"]) == ("0 3 * * *", True)

    hbaf("pause", "calls")
    hbaf("resume", "calls")
    now = deployments(deployed)["score calls"]
    assert (now["paused"], [one["active"] for one in now["schedules"]]) == (False, [True])
    assert "'0 3 * * *' -> '10m'" in hbaf("add", str(calls), "--every", "10m")
    listed = hbaf("list")
    assert "every 10m for research, active, next" in listed or "every 10m for research, active" in listed
    assert "score calls: removed" in hbaf("remove", "calls")
    assert "score calls" not in deployments(deployed)
