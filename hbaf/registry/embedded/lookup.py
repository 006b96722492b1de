"""Which model has an alias, read from the embedded database itself: MLflow alone takes a second to be imported.

Seen in MLflow 3.17; where the tables are others, nothing is found here and MLflow is asked.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

WITH_ALIAS = """
SELECT alias.name, alias.version, version.run_id
FROM registered_model_aliases AS alias
JOIN model_versions AS version
  ON version.name = alias.name AND version.version = alias.version AND version.workspace = alias.workspace
WHERE alias.alias = ? AND alias.workspace = 'default' AND version.current_stage != 'Deleted_Internal'
ORDER BY alias.name
"""


class Found(NamedTuple):
    """A version of a registered model and the run that made it."""

    name: str
    version: str
    run_id: str


def with_alias(uri: str, alias: str) -> list[Found] | None:
    """The models that have an alias; None where the address is no SQLite file, or its tables are not those known here.

    Args:
        uri: as `MLFLOW_TRACKING_URI` names it.
    """
    if not uri.startswith("sqlite:///") or "?" in uri:
        return None
    place = Path(unquote(uri.removeprefix("sqlite:///")))
    if not place.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"{place.absolute().as_uri()}?mode=ro", uri=True, timeout=30)) as connection:
            rows = connection.execute(WITH_ALIAS, (alias,)).fetchall()
    except sqlite3.Error:
        return None
    return [Found(name, str(version), run_id) for name, version, run_id in rows if run_id]
