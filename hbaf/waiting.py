"""How processes wait for each other and for servers that are away: one lock, one way of trying again.

A lock is held by a file, or in PostgreSQL by a connection: the system, or the server, frees it when its process dies.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from filelock import FileLock, Timeout

from hbaf.stop import clean_up, requested

if TYPE_CHECKING:
    import sqlalchemy as sql

T = TypeVar("T")
FOR_EVER = -1.0
STOPPING = 2.0  # seconds that a process which was asked to stop tries again
FIRST_WAIT, LONGEST_WAIT = 0.1, 5.0  # seconds between two tries; each wait is twice the one before


class Busy(RuntimeError):
    """Another process holds the lock, and was not waited for any longer."""


@contextmanager
def alone(file: Path, *, seconds: float = FOR_EVER) -> Iterator[None]:
    """Nobody else on this machine is inside a block of that file.

    Args:
        file: made in a folder that is there; what it holds does not matter.
        seconds: to wait for another; 0: not at all.

    Raises:
        Busy: another process is inside.
    """
    lock = FileLock(file, timeout=seconds)
    try:
        lock.acquire()
    except Timeout as error:
        raise Busy(f"{file}: another process holds this lock.") from error
    try:
        yield
    finally:
        lock.release()


class HeldLock:
    """A lock that is held by a connection to PostgreSQL, or (without one) by a file."""

    def __init__(self, connection: "sql.Connection | None" = None) -> None:
        self._connection = connection
        self._server_process = None if connection is None else _server_process(connection)

    def is_held(self) -> bool:
        """Whether the connection that took it still lives: when it ends, the server frees the lock."""
        if self._connection is None:
            return True
        import sqlalchemy as sql

        try:
            # A pool connects again without a word: another process of the server does not hold the lock.
            return not self._connection.invalidated and _server_process(self._connection) == self._server_process
        except sql.exc.DBAPIError:
            self._connection.invalidate()
            return False


@contextmanager
def alone_in_database(
    engine: "sql.Engine", name: str, file: Path, *, seconds: float = FOR_EVER, patience: float = 0.0
) -> Iterator[HeldLock]:
    """Nobody else who uses the database is inside a block of that name, on any machine.

    With PostgreSQL the lock is lost when its connection is: whoever writes for long asks whether it is still held.

    Args:
        file: holds the lock where the database is a file (SQLite), which one machine alone uses.
        seconds: to wait for another; with PostgreSQL for ever or, for 0, not at all.
        patience: seconds to try again where the database is away.

    Raises:
        Busy: another process is inside.
    """
    import sqlalchemy as sql

    if engine.dialect.name == "sqlite":
        with alone(file, seconds=seconds):
            yield HeldLock()
        return
    key = int.from_bytes(hashlib.sha256(f"hbaf {name}".encode()).digest()[:8], "big", signed=True)
    connection = again(lambda: _locked(engine, key, name, seconds != 0), database_is_away, patience)
    held = HeldLock(connection)
    try:
        yield held
    finally:
        try:
            if held.is_held():
                connection.execute(sql.select(sql.func.pg_advisory_unlock(key)))
        except sql.exc.DBAPIError:
            clean_up(f"the lock {name}", connection.invalidate)  # the server went away, and the lock with it
        finally:
            clean_up(f"the lock {name}", connection.close)


def again(call: Callable[[], T], passes: Callable[[Exception], bool], patience: float) -> T:
    """Calls until it succeeds, ever more slowly.

    Args:
        passes: whether an error may be gone in a moment; any other is raised at once.
        patience: seconds after which the error is raised; a process that was asked to stop has less.
    """
    began, wait = time.monotonic(), FIRST_WAIT
    while True:
        try:
            return call()
        except Exception as error:
            if not passes(error) or time.monotonic() - began > (min(patience, STOPPING) if requested() else patience):
                raise
        time.sleep(wait)
        wait = min(2 * wait, LONGEST_WAIT)


def database_is_away(error: BaseException) -> bool:
    """Whether a database could not be reached or was busy, also where a library wraps its driver's error."""
    import sqlalchemy as sql

    cause = error if isinstance(error, sql.exc.SQLAlchemyError) else error.__cause__
    return isinstance(cause, sql.exc.OperationalError | sql.exc.InterfaceError) or (
        isinstance(cause, sql.exc.DBAPIError) and cause.connection_invalidated
    )


def _server_process(connection: "sql.Connection") -> int:
    import sqlalchemy as sql

    return int(connection.scalar(sql.select(sql.func.pg_backend_pid())) or 0)


def _locked(engine: "sql.Engine", key: int, name: str, wait: bool) -> "sql.Connection":
    import sqlalchemy as sql

    connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    try:
        if wait:
            connection.execute(sql.select(sql.func.pg_advisory_lock(key)))
        elif not connection.scalar(sql.select(sql.func.pg_try_advisory_lock(key))):
            raise Busy(f"{name}: another process holds this lock.")
    except BaseException:
        clean_up(f"the lock {name}", connection.invalidate, connection.close)  # closed alone it would keep the lock
        raise
    return connection
