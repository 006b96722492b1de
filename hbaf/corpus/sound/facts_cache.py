"""Measured facts, kept in the home folder between runs. It only saves time: whatever ails it, the run goes on."""

import json
import sqlite3
import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from hbaf.home import directory

K = TypeVar("K", bound=Hashable)
SECONDS_BETWEEN_COMMITS = 2.0  # what a kill costs at most
BUSY = 30.0  # seconds that one process waits for another's commit


class FactsCache:
    """Keys -> facts in SQLite; several processes may use it at once, a damaged file is made anew."""

    def __init__(self, file: Path | None = None) -> None:
        self.file = file or directory("cache") / "facts.sqlite"
        self._connection = self._open()
        self._waiting: list[tuple[str, str]] = []
        self._committed = time.monotonic()

    def get(self, keys: dict[K, str | None]) -> dict[K, dict[str, Any]]:
        """The facts that are known, by the names that the caller gave to the keys."""
        found = {}
        for name, key in keys.items():
            row = self._run("SELECT facts FROM facts WHERE key = ?", key) if key else None
            if row:
                with suppress(ValueError):
                    found[name] = json.loads(row[0])
        return found

    def put(self, key: str | None, facts: dict[str, Any]) -> None:
        """Keeps the facts of a recording, written with others every two seconds; without a key they are not kept."""
        if key is None:
            return
        self._waiting.append((key, json.dumps(facts)))
        if time.monotonic() - self._committed > SECONDS_BETWEEN_COMMITS:
            self._commit()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Commits what was put and closes the cache, also when the run is stopped."""
        try:
            yield
        finally:
            self._commit()
            if self._connection:
                self._connection.close()

    def _open(self) -> sqlite3.Connection | None:
        for attempt in range(2):
            try:
                connection = sqlite3.connect(self.file, timeout=BUSY)
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("CREATE TABLE IF NOT EXISTS facts (key TEXT PRIMARY KEY, facts TEXT NOT NULL)")
                connection.commit()
                return connection
            except sqlite3.OperationalError:  # read-only, full or locked: measure without it
                return None
            except sqlite3.DatabaseError:
                if attempt == 0:
                    self._remove()
        return None

    def _run(self, statement: str, *values: str) -> Any:
        if self._connection is None:
            return None
        try:
            return self._connection.execute(statement, values).fetchone()
        except sqlite3.OperationalError:
            return None
        except sqlite3.DatabaseError:  # damaged in the middle
            self._connection.close()
            self._remove()
            self._connection = self._open()
            return None

    def _commit(self) -> None:
        # One short transaction: the file is never locked while something is being decoded.
        if self._connection:
            with suppress(sqlite3.Error), self._connection:
                self._connection.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", self._waiting)
        self._waiting.clear()
        self._committed = time.monotonic()

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            with suppress(OSError):
                self.file.with_name(self.file.name + suffix).unlink()
