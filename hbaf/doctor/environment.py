"""Variables and files that change what the libraries do, where they are known to cost a day."""

import os
import tomllib
from collections.abc import Iterator
from pathlib import Path

from hbaf.doctor.asking import NoAnswer, ask
from hbaf.doctor.finding import Finding, bad, note, ok
from hbaf.home import QUIET_ENVIRONMENT
from hbaf.pseudonyms import SHOW, shows_names


def look() -> Iterator[Finding]:
    """Environment variables and files that are known to cause trouble."""
    found = [*_telemetry(), *_threads(), *_prefect_toml(), *_openness()]
    yield from found or [ok("environment", "nothing in it is known to cause trouble")]


def _telemetry() -> Iterator[Finding]:
    message = os.environ.get("DO_NOT_TRACK")
    if message is not None and message.lower() != "true":
        yield note("environment", f"DO_NOT_TRACK={message}: MLflow wants the word `true`", "export DO_NOT_TRACK=true")


def _threads() -> Iterator[Finding]:
    policy = os.environ.get("OMP_WAIT_POLICY", QUIET_ENVIRONMENT["OMP_WAIT_POLICY"])
    if policy.upper() != "PASSIVE":
        message = f"OMP_WAIT_POLICY={policy}: on a busy machine waiting threads make small models fifty times slower"
        yield note("environment", message, "export OMP_WAIT_POLICY=PASSIVE")


def _prefect_toml() -> Iterator[Finding]:
    """`make up` writes one; while it stands and its server does not, flows without a server fail too."""
    file = Path("prefect.toml")
    if not file.is_file():
        return
    url = str(tomllib.loads(file.read_text()).get("api", {}).get("url", ""))
    try:
        if url:
            ask(f"{url}/health")
    except NoAnswer:
        message = f"{file.absolute()} names {url}, which does not answer: flows here fail with `Failed to reach API`"
        yield bad("environment", message, "`make up` starts that server, `make down` removes the file")


def _openness() -> Iterator[Finding]:
    if shows_names():
        message = f"{SHOW} is set: names of people and files go into Data Docs, Prefect and MLflow"
        yield note("environment", message, f"unset {SHOW} where that is not wanted")
