"""Where a study lives: a database that may be restarted under it, and whose turn it is to begin a trial."""

import functools
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from filelock import FileLock
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import make_url

from hbaf.search.space import SearchError
from hbaf.stop import clean_up, requested

PATIENCE = 180.0  # seconds that a database may be away before a worker gives up
WRITES_AND_READS = (
    "create_new_study", "set_study_user_attr", "set_study_system_attr", "get_study_id_from_name",
    "get_study_name_from_id", "get_study_directions", "get_study_user_attrs", "get_study_system_attrs",
    "create_new_trial", "set_trial_param", "set_trial_intermediate_value", "set_trial_user_attr",
    "set_trial_system_attr", "get_trial", "get_all_trials", "_get_trials", "record_heartbeat",
    "get_trial_id_from_study_id_trial_number",
)  # fmt: skip


def is_away(error: BaseException) -> bool:
    """Whether the database could not be reached or was busy, and the same call may work in a moment."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    return isinstance(cause, sqlalchemy.exc.OperationalError | sqlalchemy.exc.InterfaceError) or (
        isinstance(cause, sqlalchemy.exc.DBAPIError) and cause.connection_invalidated
    )


def patiently(call: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Calls again, ever more slowly, while the database is away; a process that was asked to stop does not wait."""
    began, wait = time.monotonic(), 0.1
    while True:
        try:
            return call()
        except (StorageInternalError, sqlalchemy.exc.DBAPIError) as error:
            if not is_away(error) or time.monotonic() - began > (min(patience, 2) if requested() else patience):
                raise
        time.sleep(wait)
        wait = min(2 * wait, 5.0)


class PatientStorage(RDBStorage):
    """Optuna's database storage; outlives a restart of the database, and sweeps stale trials only in its turn.

    A trial is stale when its heartbeat stopped, or when it runs without ever having had one: its worker died, or lost
    the database, between taking it and the first beat. That is told by this process's own clock.
    """

    def __init__(self, url: str, **settings: Any):
        super().__init__(url, **settings)
        self.without_heartbeat: dict[int, float] = {}  # trial id -> when it was first seen so

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Any = None) -> bool:
        tries = 0

        def call() -> bool:
            nonlocal tries
            tries += 1
            try:
                return super(PatientStorage, self).set_trial_state_values(trial_id, state, values)
            except UpdateFinishedTrialError:
                # The first try was written and only its answer was lost.
                if tries > 1 and self.get_trial(trial_id).state == state:
                    return True
                raise

        return bool(patiently(call))

    def stale_trials(self, study_id: int) -> list[FrozenTrial]:
        """Running trials of a study whose worker is gone."""
        stale = set(patiently(lambda: self._get_stale_trial_ids(study_id)))
        running = self.get_all_trials(study_id, deepcopy=False, states=(TrialState.RUNNING,))
        silent = {trial._trial_id for trial in running} - patiently(self._with_heartbeat)
        now = time.monotonic()
        self.without_heartbeat = {trial: self.without_heartbeat.get(trial, now) for trial in silent}
        grace = self.grace_period or 60
        stale |= {trial for trial, seen in self.without_heartbeat.items() if now - seen > grace}
        return [trial for trial in running if trial._trial_id in stale]

    def _with_heartbeat(self) -> set[int]:
        with self.engine.connect() as connection:
            return set(connection.execute(sqlalchemy.text("SELECT trial_id FROM trial_heartbeats")).scalars())


def _patient_method(name: str) -> Callable[..., Any]:
    method = getattr(RDBStorage, name)

    @functools.wraps(method)
    def call(self: PatientStorage, *arguments: Any, **named: Any) -> Any:
        return patiently(lambda: method(self, *arguments, **named))

    return call


for _name in WRITES_AND_READS:
    setattr(PatientStorage, _name, _patient_method(_name))


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
        said = str(error.orig).strip().splitlines()[0]
        raise SearchError(f"{make_url(url)!r}: the study's database cannot be reached ({said}).") from error
    return storage


@contextmanager
def turn(storage: PatientStorage, study: str) -> Iterator[None]:
    """Holds every other worker of the study off, on any machine, while one counts trials and begins the next.

    Counting and beginning must be one step: two workers that count 39 of 40 at once would make it 41.
    """
    place = make_url(storage.url)
    if place.get_backend_name() == "sqlite":
        with FileLock(Path(f"{place.database}.{zlib.crc32(study.encode()):08x}.lock"), timeout=PATIENCE):
            yield
        return
    key = zlib.crc32(f"hbaf {study}".encode())
    connection = patiently(lambda: _locked(storage, key))
    try:
        yield
    finally:
        try:
            connection.execute(sqlalchemy.text("SELECT pg_advisory_unlock(:key)"), {"key": key})
        except sqlalchemy.exc.DBAPIError:
            clean_up("the study's lock", connection.invalidate)  # the server went away, and the lock with it
        finally:
            clean_up("the study's lock", connection.close)


def _locked(storage: PatientStorage, key: int) -> sqlalchemy.Connection:
    connection = storage.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    try:
        connection.execute(sqlalchemy.text("SELECT pg_advisory_lock(:key)"), {"key": key})
    except BaseException:
        clean_up("the study's lock", connection.invalidate, connection.close)  # closed alone it would keep the lock
        raise
    return connection
