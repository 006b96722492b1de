"""What Prefect watches: a missed night, a failure, a quarantine, a dead worker, changed conversations.

Applied with the deployments. HBAF_NOTIFY names a notification block (`slack-webhook/on-call`) to send to; without it
the automations act and stand in the event feed, and nobody is written to.
"""

import os
from datetime import timedelta
from typing import Any

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
            "trigger": EventTrigger(expect={"hbaf.inbox.quarantined"}),
        },
        "changed scores": {
            "description": "New conversations are not like those that the model was trained on.",
            "trigger": EventTrigger(expect={"hbaf.scores.changed"}),
        },
    }


async def make_automations(prefix: str = "") -> list[str]:
    """Makes every automation anew by its name; returns the names."""
    from prefect.client.orchestration import get_client
    from prefect.events import Automation, AutomationCore, DoNothing

    names = []
    async with get_client() as client:
        notification = await _notification(client)
        for short, automation in triggers().items():
            name = f"{prefix}hbaf: {short}"
            actions = [action for action in (automation.get("action"), notification) if action is not None] or [
                DoNothing()
            ]
            known: list[Automation] = await client.read_automations_by_name(name)
            made = AutomationCore(
                name=name,
                description=automation["description"],
                trigger=automation["trigger"],
                actions=actions,
                enabled=all(one.enabled for one in known),  # what a person switched off stays off
            )
            # In place of an update: that one sends only what was set by name, and the server refuses the rest.
            for one in known:
                await client.delete_automation(one.id)
            await client.create_automation(made)
            names.append(name)
    return names


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
