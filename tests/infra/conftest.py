"""A folder and a home for `make up`, apart from the user's own."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.flows.conftest import BIN, ROOT, free_port


@dataclass(frozen=True)
class Checkout:
    """A folder that `make up` may write its prefect.toml into, and a home of its own."""

    folder: Path
    home: Path
    environment: dict[str, str]

    def stack(self, verb: str, **more: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, self.folder / "infra" / "stack.py", verb]
        return subprocess.run(
            command, cwd=self.folder, env={**self.environment, **more}, capture_output=True, text=True, check=False
        )

    def prefect(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [BIN / "prefect", *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )

    def services(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.home / "stack" / "stack.json").read_text())["services"]
        return found

    def left(self) -> list[str]:
        """Command lines of every process that has anything to do with this home."""
        found = []
        for process in psutil.process_iter():
            try:
                said = [*process.cmdline(), *process.environ().values()]
                if str(self.home) in " ".join(said) and process.pid != os.getpid():
                    found.append(" ".join(process.cmdline()))
            except psutil.Error:
                continue
        return found


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    folder, home = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("home")
    for name in ("infra", "prefect.yaml", "pyproject.toml"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_", "HBAF_"))}
    environment = {
        **kept,
        "HBAF_HOME": str(home),
        "HOME": str(folder),  # no profile of the user's
        "HBAF_PREFECT_PORT": str(free_port()),
        "HBAF_MLFLOW_PORT": str(free_port()),
        "NO_COLOR": "1",
        "COLUMNS": "200",
    }
    made = Checkout(folder, home, environment)
    yield made
    made.stack("down")
