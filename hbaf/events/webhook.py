"""One event to one address, signed as Standard Webhooks say (https://www.standardwebhooks.com).

`HBAF_WEBHOOKS` names the addresses, with commas between them. Each request is a POST of JSON (`type`, `timestamp`,
`data`) with `webhook-id` (the same when it is sent again), `webhook-timestamp` and `webhook-signature`: HMAC-SHA256 by
`HBAF_WEBHOOK_SECRET` or, without it, by a secret that this home makes once.
"""

import base64
import json
import os
import secrets
import time
import urllib.parse
from datetime import UTC, datetime
from pathlib import Path

from hbaf.events.event import Event
from hbaf.files import create_once
from hbaf.home import directory, parted

ADDRESSES, SECRET = "HBAF_WEBHOOKS", "HBAF_WEBHOOK_SECRET"
PREFIX = "whsec_"  # of a secret in base64
SHORTEST, SECRET_BYTES = 24, 32  # bytes, as the specification asks
TIMEOUT = 10.0  # seconds
LOOPBACK = ("localhost", "127.0.0.1", "::1")
PASSES = {408, 425, 429, *range(500, 600)}  # statuses that may be gone in a moment


class WebhookError(ValueError):
    """The address or the secret of the webhooks is not usable."""


class NotDelivered(RuntimeError):
    """The address did not take the event.

    Attributes:
        passes: whether it may in a moment.
    """

    def __init__(self, message: str, passes: bool) -> None:
        super().__init__(message)
        self.passes = passes


def addresses() -> tuple[str, ...]:
    """Where events go, of `HBAF_WEBHOOKS`.

    Raises:
        WebhookError: no URL, or one that is neither https nor on this machine.
    """
    found = tuple(filter(None, (part.strip() for part in os.environ.get(ADDRESSES, "").split(","))))
    for address in found:
        place = urllib.parse.urlsplit(address)
        if place.scheme != "https" and not (place.scheme == "http" and place.hostname in LOOPBACK):
            raise WebhookError(
                f"{ADDRESSES}: {shown(address)} is no https address. Events go by https, or by http to this machine."
            )
    return found


def shown(address: str) -> str:
    """The address without its path, query and password: those of chat tools are secrets."""
    place = urllib.parse.urlsplit(address)
    return f"{place.scheme}://{place.netloc.rpartition('@')[2]}"


def secret_file() -> Path:
    """Where the secret of this home is kept."""
    return directory("events") / "secret"


def signing_secret() -> str:
    """`whsec_` and base64: what the receiver verifies signatures with.

    Raises:
        WebhookError: `HBAF_WEBHOOK_SECRET` is no base64 of at least 24 bytes.
    """
    given, file = os.environ.get(SECRET, ""), secret_file()
    named = SECRET if given else str(file)
    if not given:
        if not file.exists():
            create_once(file, PREFIX.encode() + base64.b64encode(secrets.token_bytes(SECRET_BYTES)))
        given = file.read_text()
    try:
        length = len(base64.b64decode(given.removeprefix(PREFIX), validate=True))
    except ValueError:
        length = 0
    if length < SHORTEST:
        raise WebhookError(
            f"{named}: wanted is `{PREFIX}` and the base64 of "
            f"{SHORTEST} bytes or more, as `echo {PREFIX}$(openssl rand -base64 32)` makes it."
        )
    return given


def body_of(event: Event) -> str:
    """What is sent, as JSON."""
    at = datetime.fromtimestamp(event.at, UTC).isoformat(timespec="seconds")
    data = {**event.facts, "subject": event.subject, "message": event.message}
    return json.dumps({"type": str(event.kind), "timestamp": at, "data": data, "text": event.message})


def send(event: Event, address: str, secret: str) -> None:
    """Sends an event; redirects are not followed.

    Raises:
        NotDelivered: nobody answered, or not with a status of success.
    """
    import httpx
    from standardwebhooks import Webhook

    now, body = datetime.fromtimestamp(int(time.time()), UTC), body_of(event)
    headers = {
        "content-type": "application/json",
        "user-agent": "hbaf",
        "webhook-id": event.id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(event.id, now, body),
    }
    place, key = parted(address)
    user, _, password = key.partition(":")
    try:
        answer = httpx.post(
            place, content=body, headers=headers, timeout=TIMEOUT, auth=(user, password) if key else None
        )
    except httpx.HTTPError as error:
        raise NotDelivered(f"{shown(address)}: {type(error).__name__}: {error}", passes=True) from error
    if not answer.is_success:
        raise NotDelivered(f"{shown(address)}: status {answer.status_code}", passes=answer.status_code in PASSES)
