"""A deployment for each scheduled source: `hbaf schedule` and `make up` put the home's list on the Prefect server.

    python -m flows.source_deployments apply     # makes, changes and removes what was asked for since the last time
    python -m flows.source_deployments show      # how the server has them, as JSON

A source's deployment is that of `score-corpus` with parameters and a schedule of its own. Only what a person asked of
`hbaf schedule` since the last time is changed in one that is there; what somebody changed on the server stays.
"""

import argparse
import asyncio
import json
import os
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from hbaf.home import prepare_environment
from hbaf.inbox.schedule.every import parse_every
from hbaf.inbox.schedule.sources import ScheduledSource, Sent, differences, note_sent, place_of, read_schedule

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.responses import DeploymentResponse

FLOW = "score-corpus"
SLUG = "every"  # of the schedule that is ours; others that somebody adds are left alone
# What a source's deployment has from that of `score-corpus`, so that a new version reaches it.
SHARED = ("entrypoint", "pull_steps", "parameter_openapi_schema", "work_pool_name", "work_queue_name", "job_variables")
# A run that finds another of its source at work is cancelled: that one, or the next, takes up what it would have.
CONCURRENCY = {"limit": 1, "collision_strategy": "CANCEL_NEW"}
NO_SERVER, UNREACHABLE = 3, 4  # exit codes


def deployment_of(name: str, prefix: str) -> str:
    """What the deployment of a source is called."""
    return f"{prefix}score {name}"


async def apply(client: "PrefectClient", prefix: str) -> list[str]:
    """Puts the list on the server; returns a line for each thing that was done or could not be."""
    from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

    schedule = read_schedule()
    if not (schedule.sources or schedule.removed):
        return []
    try:
        template = await client.read_deployment_by_name(f"{FLOW}/{prefix}{FLOW}")
    except ObjectNotFound:
        return [f"{FLOW} is not deployed on this server; `make deploy` makes it and the scheduled sources"]
    lines: list[str] = []
    sent: dict[str, Sent] = {}
    for one in schedule.sources.values():
        name = deployment_of(one.name, prefix)
        found = await _read(client, f"{FLOW}/{name}")
        if found is not None and one.sent is None and (other := _place(found)) != place_of(one.source.url):
            lines.append(
                f"{name}: this server has one for {other}, made elsewhere; left as it is. `hbaf schedule remove "
                f"{one.name}`, then add the source with `--name NAME`"
            )
            continue
        try:
            if found is None:
                await _create(client, template, one, prefix)
                lines.append(f"{name}: made, {one.every}{'' if one.active else ', paused'}")
            else:
                lines += await _update(client, template, found, one, prefix)
        except PrefectHTTPStatusError as error:
            lines.append(f"{name}: the server refuses it, so it stays as it was: {error.response.text[:300]}")
            continue
        sent[one.name] = one.asked()
    for name in sorted(schedule.removed):
        gone = await _read(client, f"{FLOW}/{deployment_of(name, prefix)}")
        if gone is not None:
            await client.delete_deployment(gone.id)
            lines.append(f"{deployment_of(name, prefix)}: removed")
    note_sent(sent, schedule.removed)
    return lines


async def _read(client: "PrefectClient", name: str) -> "DeploymentResponse | None":
    from prefect.exceptions import ObjectNotFound

    try:
        return await client.read_deployment_by_name(name)
    except ObjectNotFound:
        return None


def _place(found: "DeploymentResponse") -> str:
    return place_of(str((found.parameters.get("source") or {}).get("url", "?")))


async def _create(client: "PrefectClient", template: "DeploymentResponse", one: ScheduledSource, prefix: str) -> None:
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyOptions

    limit = ConcurrencyLimitConfig.model_validate(CONCURRENCY)
    await client.create_deployment(
        flow_id=template.flow_id,
        name=deployment_of(one.name, prefix),
        description=f"Scores what is new in {one.source.label}; `hbaf schedule` made it.",
        tags=[*template.tags, "source"],
        parameters=one.parameters,
        schedules=[DeploymentScheduleCreate(schedule=_when(one.every), active=one.active, slug=SLUG)],
        concurrency_limit=limit.limit,
        concurrency_options=ConcurrencyOptions(collision_strategy=limit.collision_strategy),
        enforce_parameter_schema=template.enforce_parameter_schema,
        **{name: getattr(template, name) for name in SHARED},
    )


async def _update(
    client: "PrefectClient",
    template: "DeploymentResponse",
    found: "DeploymentResponse",
    one: ScheduledSource,
    prefix: str,
) -> list[str]:
    """Sends what was asked since the last time, and what `score-corpus` has of a newer version."""
    from prefect.client.schemas.actions import DeploymentScheduleUpdate, DeploymentUpdate

    before = one.sent or Sent(every="", parameters={}, active=not one.active)
    values: dict[str, Any] = {
        name: getattr(template, name) for name in SHARED if getattr(template, name) != getattr(found, name)
    }
    changed: dict[str, tuple[Any, Any]] = {}
    if one.parameters != before.parameters:
        kept = {name: value for name, value in found.parameters.items() if name not in before.parameters}
        values["parameters"] = {**kept, **one.parameters}
        changed |= differences(found.parameters, values["parameters"])
    schedules = [
        {"schedule": other.schedule, "active": other.active, "slug": other.slug, "parameters": other.parameters}
        for other in found.schedules
    ]
    if one.every != before.every:
        changed["every"] = (_shown(found), one.every)
        active = any(other["active"] for other in schedules) if schedules else one.active
        ours = {"schedule": _when(one.every), "active": active, "slug": SLUG}
        schedules = [*(other for other in schedules if other["slug"] != SLUG), ours]
    if one.active != before.active:
        changed["active"] = (_is_active(found), one.active)
        schedules = [{**other, "active": one.active} for other in schedules]
        if one.active:
            values["paused"] = False
    if "every" in changed or "active" in changed:
        values["schedules"] = [DeploymentScheduleUpdate(**other) for other in schedules]
    if values:
        await client.update_deployment(found.id, DeploymentUpdate(**values))
    told = [f"{name} {was!r} -> {now!r}" for name, (was, now) in changed.items() if was != now]
    return [f"{deployment_of(one.name, prefix)}: {', '.join(told)}"] if told else []


def _when(every: str) -> Any:
    from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule

    read = parse_every(every)
    if read.seconds is None:
        return CronSchedule(cron=read.cron, timezone="UTC")
    # From now, so that a source that was just added is scored at once.
    return IntervalSchedule(interval=timedelta(seconds=read.seconds), anchor_date=datetime.now(UTC))


def _is_active(found: "DeploymentResponse") -> bool:
    return not found.paused and any(one.active for one in found.schedules)


def _shown(found: "DeploymentResponse") -> str:
    """The schedules of a deployment in words."""
    shown = []
    for one in found.schedules:
        interval = getattr(one.schedule, "interval", None)
        shown.append(str(interval or getattr(one.schedule, "cron", None) or getattr(one.schedule, "rrule", "?")))
    return ", ".join(shown) or "never"


async def show(client: "PrefectClient", prefix: str) -> dict[str, Any]:
    """How the server has the sources: by name whether it is active, how often, and when it runs next."""
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId, FlowRunFilter
    from prefect.client.schemas.sorting import FlowRunSort

    told: dict[str, Any] = {}
    for name in read_schedule().sources:
        found = await _read(client, f"{FLOW}/{deployment_of(name, prefix)}")
        if found is None:
            continue
        runs = await client.read_flow_runs(
            flow_run_filter=FlowRunFilter.model_validate({"state": {"type": {"any_": ["SCHEDULED"]}}}),
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[found.id])),
            sort=FlowRunSort.NEXT_SCHEDULED_START_TIME_ASC,
            limit=1,
        )
        when = runs[0].next_scheduled_start_time if runs else None
        told[name] = {
            "active": _is_active(found),
            "every": _shown(found),
            "next": None if when is None else when.isoformat(),
        }
    return told


async def _on_server(verb: str, prefix: str) -> int:
    import httpx
    from prefect.client.orchestration import get_client

    try:
        async with get_client() as client:
            if verb == "show":
                print(json.dumps(await show(client, prefix)))
                return 0
            for line in await apply(client, prefix):
                print(line)
            return 0
    except httpx.ConnectError as error:
        print(f"the Prefect server does not answer ({error})", file=sys.stderr)
        return UNREACHABLE


def main() -> int:
    """The command line; returns the exit code: 3 where no server is named, 4 where it does not answer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["apply", "show"])
    parser.add_argument("--prefix", default=os.environ.get("HBAF_PREFIX", ""), help="default: HBAF_PREFIX, or none")
    arguments = parser.parse_args()
    prepare_environment()
    from prefect.settings import get_current_settings

    if not get_current_settings().api.url:
        return NO_SERVER
    return asyncio.run(_on_server(arguments.verb, arguments.prefix))


if __name__ == "__main__":
    sys.exit(main())
