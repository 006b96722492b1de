"""What Prefect watches: a missed night, a failure, a quarantine, a dead worker, changed conversations.

Applied with the deployments. HBAF_NOTIFY names a notification block (`slack-webhook/on-call`) to send to; without it
the automations act and stand in the event feed, and nobody is written to. HBAF_RETRAIN names the deployment that trains
when conversations have changed: `train-calls` or, of several models, `hbaf-calls=train-calls,hbaf-chats=train-chats`.
"""

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hbaf.events.event import Kind

if TYPE_CHECKING:
    from prefect.events import AutomationCore

RETRAINING = "retraining of "  # beginning of a name
RETRAINING_REST = timedelta(days=7)  # after one that a change began
HEARTBEAT = 30  # seconds between the signs of life of a flow run, the least that Prefect allows
OURS = {"prefect.resource.id": "prefect.tag.hbaf"}  # every deployment has this tag
ENDS = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Crashed", "Cancelled", "Paused", "Suspended")}
PER_RUN = {"prefect.resource.id"}


def triggers() -> dict[str, dict[str, Any]]:
    """Name -> description, trigger and own action of every automation."""
    from prefect.client.schemas.objects import StateType
    from prefect.events import ChangeFlowRunState, EventTrigger
    from prefect.events.schemas.automations import Posture

    runs = {"match": {"prefect.resource.id": "prefect.flow-run.*"}, "match_related": OURS}
    return {
        "missed night": {
            "description": "A scheduled run was late and has not begun an hour later: no worker is there.",
            "trigger": EventTrigger(
                posture=Posture.Proactive,
                after={"prefect.flow-run.Late"},
                expect={"prefect.flow-run.Running", *ENDS},
                for_each=PER_RUN,
                within=timedelta(hours=1),
                **runs,
            ),
        },
        "failure": {
            "description": "A run failed or crashed.",
            "trigger": EventTrigger(expect={"prefect.flow-run.Failed", "prefect.flow-run.Crashed"}, **runs),
        },
        "dead worker": {
            "description": "A run gave no sign of life for three heartbeats: it is marked as crashed.",
            "trigger": EventTrigger(
                posture=Posture.Proactive,
                after={"prefect.flow-run.heartbeat"},
                expect={"prefect.flow-run.heartbeat", *ENDS},
                for_each=PER_RUN,
                within=timedelta(seconds=3 * HEARTBEAT),
                **runs,
            ),
            "action": ChangeFlowRunState(
                state=StateType.CRASHED, message="No sign of life: its worker died. Start it again: nothing is lost."
            ),
        },
        "quarantine": {
            "description": "Too large a share of conversations is in quarantine.",
            "trigger": EventTrigger(expect={Kind.QUARANTINED}),
        },
        "changed scores": {
            "description": "New conversations are not like those that the model was trained on.",
            "trigger": EventTrigger(expect={Kind.CHANGED}),
        },
        "champion": {
            "description": "A model was promoted, refused or rolled back.",
            "trigger": EventTrigger(expect={Kind.PROMOTED, Kind.REFUSED, Kind.ROLLED_BACK}),
        },
    }


async def retrainings(client: Any, prefix: str) -> dict[str, dict[str, Any]]:
    """As `triggers`: a run of the deployments that HBAF_RETRAIN names, once in a week that conversations have changed.

    Raises:
        SystemExit: no deployment of that name.
    """
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
    from prefect.events import EventTrigger, RunDeployment

    found = {}
    for part in filter(None, os.environ.get("HBAF_RETRAIN", "").replace(" ", "").split(",")):
        model, _, name = part.rpartition("=")
        wanted = DeploymentFilter(name=DeploymentFilterName(any_=[name, prefix + name]))
        deployments = await client.read_deployments(deployment_filter=wanted)
        if len(deployments) != 1:
            raise SystemExit(
                f"HBAF_RETRAIN: {len(deployments)} deployments are named {name!r}. `prefect deployment ls` lists them; "
                "make one of train-hbaf whose parameters name your labelled corpus."
            )
        match = {"prefect.resource.name": model} if model else {}
        found[f"{RETRAINING}{model or 'any model'}"] = {
            "description": f"New conversations have changed: {deployments[0].name} trains, at most once a week.",
            "trigger": EventTrigger(expect={Kind.CHANGED}, match=match, threshold=1, within=RETRAINING_REST),
            "action": RunDeployment(deployment_id=deployments[0].id),
        }
    return found


async def make_automations(prefix: str = "") -> list[str]:
    """Makes the automations that are missing or were otherwise, by name; returns the names."""
    from prefect.client.orchestration import get_client
    from prefect.events import AutomationCore, DoNothing

    names = []
    async with get_client() as client:
        notification = await _notification(client)
        for short, automation in {**triggers(), **await retrainings(client, prefix)}.items():
            name = f"{prefix}hbaf: {short}"
            actions = [action for action in (automation.get("action"), notification) if action is not None] or [
                DoNothing()
            ]
            names.append(name)
            known = await client.read_automations_by_name(name)
            made = AutomationCore(
                name=name,
                description=automation["description"],
                trigger=automation["trigger"],
                actions=actions,
                enabled=all(one.enabled for one in known),  # what a person switched off stays off
            )
            if len(known) == 1 and _content(known[0]) == _content(made):
                continue  # what it has counted is kept
            # In place of an update: that one sends only what was set by name, and the server refuses the rest.
            for one in known:
                await client.delete_automation(one.id)
            await client.create_automation(made)
        for one in await client.read_automations():
            if one.name.startswith(f"{prefix}hbaf: {RETRAINING}") and one.name not in names:
                await client.delete_automation(one.id)  # HBAF_RETRAIN names it no more
    return names


def _content(automation: "AutomationCore") -> dict[str, Any]:
    """What an automation does, without the ids that the server gives."""
    # Not as JSON: the events of a trigger are a set, whose order there is another one in each process.
    kept = automation.model_dump(include={"name", "description", "trigger", "actions", "enabled"})
    kept["trigger"].pop("id", None)
    return kept


async def _notification(client: Any) -> Any:
    """The action that tells somebody; None without HBAF_NOTIFY."""
    from prefect.events import SendNotification

    place = os.environ.get("HBAF_NOTIFY")
    if not place:
        return None
    kind, _, name = place.partition("/")
    block = await client.read_block_document_by_name(name, kind)
    body = "{{ automation.description }}\n{{ event.resource.name }}\ninfra/RUNBOOK.md says what to do."
    return SendNotification(block_document_id=block.id, subject="{{ automation.name }}", body=body)
