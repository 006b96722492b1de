"""Pools, queues and deployments of prefect.yaml on whichever Prefect server the environment or the profile names.

    python infra/deployments.py apply                  # what `make deploy` runs
    HBAF_PREFIX=team- python infra/deployments.py apply   # team-train-hbaf on the pool team-local

What is there already is kept: a pool's and a queue's own settings are never overwritten, deployments are updated.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import automations
import yaml

from hbaf.home import QUIET_ENVIRONMENT

ROOT = Path(__file__).resolve().parents[1]
LEFT_OVER = ("RUNNING", "PENDING", "CANCELLING")  # states of a run that a live worker would move on


def read(prefix: str, file: Path = ROOT / "prefect.yaml") -> dict[str, Any]:
    """prefect.yaml with a prefix before the names of deployments and pools.

    Flow names stay: `train-hbaf/team-train-hbaf`. Flows find their helpers by the same prefix, which each run gets in
    its environment.
    """
    content: dict[str, Any] = yaml.safe_load(file.read_text())
    pools = content["definitions"]["pools"]
    content["definitions"]["pools"] = {prefix + name: settings for name, settings in pools.items()}
    for deployment in content["deployments"]:
        deployment["name"] = prefix + deployment["name"]
        pool = dict(deployment["work_pool"])  # YAML anchors share one mapping
        pool["name"] = prefix + pool["name"]
        # Signs of life, so that a run whose worker died does not stay `Running` (automations.py).
        environment = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(automations.HEARTBEAT)}
        pool["job_variables"] = {"env": environment | ({"HBAF_PREFIX": prefix} if prefix else {})}
        deployment["work_pool"] = pool
    return content


async def make_pools(pools: dict[str, dict[str, Any]]) -> None:
    """Makes the pools and queues that are missing."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectNotFound
    from prefect.workers.process import ProcessWorker

    async with get_client() as client:
        for name, settings in pools.items():
            try:
                await client.read_work_pool(name)
            except ObjectNotFound:
                template = ProcessWorker.get_default_base_job_template()
                made = WorkPoolCreate(
                    name=name, type="process", description=settings["description"], base_job_template=template
                )
                await client.create_work_pool(made)
            for queue, limits in settings["queues"].items():
                try:
                    await client.read_work_queue_by_name(queue, work_pool_name=name)
                except ObjectNotFound:
                    await client.create_work_queue(queue, work_pool_name=name, **(limits or {}))


def deploy(content: dict[str, Any]) -> None:
    """`prefect deploy --all` on this content.

    Raises:
        subprocess.CalledProcessError: Prefect refused; what it printed is in `stdout`.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "prefect.yaml"
        file.write_text(yaml.safe_dump(content, sort_keys=False))
        command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
        subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


async def crash_left_runs() -> int:
    """Marks the runs that no worker looks after any more as crashed; their number.

    A worker and its flow killed together leave the run `Running` for ever, and its concurrency slot taken. Only for a
    server of our own whose workers are all stopped; flows that somebody runs by hand are left alone.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.states import Crashed, State

    async with get_client() as client:
        wanted = FlowRunFilter.model_validate({"state": {"type": {"any_": list(LEFT_OVER)}}})
        found = await client.read_flow_runs(flow_run_filter=wanted)
        runs = [run for run in found if run.deployment_id or run.parent_task_run_id]
        for run in runs:
            state: State[None] = Crashed(
                message="The stack was stopped while this ran. Start it again: nothing done is lost."
            )
            await client.set_flow_run_state(run.id, state, force=True)
    return len(runs)


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["apply", "sweep"])
    parser.add_argument("--prefix", default=os.environ.get("HBAF_PREFIX", ""), help="default: HBAF_PREFIX, or none")
    arguments = parser.parse_args()
    for name, value in QUIET_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if arguments.verb == "sweep":
        print(asyncio.run(crash_left_runs()))
        return 0
    content = read(arguments.prefix)
    asyncio.run(make_pools(content["definitions"]["pools"]))
    try:
        deploy(content)
    except subprocess.CalledProcessError as error:
        print(error.stdout, file=sys.stderr)
        return 2
    watched = asyncio.run(automations.make_automations(arguments.prefix))
    print("watched: " + ", ".join(watched))
    print("deployed: " + ", ".join(deployment["name"] for deployment in content["deployments"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
