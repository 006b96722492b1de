"""The verb of events: what moved, and whether it was told."""

from typing import Annotated, Literal

from cyclopts import Parameter


def events(
    action: Literal["list", "deliver", "test"] = "list",
    /,
    *,
    last: int = 20,
    json_: Annotated[bool, Parameter(name="--json", negative="", help="For `list`: print JSON, for programs.")] = False,
) -> int:
    """Shows what moved: promotions, rollbacks, refused candidates, quarantine, changed conversations; and sends it on.

    Each event goes to the addresses of `HBAF_WEBHOOKS` (https, commas between them), signed as Standard Webhooks say,
    and to the Prefect server that is named, where automations act on it. What cannot be sent waits up to three days
    and goes with the next event, with each scheduled run, or by `deliver`.

    Try:

        hbaf events

        HBAF_WEBHOOKS=https://example.org/hbaf hbaf events test

        hbaf events deliver

    Args:
        action: `list` the last events and what waits; `deliver` what waits; `test`: send an event that says nothing.
        last: How many to list.
    """
    import json
    import os
    from datetime import UTC, datetime

    from hbaf.events.event import Event, Kind
    from hbaf.events.outbox import deliver, note, waiting
    from hbaf.events.outbox import events as known
    from hbaf.events.webhook import SECRET, addresses, secret_file, shown, signing_secret
    from hbaf.home import prepare_environment

    prepare_environment()
    named = [shown(address) for address in addresses()]
    if named:
        signing_secret()
    if action == "test":
        note(Event(Kind.TEST, "hbaf", "a test: events of this home arrive here"))
    problems = deliver() if action != "list" else []
    left = {event.id for event in waiting()}
    if action == "list":
        found = known()[-last:]
        if json_:
            print(json.dumps([{**event.as_json(), "waits": event.id in left} for event in found], indent=1))
            return 0
        for event in found:
            mark = "  (waits to be sent)" if event.id in left else ""
            print(f"{datetime.fromtimestamp(event.at, UTC):%Y-%m-%d %H:%M} UTC  {event.kind:22} {event.message}{mark}")
        if not found:
            print("nothing has moved yet")
    print(f"{len(left)} wait to be sent" if left else "nothing waits to be sent")
    if named:
        where = SECRET if os.environ.get(SECRET) else secret_file()
        print(f"webhooks: {', '.join(named)}; signed with the secret in {where}")
    else:
        print("webhooks: none; HBAF_WEBHOOKS names where events go, as HBAF_WEBHOOKS=https://example.org/hbaf")
    return 1 if problems else 0
