"""Every test has a home of its own; nothing is written anywhere else."""

import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hbaf.cli import COLLECT_AFTER

ROOT = Path(__file__).parents[1]
SHARED_DATA = ROOT / ".." / "shared" / "data"


TEMPORARY = "PYTEST_DEBUG_TEMPROOT"  # pytest's own variable: below which folder all temporary ones lie
_own_root = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Root's sessions have a temporary folder each.

    Every session closes the folder that all sessions of its user share (`/tmp/pytest-of-root`) to other users.
    PostgreSQL refuses to be root and runs as another user here, so it would end in the middle of a test because
    somebody else begins to test.
    """
    gc.set_threshold(COLLECT_AFTER, *gc.get_threshold()[1:])  # as every command
    if os.geteuid() == 0 and not config.option.basetemp and TEMPORARY not in os.environ:
        config.stash[_own_root] = os.environ[TEMPORARY] = tempfile.mkdtemp(prefix="hbaf-tests-")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """What failed can be looked at; what passed leaves nothing."""
    own = session.config.stash.get(_own_root, None)
    if own is not None:
        del os.environ[TEMPORARY]
        if exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            shutil.rmtree(own, ignore_errors=True)


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


@pytest.fixture(autouse=True, scope="session")
def one_mlflow_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """MLflow's migrations take three seconds: they make the first database of this process, the others are copies."""
    from hbaf.registry.embedded import database

    make, first = database._make_tables, tmp_path_factory.mktemp("mlflow") / "first.db"

    def copied(place: Path) -> None:
        if not first.exists():
            beside = first.with_suffix(".tmp")
            make(beside)
            beside.rename(first)
        shutil.copyfile(first, place)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "_make_tables", copied)
        yield


@pytest.fixture
def real_data() -> Path:
    """Small real corpora beside the project; a test that asks for them is skipped where they are absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("real data absent: ../shared/data")
    return SHARED_DATA.resolve()
