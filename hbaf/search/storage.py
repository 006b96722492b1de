"""Where a study lives: a database that may be restarted under it, and whose turn it is to begin a trial."""

import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from sqlalchemy.engine import make_url

from hbaf.search.optuna_internals import PATIENCE, PatientStorage, patiently
from hbaf.search.space import SearchError
from hbaf.waiting import FOR_EVER, alone_in_database


def open_storage(url: str, *, heartbeat: int) -> PatientStorage:
    """The database of a study.

    Args:
        url: `sqlite:///...` on one machine, `postgresql+psycopg2://...` for several.
        heartbeat: seconds between signs of life of a running trial; three missed ones make it stale.

    Raises:
        SearchError: another kind of database, its driver is absent, or it cannot be reached.
    """
    backend = make_url(url).get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise SearchError(
            f"{backend}: a study is kept in SQLite (sqlite:///...) or PostgreSQL (postgresql+psycopg2://...)."
        )
    settings: dict[str, Any] = {"connect_args": {"timeout": 60}} if backend == "sqlite" else {"pool_pre_ping": True}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            storage: PatientStorage = patiently(
                lambda: PatientStorage(
                    url,
                    engine_kwargs=settings,
                    heartbeat_interval=heartbeat,
                    grace_period=3 * heartbeat,
                ),
                patience=20,
            )
    except ImportError as error:
        raise SearchError(f"{backend}: its driver is not installed. `pip install 'hbaf[postgresql]'`.") from error
    except sqlalchemy.exc.DBAPIError as error:
        message = str(error.orig).strip().splitlines()[0]
        raise SearchError(f"{make_url(url)!r}: the study's database cannot be reached ({message}).") from error
    return storage


@contextmanager
def turn(storage: PatientStorage, study: str) -> Iterator[None]:
    """Holds every other worker of the study off, on any machine, while one counts trials and begins the next.

    Counting and beginning must be one step: two workers that count 39 of 40 at once would make it 41.
    """
    place = make_url(storage.url)
    file = Path(f"{place.database}.{zlib.crc32(study.encode()):08x}.lock")
    seconds = PATIENCE if place.get_backend_name() == "sqlite" else FOR_EVER
    with alone_in_database(storage.engine, study, file, seconds=seconds, patience=PATIENCE):
        yield
