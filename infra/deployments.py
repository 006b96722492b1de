"""Pools, queues and deployments of prefect.yaml on whichever Prefect server the environment or the profile names.

    python infra/deployments.py apply                  # what `make deploy` runs
    HBAF_PREFIX=team- python infra/deployments.py apply   # team-train-hbaf on the pool team-local
    python infra/deployments.py apply --reset score-corpus   # its settings are those of prefect.yaml again

What is there already is kept: a pool's and a queue's own settings are never overwritten. Of a deployment the
parameters, the schedules, whether it is paused, and its limit are the server's once it is there. What it runs, where,
its text and the form of its parameters are those of prefect.yaml. What stands otherwise there is printed.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import automations
import yaml

from hbaf.home import QUIET_ENVIRONMENT

if TYPE_CHECKING:
    from prefect.client.schemas.responses import DeploymentResponse

ROOT = Path(__file__).resolve().parents[1]
UNSAID = {"schedules": [], "paused": False}  # what a deployment has that prefect.yaml does not speak of
LONGEST = 160  # characters of a value in a line
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


async def keep(content: dict[str, Any], reset: Collection[str] = ()) -> list[str]:
    """Puts into the content what people changed on the server; returns a line for each thing that it has otherwise.

    Args:
        reset: names of deployments that are made as prefect.yaml says.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName

    by_name = {deployment["name"]: deployment for deployment in content["deployments"]}
    wanted = DeploymentFilter(name=DeploymentFilterName(any_=list(by_name)))
    lines = []
    async with get_client() as client:
        for found in sorted(await client.read_deployments(deployment_filter=wanted), key=lambda one: one.name):
            ours = by_name[found.name]
            if found.name in reset:
                ours["paused"] = False
                for schedule in found.schedules:  # `prefect deploy` leaves those that the file does not name
                    await client.delete_deployment_schedule(found.id, schedule.id)
                continue
            theirs = _as_file(found)
            lines += _keep_parameters(ours, theirs.pop("parameters"))
            theirs["paused"] = theirs["paused"] or ours.get("paused", False)
            for setting, value in theirs.items():
                if value != (before := ours.get(setting, UNSAID.get(setting))):
                    lines.append(f"kept: {found.name}: {setting} {_short(value)} (prefect.yaml: {_short(before)})")
                ours[setting] = value
            ours["tags"] = [*ours["tags"], *(tag for tag in found.tags if tag not in ours["tags"])]
            ours["work_pool"]["job_variables"] = _joined(found.job_variables, ours["work_pool"]["job_variables"])
    return lines


def _as_file(found: "DeploymentResponse") -> dict[str, Any]:
    """What is kept of a deployment, as prefect.yaml would say it."""
    limit, strategy = found.global_concurrency_limit, found.concurrency_options
    limited: Any = None if limit is None else limit.limit
    if limited is not None and strategy is not None:
        limited = {"limit": limited, "collision_strategy": strategy.collision_strategy.value}
        if strategy.grace_period_seconds is not None:
            limited["grace_period_seconds"] = strategy.grace_period_seconds
    schedules = []
    for one in found.schedules:
        # In JSON, since the kinds of schedules share no field but the time zone.
        when = {name: value for name, value in one.schedule.model_dump(mode="json").items() if value is not None}
        if when.get("day_or") is True:
            del when["day_or"]
        more = {name: value for name in ("slug", "parameters") if (value := getattr(one, name))}
        schedules.append({**when, "active": one.active, **more})
    return {
        "parameters": found.parameters,
        "schedules": sorted(schedules, key=str),
        "paused": found.paused,
        "concurrency_limit": limited,
    }


def _keep_parameters(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """Keeps the parameters of the server, as far as this version knows them."""
    from prefect.flows import load_flow_from_entrypoint

    before = ours.get("parameters", {})
    if theirs == before:
        return []
    flow: Any = load_flow_from_entrypoint(ours["entrypoint"], use_placeholder_flow=False)
    name, known = ours["name"], flow.parameters.properties
    required = {one: before[one] for one in flow.parameters.required or () if one in before}
    kept = {**required, **{one: value for one, value in theirs.items() if one in known}}
    lines = [
        f"dropped: {name}: parameter {one}, which this version does not know" for one in theirs if one not in known
    ]
    try:
        flow.validate_parameters(kept)
    except Exception as error:  # the server would refuse all of it
        ours["paused"] = True
        why = " ".join(str(error).split())[:300]
        return [
            f"PAUSED: {name}: its parameters do not fit this version ({why}), so those of prefect.yaml stand there. "
            f"They were {json.dumps(theirs)}. Set them anew in Prefect's pages, then resume it there."
        ]
    ours["parameters"] = kept
    lines += [
        f"kept: {name}: parameter {one} {_short(kept.get(one))} (prefect.yaml: {_short(before.get(one))})"
        for one in sorted({*kept, *before})
        if kept.get(one) != before.get(one)
    ]
    return lines


def _short(value: Any) -> str:
    text = "nothing" if value is None or value == [] else json.dumps(value, default=str)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def _joined(theirs: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    """Variables of the runs: ours, and beside them what somebody added."""
    return {**theirs, **ours, "env": {**(theirs.get("env") or {}), **ours["env"]}}


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


def scheduled_sources(prefix: str) -> str:
    """Makes the deployments of `hbaf schedule` (flows/source_deployments.py); what was done, a line for each."""
    command = [sys.executable, "-m", "flows.source_deployments", "apply", "--prefix", prefix]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        told = done.stderr.strip().splitlines()[-1:] or ["it gave no reason"]
        return f"sources of `hbaf schedule` could not be deployed: {told[0]}\n"
    return done.stdout


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
    parser.add_argument(
        "--reset", nargs="+", default=[], metavar="NAME", help="deployments to make as prefect.yaml says"
    )
    parser.add_argument("--prefix", default=os.environ.get("HBAF_PREFIX", ""), help="default: HBAF_PREFIX, or none")
    arguments = parser.parse_args()
    for name, value in QUIET_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if arguments.verb == "sweep":
        print(asyncio.run(crash_left_runs()))
        return 0
    content = read(arguments.prefix)
    named = {deployment["name"] for deployment in content["deployments"]}
    if unknown := set(arguments.reset) - named:
        parser.error(f"--reset {', '.join(sorted(unknown))}: no such deployment; there are {', '.join(sorted(named))}")
    asyncio.run(make_pools(content["definitions"]["pools"]))
    lines = asyncio.run(keep(content, arguments.reset))
    try:
        deploy(content)
    except subprocess.CalledProcessError as error:
        print(error.stdout, file=sys.stderr)
        return 2
    print("".join(f"{line}\n" for line in lines), end="")
    print(scheduled_sources(arguments.prefix), end="")
    watched = asyncio.run(automations.make_automations(arguments.prefix))
    print("watched: " + ", ".join(watched))
    print("deployed: " + ", ".join(deployment["name"] for deployment in content["deployments"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
