"""The home's own MLflow database: made whole, set right after a move, made ready for a server."""

import logging
import sqlite3
from contextlib import closing
from functools import lru_cache
from pathlib import Path

from hbaf.home import directory, home_folder, published
from hbaf.registry.embedded import moved_home
from hbaf.waiting import alone

HOME_TAG = "hbaf.home"

log = logging.getLogger(__name__)


def database() -> Path:
    """Where it lies in the home, made or not."""
    return directory("mlflow") / "mlflow.db"


def artifacts() -> Path:
    """Where the files of runs and models lie."""
    return directory("mlflow", "artifacts")


def make_database(uri: str) -> None:
    """Makes an SQLite database that is absent: a first start that is killed must not leave half of its tables.

    Args:
        uri: any other kind of address is left to its server.
    """
    from sqlalchemy.engine import make_url

    if not uri.startswith("sqlite:") or not (name := make_url(uri).database) or name == ":memory:":
        return
    place = Path(name).absolute()
    if place.exists():
        if place == database():
            _follow_home(place, home_folder())
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    with alone(place.with_name(f".{place.name}.lock")):
        if place.exists():  # another process was first
            return
        with published(place) as beside:
            _make_tables(beside)
            with closing(sqlite3.connect(beside)) as connection, connection:
                # MLflow notes the path of the moment; a name in the artifacts' folder is what it would note later.
                connection.execute(
                    "UPDATE experiments SET artifact_location = ?", ((place.parent / "artifacts" / "default").as_uri(),)
                )


def share_database() -> str:
    """The address of the home's database, ready for the local stack's server and for commands beside it.

    Its journal is written ahead from now on, so that a page which reads for long stops nobody from writing.
    """
    address = f"sqlite:///{database()}"
    make_database(address)
    with closing(sqlite3.connect(database(), timeout=60)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    return address


def _make_tables(place: Path) -> None:
    import mlflow

    from hbaf.registry.mlflow_internals import close_database

    made = mlflow.MlflowClient(f"sqlite:///{place}")
    made.search_experiments()
    close_database(made)


@lru_cache(maxsize=8)
def _follow_home(place: Path, home: Path) -> None:
    """Once a process, with no other one at it."""
    with alone(place.with_name(f".{place.name}.lock")):
        before = moved_home.follow(place, home, HOME_TAG)
    if before:
        log.warning("the home folder was at %s: its runs and models are found at %s now", before, home)
