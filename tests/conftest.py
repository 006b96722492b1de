"""Every test has a home of its own; nothing is written anywhere else."""

from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHARED_DATA = ROOT / ".." / "shared" / "data"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("HBAF_HOME", str(folder))
    return folder


@pytest.fixture(autouse=True, scope="session")
def nothing_of_the_developer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No server that the shell names, and no home of a person, not even for fixtures of a whole session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HBAF_HOME", str(tmp_path_factory.mktemp("home")))
        for name in ("MLFLOW_TRACKING_URI", "HBAF_SCORES_DATABASE"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture
def real_data() -> Path:
    """Small real corpora beside the project; a test that asks for them is skipped where they are absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("real data absent: ../shared/data")
    return SHARED_DATA.resolve()
