"""The automations on a real server: made once, updated in place, and one of them really fires."""

import json
import sys
import time

from tests.flows.conftest import ROOT, Stack

MAKE = f"""
import asyncio, sys
sys.path.insert(0, {str(ROOT / "infra")!r})
import automations
print(asyncio.run(automations.make_automations()))
"""
EMIT = """
from prefect.events import emit_event
from prefect.events.worker import EventsWorker
emit_event("hbaf.scores.changed", resource={"prefect.resource.id": "hbaf.model.test"})
EventsWorker.instance().drain()
"""
SEEN = """
import asyncio
from prefect.client.orchestration import get_client
async def seen():
    async with get_client() as client:
        wanted = {"filter": {"event": {"prefix": ["prefect.automation"]}}}
        found = await client._client.post("/events/filter", json=wanted)
        print(sorted({event["event"] for event in found.json()["events"]}))
asyncio.run(seen())
"""


def test_automations_are_made_once_and_fire(stack: Stack) -> None:
    for _ in range(2):
        stack.run(sys.executable, "-c", MAKE)
    listed = json.loads(stack.prefect("automation", "inspect", "hbaf: dead worker", "--json"))
    assert listed if isinstance(listed, dict) else len(listed) == 1
    for name in ("missed night", "failure", "quarantine", "changed scores"):
        assert f"hbaf: {name}" in stack.prefect("automation", "inspect", f"hbaf: {name}")
    time.sleep(3)  # the server reads its automations now and then
    stack.run(sys.executable, "-c", EMIT)
    for _ in range(30):
        if "prefect.automation.triggered" in stack.run(sys.executable, "-c", SEEN):
            return
        time.sleep(1)
    raise AssertionError("the event came and nothing was triggered")
