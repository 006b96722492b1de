"""The ledger's tables, its place, and the rule that one run at a time works on a source.

SQLite in the home (`inbox/ledger.sqlite`), or the PostgreSQL database of HBAF_SCORES_DATABASE where that is set. All
times are seconds since 1970.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sql
from filelock import FileLock, Timeout

from hbaf.home import home_folder, room

DATABASE = "HBAF_SCORES_DATABASE"  # environment: keeps passwords out of forms and logs
VERSION = 1

_tables = sql.MetaData()
META = sql.Table("hbaf_inbox_meta", _tables, sql.Column("version", sql.Integer, primary_key=True))
SOURCES = sql.Table(
    "hbaf_inbox_sources",
    _tables,
    sql.Column("source", sql.Text, primary_key=True),
    sql.Column("url", sql.Text, nullable=False),
    sql.Column("published", sql.Text, nullable=False),
)
ARRIVALS = sql.Table(
    "hbaf_inbox_arrivals",
    _tables,
    sql.Column("source", sql.Text, primary_key=True),
    sql.Column("arrival", sql.Text, primary_key=True),
    sql.Column("fingerprint", sql.Text, nullable=False),
    sql.Column("state", sql.Text, nullable=False),
    sql.Column("reason", sql.Text, nullable=False, default=""),
    sql.Column("first_seen", sql.Float, nullable=False),  # seconds since 1970, as all times here
    sql.Column("changed_at", sql.Float, nullable=False),  # when this fingerprint was seen first
    sql.Column("state_at", sql.Float, nullable=False),
)
CONVERSATIONS = sql.Table(
    "hbaf_inbox_conversations",
    _tables,
    sql.Column("source", sql.Text, primary_key=True),
    sql.Column("conversation", sql.Text, primary_key=True),  # "<source>/<dialogue_id>"
    sql.Column("arrival", sql.Text, nullable=False),
    sql.Column("digest", sql.Text, nullable=False),
    sql.Column("state", sql.Text, nullable=False),
    sql.Column("reason", sql.Text, nullable=False, default=""),
    sql.Column("first_seen", sql.Float, nullable=False),
    sql.Column("state_at", sql.Float, nullable=False),
    # What is published, which stays while a newer content waits or is in quarantine.
    sql.Column("part", sql.Integer),
    sql.Column("published_digest", sql.Text),
    sql.Column("model_version", sql.Text),
    sql.Column("rows", sql.Integer),
    sql.Column("unscored", sql.Integer),
    sql.Column("published_at", sql.Float),
    sql.Column("rescore", sql.Boolean, nullable=False, default=False),
    sql.Index("hbaf_inbox_by_digest", "source", "digest"),
    sql.Index("hbaf_inbox_by_arrival", "source", "arrival"),
)
RUNS = sql.Table(
    "hbaf_inbox_runs",
    _tables,
    sql.Column("run", sql.Integer, primary_key=True, autoincrement=True),
    sql.Column("source", sql.Text, nullable=False),
    sql.Column("model_version", sql.Text, nullable=False),
    sql.Column("champion_from", sql.Text, nullable=False),
    sql.Column("purpose", sql.Text, nullable=False),
    sql.Column("state", sql.Text, nullable=False),
    sql.Column("started_at", sql.Float, nullable=False),
    sql.Column("ended_at", sql.Float),
    sql.Column("counts", sql.Text, nullable=False, default="{}"),
    sql.Column("error", sql.Text, nullable=False, default=""),
)


class LedgerError(RuntimeError):
    """The ledger cannot be used."""


class SourceBusy(RuntimeError):
    """Another run works on the source."""


def database_address() -> str | None:
    """The PostgreSQL address in the environment, for SQLAlchemy; None without one."""
    url = os.environ.get(DATABASE)
    if not url:
        return None
    scheme, _, rest = url.partition("://")
    return f"postgresql+psycopg2://{rest}" if scheme in ("postgres", "postgresql") else url


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
            return cls(sql.create_engine(address, pool_pre_ping=True))
        engine = sql.create_engine(
            f"sqlite:///{room('inbox') / 'ledger.sqlite'}", connect_args={"timeout": 60}, poolclass=sql.NullPool
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
        with self.alone("tables"), self.engine.begin() as connection:
            _tables.create_all(connection)
            found = connection.scalar(sql.select(META.c.version))
            if found is None:
                connection.execute(META.insert().values(version=VERSION))
            elif found > VERSION:
                raise LedgerError(f"the inbox was written by a newer hbaf (version {found}). Upgrade hbaf to use it.")

    @contextmanager
    def alone(self, name: str, *, wait: bool = True) -> Iterator[None]:
        """Nobody else is inside a block of that name; a process that dies leaves no lock behind.

        Args:
            name: of a source.

        Raises:
            SourceBusy: somebody is, and `wait` is False.
        """
        busy = f"another run works on {name}. Wait for it, or leave the work to it."
        if self.embedded:
            lock = FileLock(room("inbox") / f".{name}.lock", timeout=-1 if wait else 0)
            try:
                lock.acquire()
            except Timeout as error:
                raise SourceBusy(busy) from error
            try:
                yield
            finally:
                lock.release()
            return
        key = int.from_bytes(hashlib.sha256(f"hbaf {name}".encode()).digest()[:8], "big", signed=True)
        # The server gives the lock back when this connection ends, however it ends.
        with self.engine.connect() as connection:
            if wait:
                connection.execute(sql.select(sql.func.pg_advisory_lock(key)))
            elif not connection.scalar(sql.select(sql.func.pg_try_advisory_lock(key))):
                raise SourceBusy(busy)
            connection.commit()
            try:
                yield
            finally:
                connection.execute(sql.select(sql.func.pg_advisory_unlock(key)))
                connection.commit()
