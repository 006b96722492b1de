"""Runs and models of another MLflow database, brought into the home's: an older `make up` kept its own in PostgreSQL.

Runs and logged models keep their ids, which are unique wherever they were made. Experiments are matched by name. A
version whose number another run has here gets the next one: a model is known by its run, a number is only its label.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sql

from hbaf.registry.embedded.moved_home import PLACES

BLOCK = 2000  # rows in one statement
PROXIED = "mlflow-artifacts:/"  # how a server that hands artifacts on names the folder that it keeps them in
# In the order of their references. Experiments, models and versions, whose numbers may change, are not among them.
BY_ID = ("runs", "params", "metrics", "latest_metrics", "tags", "logged_models", "logged_model_metrics",
         "logged_model_params", "logged_model_tags", "inputs", "input_tags")  # fmt: skip
CHAMPION, PREVIOUS = "champion", "previous"
Row = dict[str, Any]


class CarryError(RuntimeError):
    """A database cannot be carried over as it is."""


@dataclass(frozen=True)
class CarriedOver:
    """What came.

    Attributes:
        runs: that were not here.
        numbers: `name/version` there -> version here, of every version.
    """

    runs: int
    numbers: dict[str, str]

    def __str__(self) -> str:
        numbers = self.numbers.items()
        moved = [f"{label} is version {here} now" for label, here in numbers if label.rpartition("/")[2] != here]
        return "; ".join([f"{self.runs} runs and {len(self.numbers)} versions of models", *moved])


def carry_over(source: str, database: Path, artifacts: Path) -> CarriedOver:
    """Copies what is not here yet, in one transaction; done twice, the second time changes nothing.

    Where both have a champion of one name, the version that was made later stays it, and the other becomes `previous`.

    Args:
        source: SQLAlchemy address of the other database.
        database: the home's, of the same version of MLflow.
        artifacts: the folder that the other one's server kept artifacts in.

    Raises:
        CarryError: the two are of different versions of MLflow.
    """
    engine = sql.create_engine(source)
    try:
        with (
            engine.connect() as there,
            closing(sqlite3.connect(database, timeout=60)) as here,
            here,
        ):
            copy = _Copy(there, here, artifacts.as_uri())
            copy.check_versions(source, database)
            before = copy.count_runs()
            experiments = copy.experiments()
            for table in BY_ID:
                copy.insert(table, copy.rows(table), experiments)
            numbers = copy.versions()
            copy.aliases(numbers)
            runs = copy.count_runs() - before
        return CarriedOver(runs, {f"{name}/{old}": str(new) for (name, old), new in numbers.items()})
    finally:
        engine.dispose()


class _Copy:
    def __init__(self, there: sql.Connection, here: sqlite3.Connection, artifacts: str) -> None:
        self.there, self.here, self.artifacts = there, here, artifacts

    def check_versions(self, source: str, database: Path) -> None:
        asked = "SELECT version_num FROM alembic_version"
        theirs, ours = self.there.execute(sql.text(asked)).scalar(), self.here.execute(asked).fetchone()[0]
        if theirs != ours:
            raise CarryError(
                f"MLflow's databases are of different versions ({theirs} in {source}, {ours} in {database}). Run "
                "`mlflow db upgrade ADDRESS` on both (sqlite:///PATH for the file), then the same command again."
            )

    def count_runs(self) -> int:
        return int(self.here.execute("SELECT count(*) FROM runs").fetchone()[0])

    def rows(self, table: str) -> Iterator[Row]:
        found = self.there.execution_options(yield_per=BLOCK).execute(sql.text(f"SELECT * FROM {table}"))
        return (dict(row) for row in found.mappings())

    def insert(self, table: str, rows: Iterator[Row], experiments: dict[int, int] | None = None) -> None:
        """Rows whose key is here already stay as they are here."""
        places = [column for name, column in PLACES if name == table]
        statement = ""
        for row in rows:
            if experiments and row.get("experiment_id") is not None:
                row["experiment_id"] = experiments[row["experiment_id"]]
            row |= {name: self._local(row[name]) for name in places}
            if not statement:
                marks = ", ".join(f":{name}" for name in row)
                statement = f"INSERT OR IGNORE INTO {table} ({', '.join(row)}) VALUES ({marks})"
            self.here.execute(statement, row)

    def experiments(self) -> dict[int, int]:
        """Id there -> id here."""
        ids = {}
        for row in list(self.rows("experiments")):
            number = row.pop("experiment_id")
            self.insert("experiments", iter([row]))
            found = self.here.execute("SELECT experiment_id FROM experiments WHERE name = ?", (row["name"],))
            ids[number] = int(found.fetchone()[0])
        self.insert("experiment_tags", self.rows("experiment_tags"), ids)
        return ids

    def versions(self) -> dict[tuple[str, int], int]:
        """(name, version there) -> version here."""
        self.insert("registered_models", self.rows("registered_models"))
        self.insert("registered_model_tags", self.rows("registered_model_tags"))
        numbers: dict[tuple[str, int], int] = {}
        for row in sorted(self.rows("model_versions"), key=lambda row: (row["name"], row["version"])):
            asked = "SELECT version, run_id FROM model_versions WHERE name = ?"
            known = {int(version): run for version, run in self.here.execute(asked, (row["name"],))}
            same = [version for version, run in known.items() if run == row["run_id"]]
            wanted = row["version"] if row["version"] not in known else max(known) + 1
            numbers[row["name"], row["version"]] = number = same[0] if same else wanted
            self.insert("model_versions", iter([{**row, "version": number}]))
        tags = (
            {**row, "version": numbers[row["name"], row["version"]]} for row in list(self.rows("model_version_tags"))
        )
        self.insert("model_version_tags", tags)
        return numbers

    def aliases(self, numbers: dict[tuple[str, int], int]) -> None:
        """A challenger or a previous champion of here stays; of two champions the later version wins."""
        for row in sorted(self.rows("registered_model_aliases"), key=lambda row: row["alias"] != CHAMPION):
            name, coming = row["name"], numbers[row["name"], row["version"]]
            present = self._alias(name, row["alias"])
            if row["alias"] == CHAMPION and present not in (None, coming):
                winner, loser = sorted((present, coming), key=lambda number: self._made(name, number), reverse=True)
                self._set_alias({**row, "version": winner})
                self._set_alias({**row, "alias": PREVIOUS, "version": loser})
            elif present is None:
                self._set_alias({**row, "version": coming})

    def _alias(self, name: str, alias: str) -> int | None:
        asked = "SELECT version FROM registered_model_aliases WHERE name = ? AND alias = ?"
        found = self.here.execute(asked, (name, alias)).fetchone()
        return None if found is None else int(found[0])

    def _set_alias(self, row: Row) -> None:
        at = (row["name"], row["alias"])
        self.here.execute("DELETE FROM registered_model_aliases WHERE name = ? AND alias = ?", at)
        self.insert("registered_model_aliases", iter([row]))

    def _made(self, name: str, version: int) -> int:
        asked = "SELECT creation_time FROM model_versions WHERE name = ? AND version = ?"
        return int(self.here.execute(asked, (name, version)).fetchone()[0])

    def _local(self, place: str | None) -> str | None:
        if place is None or not place.startswith(PROXIED):
            return place
        return f"{self.artifacts}/{place.removeprefix(PROXIED).lstrip('/')}"
