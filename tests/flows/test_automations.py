"""The automations on a real server: made once, kept as they are, and one of them really fires and starts a training."""

import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.flows.conftest import ROOT, Stack

pytestmark = pytest.mark.long

MAKE = f"""
import asyncio, sys
sys.path.insert(0, {str(ROOT / "infra")!r})
import automations
asyncio.run(automations.make_automations())
"""
DEPLOYED = """
from flows.train_hbaf import train_hbaf
train_hbaf.from_source(source=".", entrypoint="flows/train_hbaf.py:train_hbaf").deploy(
    name="train-calls", work_pool_name="nobody", build=False, push=False, print_next_steps=False
)
"""
PUBLISH = """
from hbaf.events.event import Event, Kind
from hbaf.events.outbox import publish, waiting
for number in range(2):
    publish(Event(Kind.CHANGED, "hbaf-calls", "CHANGED: confidence", {"version": "3"}))
publish(Event(Kind.CHANGED, "hbaf-chats", "CHANGED: confidence", {"version": "1"}))
assert not waiting()
"""

PUBLISH_IN_A_FLOW = """
import sys
from prefect import flow, task
from hbaf.events.event import Event, Kind
from hbaf.events.outbox import publish, waiting
@task
def judge():
    publish(Event(Kind.REFUSED, "hbaf-calls", "version 4: not promoted"))
@flow
def promote():
    judge()
promote()
assert not waiting()
"""


def automations(stack: Stack) -> dict[str, str]:
    """Name -> id."""
    return {one["name"]: one["id"] for one in stack.ask("/automations/filter")}


def eventually(wanted: Callable[[], Any]) -> Any:
    for _ in range(120):
        if found := wanted():
            return found
        time.sleep(1)
    raise AssertionError("the event came and nothing was triggered")


def test_a_change_starts_one_training_and_automations_are_kept(stack: Stack) -> None:
    stack.ask("/work_pools/", name="nobody", type="process")
    stack.run(sys.executable, "-c", DEPLOYED)
    stack.run(sys.executable, "-c", MAKE, HBAF_RETRAIN="hbaf-calls=train-calls")
    made = automations(stack)
    names = ("missed night", "failure", "dead worker", "quarantine", "changed scores", "champion")
    assert {f"hbaf: {name}" for name in (*names, "retraining of hbaf-calls")} <= made.keys()
    stack.run(sys.executable, "-c", MAKE, HBAF_RETRAIN="hbaf-calls=train-calls")
    assert automations(stack) == made, "what an automation has counted is not lost by `make up`"
    time.sleep(3)  # the server reads its automations now and then
    stack.run(sys.executable, "-c", PUBLISH)
    runs = eventually(lambda: stack.ask("/flow_runs/filter", deployments={"name": {"any_": ["train-calls"]}}))
    seen = {"filter": {"event": {"prefix": ["hbaf.", "prefect.automation"]}}}

    def changes() -> list[dict[str, Any]]:
        happened = stack.ask("/events/filter", **seen)["events"]
        return [event for event in happened if event["event"] == "hbaf.scores.changed"]

    changed = eventually(lambda: found if len(found := changes()) >= 3 else None)
    assert sorted(event["resource"]["prefect.resource.name"] for event in changed) == ["hbaf-calls"] * 2 + [
        "hbaf-chats"
    ]
    assert changed[0]["payload"]["message"] == "CHANGED: confidence"
    stack.run(sys.executable, "-c", PUBLISH_IN_A_FLOW)
    refused = {"filter": {"event": {"name": ["hbaf.model.refused"]}}}
    [told] = eventually(lambda: stack.ask("/events/filter", **refused)["events"])
    assert told["payload"]["message"] == "version 4: not promoted"
    assert len(runs) == len(stack.ask("/flow_runs/filter", deployments={"name": {"any_": ["train-calls"]}})) == 1
    stack.run(sys.executable, "-c", MAKE)
    assert automations(stack).keys() == made.keys() - {"hbaf: retraining of hbaf-calls"}
