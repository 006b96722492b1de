"""Long work in a task is a progress artifact of its run on a real Prefect server; what is short has none."""

import json
import sys

from tests.flows.conftest import Stack

FLOW = """
import json
import sys
from prefect import flow
from prefect.client.orchestration import get_client
import flows.progress
from flows.private import stage
from hbaf.progress import under_way

def work(title):
    with under_way(title, 4, shown=False) as advance:
        for _ in range(4):
            advance()

@flow
def counting():
    stage(work)("short")
    flows.progress.SECONDS_BETWEEN = 0.0
    stage(work)("long")

counting()
with get_client(sync_client=True) as client:
    found = client.read_artifacts()
print(json.dumps([(one.type, one.description, one.data, one.task_run_id is not None) for one in found]))
"""


def test_long_work_is_an_artifact_of_its_task(stack: Stack) -> None:
    shown = json.loads(stack.run(sys.executable, "-c", FLOW).splitlines()[-1])
    # Other flows' work is there too: the server is that of all tests here.
    assert [one for one in shown if one[1] in ("short", "long")] == [["progress", "long", 100.0, True]]


AWAY = """
    flows.progress.create_progress_artifact = away
    stage(work)("unheard")

def away(progress, description):
    raise ConnectionError("the server is away")
"""


def test_a_server_that_is_away_does_not_end_the_work(stack: Stack) -> None:
    flow = FLOW.replace('    stage(work)("long")\n', AWAY)
    shown = json.loads(stack.run(sys.executable, "-c", flow).splitlines()[-1])
    assert "unheard" not in [description for _, description, _, _ in shown]
