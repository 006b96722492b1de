"""The home that commit 2167a1e wrote, unpacked somewhere else: tests read a home that is old and was moved."""

import json
import os
import tarfile
from pathlib import Path

import pytest

from hbaf.registry.embedded import database

PACKED = Path(__file__).with_name("home-of-2167a1e.tar.xz")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with tarfile.open(PACKED) as archive:
        archive.extractall(tmp_path, filter="data")
    place = tmp_path / "home"
    monkeypatch.setenv("HBAF_HOME", str(place))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}/mlflow/mlflow.db")
    database._follow_home.cache_clear()
    assert not os.path.lexists("/tmp/home-of-2167a1e"), "take the home that make_home.py left away"
    return place


@pytest.fixture
def made_by(home: Path) -> str:
    """The run of its champion."""
    return str(json.loads((home / "champions" / "only.json").read_text())["run_id"])
