"""Events of hbaf as events of Prefect, on which its automations act (infra/automations.py).

`hbaf.events` finds `pass_on` by its entry point. Inside a flow the event goes the way of all that Prefect says of the
run. A command (`hbaf rollback`) asks a process of its own, and only where a server is named.
"""

import json
import subprocess
import sys

from hbaf.events.event import Event
from hbaf.events.webhook import NotDelivered
from hbaf.home import may_name_prefect, prefect_environment, prepare_environment

NO_SERVER = 3  # exit code
PATIENCE = 30.0  # seconds for Prefect to be imported and to take the event


def pass_on(event: Event) -> None:
    """Emits the event; where no Prefect is, nothing is to be done.

    Raises:
        NotDelivered: a server is named and does not take it.
    """
    if _in_a_run():
        emit(event)
        return
    environment = prefect_environment()
    if not may_name_prefect(environment):
        return
    try:
        done = subprocess.run(
            [sys.executable, "-m", "flows.events"],
            input=json.dumps(event.as_json()), env=environment, capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise NotDelivered("Prefect: no answer", passes=False) from error
    if done.returncode not in (0, NO_SERVER):
        last = done.stderr.strip().splitlines()[-1:] or ["it gave no reason"]
        raise NotDelivered(f"Prefect: {last[0]}", passes=False)


def emit(event: Event) -> None:
    """The event as Prefect has it: its resource is the model or the source."""
    from prefect.events import emit_event

    from flows.stages import artifact_key

    kind = "source" if "inbox" in event.kind else "model"
    emit_event(
        str(event.kind),
        resource={
            "prefect.resource.id": f"hbaf.{kind}.{artifact_key(event.subject)}",
            "prefect.resource.name": event.subject,
        },
        payload={**event.facts, "message": event.message, "id": event.id},
    )


def main() -> int:
    """Emits the event on standard input; 3 where no server is named."""
    prepare_environment()
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.events.worker import EventsWorker
    from prefect.settings import get_current_settings

    if not get_current_settings().api.url:
        return NO_SERVER
    with get_client(sync_client=True) as client:
        try:
            client.hello().raise_for_status()  # an event to a server that is away is lost without a word
        except httpx.HTTPError as error:
            print(f"the server does not answer ({error})", file=sys.stderr)
            return 1
    emit(Event.of_json(json.load(sys.stdin)))
    EventsWorker.instance().drain()
    return 0


def _in_a_run() -> bool:
    if "prefect" not in sys.modules:
        return False
    from prefect.context import FlowRunContext, TaskRunContext

    return bool(FlowRunContext.get() or TaskRunContext.get())


if __name__ == "__main__":
    sys.exit(main())
