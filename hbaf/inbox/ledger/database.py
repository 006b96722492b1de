"""The ledger of scheduled scoring: its place, and the rule that one run at a time works on a source.

SQLite in the home (`inbox/ledger.sqlite`), or the PostgreSQL database of HBAF_SCORES_DATABASE where that is set. What
it says of one source, and how that changes, is `source_ledger.py`.
"""

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import sqlalchemy as sql

from hbaf.home import directory, home_folder, located, without_password, write_atomically
from hbaf.inbox.ledger.fence import Fence, take
from hbaf.inbox.ledger.forgotten import forget_names_of_version_1
from hbaf.inbox.ledger.records import LedgerError, RunRecord, SourceRecord
from hbaf.inbox.ledger.source_ledger import SourceLedger
from hbaf.inbox.ledger.tables import ARRIVALS, CONVERSATIONS, META, RUNS, SOURCES, TABLES
from hbaf.inbox.publish.parquet import ParquetDataset
from hbaf.waiting import FOR_EVER, Busy, HeldLock, alone_in_database

DATABASE = "HBAF_SCORES_DATABASE"  # environment: keeps passwords out of forms and logs
DATABASES = "databases.json"  # in the home's inbox: which ones it published to
# 1: names of what was forgotten stood there, and models went by their label alone. 2: no place had a newest writer.
VERSION = 3
SAFE = re.compile(r"[\w-]{0,100}")  # what a source is called, so the file of its lock is


class SourceBusy(RuntimeError):
    """Another run works on the source."""


def database_address() -> str | None:
    """The PostgreSQL address in the environment, for SQLAlchemy; None without one."""
    url = os.environ.get(DATABASE)
    if not url:
        return None
    scheme, _, rest = url.partition("://")
    return f"postgresql+psycopg2://{rest}" if scheme in ("postgres", "postgresql") else url


def databases_used() -> list[str]:
    """Databases that this home published to, without passwords, other than the one of the environment."""
    address = database_address()
    now = without_password(address) if address else None
    return [one for one in _noted() if one != now]


def _note_database(address: str) -> None:
    """A shell without HBAF_SCORES_DATABASE would not know it (`hbaf forget` must)."""
    if address not in (known := _noted()):
        write_atomically(directory("inbox") / DATABASES, json.dumps([*known, address], indent=1).encode())


def _noted() -> list[str]:
    file = home_folder() / "inbox" / DATABASES
    return json.loads(file.read_text()) if file.exists() else []


class Ledger:
    """The database; made if absent."""

    def __init__(self, engine: sql.Engine) -> None:
        self.engine = engine
        self.embedded = engine.dialect.name == "sqlite"
        self._prepare()

    @classmethod
    def open(cls) -> "Ledger":
        """The one of the environment, else the one in the home."""
        address = database_address()
        if address:
            ledger = cls(sql.create_engine(address, pool_pre_ping=True))
            _note_database(without_password(address))
            return ledger
        engine = sql.create_engine(
            f"sqlite:///{directory('inbox') / 'ledger.sqlite'}", connect_args={"timeout": 60}, poolclass=sql.NullPool
        )

        @sql.event.listens_for(engine, "connect")
        def _settings(connection: Any, _: object) -> None:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")

        return cls(engine)

    @classmethod
    def existing(cls) -> "Ledger | None":
        """None where nothing was ever scheduled: asking makes no database."""
        there = database_address() is not None or (home_folder() / "inbox" / "ledger.sqlite").exists()
        return cls.open() if there else None

    def _prepare(self) -> None:
        with self._locked("tables"), self.engine.begin() as connection:
            TABLES.create_all(connection)
            self._index(connection)
            found = connection.scalar(sql.select(META.c.version))
            if found is None:
                connection.execute(META.insert().values(version=VERSION))
            elif found > VERSION:
                raise LedgerError(f"the inbox was written by a newer hbaf (version {found}). Upgrade hbaf to use it.")
            elif found < VERSION:
                for table in (CONVERSATIONS, RUNS):
                    if any(column["name"] == "run_id" for column in sql.inspect(connection).get_columns(table.name)):
                        continue
                    connection.execute(sql.text(f"ALTER TABLE {table.name} ADD COLUMN run_id TEXT"))
                if found < 2:
                    forget_names_of_version_1(connection, time.time())
                connection.execute(META.update().values(version=VERSION))

    def _index(self, connection: sql.Connection) -> None:
        """Makes the indexes that an older hbaf did not make; they change nothing that it reads."""
        asked = sql.inspect(connection)
        for table in (ARRIVALS, CONVERSATIONS):
            there = {one["name"] for one in asked.get_indexes(table.name)}
            for index in table.indexes:
                if index.name not in there:
                    index.create(connection)

    def of(self, source: str, clock: Callable[[], float] = time.time, fence: Fence | None = None) -> SourceLedger:
        """What the ledger says of one source.

        Args:
            fence: of whoever writes; every write asks whether it is still the newest.
        """
        return SourceLedger(self.engine, source, clock, fence)

    def sources(self) -> list[SourceRecord]:
        """All sources, by name."""
        with self.engine.begin() as connection:
            asked = sql.select(SOURCES).order_by(SOURCES.c.source)
            rows = connection.execute(asked).mappings()
            return [SourceRecord(row["source"], located(row["url"]), located(row["published"])) for row in rows]

    def runs(self, source: str | None = None, limit: int = 100) -> list[RunRecord]:
        """The latest runs, newest first."""
        asked = sql.select(RUNS).order_by(RUNS.c.run.desc()).limit(limit)
        if source is not None:
            asked = asked.where(RUNS.c.source == source)
        with self.engine.begin() as connection:
            return [RunRecord.of(row) for row in connection.execute(asked).mappings()]

    def erase(self) -> None:
        """Overwrites what was deleted from an embedded ledger; a server does that when it vacuums."""
        if self.embedded:
            with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("VACUUM")
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def alone(self, source: str, published: str | None = None, *, wait: bool = True) -> Iterator[Fence]:
        """Nobody else works on that source, or on what is published at its place, whatever the source is called.

        A process that dies leaves no lock behind. One whose lock is lost while it lives is stopped by the fence at its
        next write.

        Args:
            source: its name; "" for a place that the ledger knows no source of.
            published: folder or URL of the dataset; default: as the ledger knows it.

        Raises:
            SourceBusy: somebody is, and `wait` is False.
        """
        known = next((one.published for one in self.sources() if one.source == source), "")
        dataset = ParquetDataset(published or known or str(directory("published", source)))
        place = dataset.canonical
        with ExitStack() as stack:
            # Always in this order, so that no two wait for each other.
            locks = [stack.enter_context(self._locked(name, wait)) for name in (source, f"place {place}")]
            yield take(self.engine, place, source, dataset.token, lambda: all(lock.is_held() for lock in locks))

    @contextmanager
    def _locked(self, name: str, wait: bool = True) -> Iterator[HeldLock]:
        plain = name if SAFE.fullmatch(name) else hashlib.sha256(name.encode()).hexdigest()[:16]
        file = directory("inbox") / f".{plain}.lock"
        with ExitStack() as stack:
            try:
                seconds = FOR_EVER if wait else 0
                held = stack.enter_context(alone_in_database(self.engine, name, file, seconds=seconds))
            except Busy as error:
                raise SourceBusy(f"another run works on {name}. Wait for it, or leave the work to it.") from error
            yield held
