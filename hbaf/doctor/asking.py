"""A question to a server over HTTP: short, with the key that the user gave, and never showing it."""

import base64
import json
import urllib.error
import urllib.request
from typing import Any

from hbaf.home import parted, without_password, without_passwords

PATIENCE = 5.0  # seconds


class NoAnswer(Exception):
    """Nothing answered, or something that is no such server."""


class Refused(Exception):
    """The server answered that it does not let us in (401 or 403)."""


def ask(url: str, *, key: str = "", method: str = "GET", content: dict[str, Any] | None = None) -> str:
    """What a server answers.

    Args:
        url: may hold a user and a password.
        key: `user:password`, sent as basic authorisation, or a token.
        content: sent as JSON.

    Raises:
        NoAnswer, Refused: the message says which address, without any password.
    """
    shown = without_password(url)
    url, own_key = parted(url)
    key = key or own_key
    headers = {"Content-Type": "application/json"}
    if key:
        basic = base64.b64encode(key.encode()).decode()
        headers["Authorization"] = f"Basic {basic}" if ":" in key else f"Bearer {key}"
    data = None if content is None else json.dumps(content).encode()
    try:
        asked = urllib.request.Request(url, data, headers, method=method)
        with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:
            return str(answer.read().decode(errors="replace"))
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            raise Refused(f"{shown} answers {error.code}: user, password or key are not accepted") from None
        raise NoAnswer(f"{shown} answers {error.code} {error.reason}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise NoAnswer(f"{shown} does not answer ({without_passwords(str(reason))})") from None
