"""Models, their aliases and runs, read from the embedded database itself: MLflow alone takes a second to be imported.

Seen in MLflow 3.17; where the tables are others, nothing is found here and MLflow is asked.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

WITH_ALIAS = """
SELECT alias.name, alias.version, version.run_id
FROM registered_model_aliases AS alias
JOIN model_versions AS version
  ON version.name = alias.name AND version.version = alias.version AND version.workspace = alias.workspace
WHERE alias.alias = ? AND alias.workspace = 'default' AND version.current_stage != 'Deleted_Internal'
ORDER BY alias.name
"""

OF_RUN = """
SELECT version.name, version.version, alias.alias IS NOT NULL, run.status, run.start_time
FROM model_versions AS version
JOIN runs AS run ON run.run_uuid = version.run_id
LEFT JOIN registered_model_aliases AS alias
  ON alias.name = version.name AND alias.version = version.version AND alias.workspace = version.workspace
  AND alias.alias = ?
WHERE version.run_id = ? AND version.workspace = 'default' AND version.current_stage != 'Deleted_Internal'
"""
TAGS = "SELECT key, value FROM tags WHERE run_uuid = ?"


class Found(NamedTuple):
    """A version of a registered model and the run that made it."""

    name: str
    version: str
    run_id: str


class OfRun(NamedTuple):
    """A version of a registered model and its run.

    Attributes:
        aliased: whether it has the alias that was asked for.
        began: milliseconds since 1970.
    """

    name: str
    version: str
    aliased: bool
    status: str
    began: int
    tags: dict[str, str]


def with_alias(uri: str, alias: str) -> list[Found] | None:
    """The models that have an alias; None where the address is no SQLite file, or its tables are not those known here.

    Args:
        uri: as `MLFLOW_TRACKING_URI` names it.
    """
    rows = _read(uri, (WITH_ALIAS, (alias,)))
    return None if rows is None else [Found(name, str(version), run_id) for name, version, run_id in rows[0] if run_id]


def of_run(uri: str, run_id: str, alias: str) -> list[OfRun] | None:
    """The versions that a run was registered as; None as for `with_alias`."""
    rows = _read(uri, (OF_RUN, (alias, run_id)), (TAGS, (run_id,)))
    if rows is None:
        return None
    tags = dict(rows[1])
    return [
        OfRun(name, str(version), bool(aliased), status, began, tags)
        for name, version, aliased, status, began in rows[0]
    ]


def _read(uri: str, *questions: tuple[str, tuple[str, ...]]) -> list[list[Any]] | None:
    if not uri.startswith("sqlite:///") or "?" in uri:
        return None
    place = Path(unquote(uri.removeprefix("sqlite:///")))
    if not place.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"{place.absolute().as_uri()}?mode=ro", uri=True, timeout=30)) as connection:
            return [connection.execute(*question).fetchall() for question in questions]
    except sqlite3.Error:
        return None
