"""A real Prefect server on loopback, once for all tests here."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Stack:
    """Environment of a running server, for commands and workers."""

    environment: dict[str, str]
    folder: Path

    def prefect(self, *arguments: str, timeout: float = 120) -> str:
        return self.run(BIN / "prefect", *arguments, timeout=timeout)

    def run(self, *command: str | Path, timeout: float = 120, **environment: str) -> str:
        """A command in the checkout; what it printed."""
        done = subprocess.run(
            command,
            env={**self.environment, **environment},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def ask(self, path: str, **wanted: Any) -> Any:
        """What the server's API answers to a POST; no process is started for it."""
        request = urllib.request.Request(
            f"{self.environment['PREFECT_API_URL']}{path}",
            json.dumps(wanted).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def start(self, *command: str | Path) -> "subprocess.Popen[bytes]":
        """A process group of its own: one signal to a worker's shell does not reach its children."""
        log = (self.folder / f"{Path(command[0]).name}-{command[1]}.log").open("wb")
        return subprocess.Popen(
            command, env=self.environment, cwd=self.folder, stdout=log, stderr=log, start_new_session=True
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stop(process: "subprocess.Popen[bytes]") -> None:
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, sign)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                continue
    process.wait(10)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
    environment = {
        **kept,
        "HBAF_HOME": str(folder / "home"),
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "2",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "DO_NOT_TRACK": "true",
        "OMP_WAIT_POLICY": "PASSIVE",
        "NO_COLOR": "1",
        "COLUMNS": "200",  # tables in full
    }
    stack = Stack(environment, folder)
    server = stack.start(BIN / "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port))
    try:
        _wait_for(f"http://127.0.0.1:{port}/api/health", server, folder)
        yield stack
    finally:
        stop(server)


def _wait_for(url: str, server: "subprocess.Popen[bytes]", folder: Path) -> None:
    for _ in range(240):
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.5)
        if server.poll() is not None:
            break
    raise RuntimeError("the Prefect server did not start:\n" + (folder / "prefect-server.log").read_text())
