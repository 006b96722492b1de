"""The Prefect server that the environment or the active profile names: does it answer, let us in, and take a write."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata

from hbaf.doctor.asking import NoAnswer, Refused, ask
from hbaf.doctor.finding import Finding, bad, note, ok
from hbaf.home import without_password

ASKED = """
import json
from prefect.settings import get_current_settings
from prefect.context import get_settings_context
api = get_current_settings().api
reveal = lambda value: value.get_secret_value() if value is not None else ""
profile = get_settings_context().profile
print(json.dumps([api.url or "", reveal(api.auth_string) or reveal(api.key), profile.name if profile else ""]))
"""


def look() -> Iterator[Finding]:
    """Whether the Prefect server that is named answers and can be written to."""
    url, key, profile = _settings()
    if not url:
        yield ok("Prefect", f"no server named (profile {profile}): flows run in-process")
        return
    message = f"{without_password(url)} ({_named_by(url, profile)})"
    start = "start that server, or unset PREFECT_API_URL and run flows in-process"
    try:
        ask(f"{url}/health", key=key)
        version = json.loads(ask(f"{url}/admin/version", key=key))
        made = json.loads(ask(f"{url}/flows/", key=key, method="POST", content={"name": f"hbaf-doctor-{os.getpid()}"}))
        ask(f"{url}/flows/{made['id']}", key=key, method="DELETE")
    except Refused as error:
        fix = "set PREFECT_API_AUTH_STRING to user:password (or PREFECT_API_KEY) as the server knows it"
        yield bad("Prefect", str(error), fix)
        return
    except NoAnswer as error:
        yield bad("Prefect", str(error), start)
        return
    except (ValueError, KeyError, TypeError):
        yield bad("Prefect", f"{message}: something answers there, but no Prefect API", "the address ends in /api")
        return
    yield ok("Prefect", f"{message}: version {version}, a trial write was taken and removed")
    own = metadata.version("prefect")
    if version != own:
        fix = "use one version on both sides; the server must not be the older one"
        yield note("Prefect", f"the server is {version}, the client here {own}", fix)


def _settings() -> tuple[str, str, str]:
    """Address, key and profile, as Prefect itself reads them; asked in a process of its own, which may import it."""
    done = subprocess.run([sys.executable, "-c", ASKED], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"Prefect cannot be imported: {done.stderr.strip().splitlines()[-1]}")
    url, key, profile = json.loads(done.stdout.splitlines()[-1])
    return url, key, profile


def _named_by(url: str, profile: str) -> str:
    return "PREFECT_API_URL" if os.environ.get("PREFECT_API_URL") == url else f"profile {profile}, or prefect.toml"
