"""A home folder that was moved or copied: MLflow's database notes where artifacts lie, and is set right here."""

import hashlib
import socket
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

ARTIFACTS = "/mlflow/artifacts"
# Where MLflow's own tables keep places.
PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
    ("model_versions", "source"),
)


def follow(database: Path, home: Path, tag: str) -> str | None:
    """Rewrites the places of a database that was made in another home, in one transaction.

    Args:
        database: MLflow's, of the home.
        home: where the home is now.
        tag: the tag of runs that tells whose they are: the digest of host and home.

    Returns:
        The place of before, None where nothing was to do.
    """
    here = home.as_uri()
    with closing(sqlite3.connect(database, timeout=30)) as connection, connection:
        found = connection.execute(
            "SELECT artifact_location FROM experiments WHERE artifact_location LIKE 'file:%' ORDER BY experiment_id"
        ).fetchall()
        before = next((place.partition(ARTIFACTS)[0] for (place,) in found if ARTIFACTS in place), here)
        if before == here or _is_same(before, home):
            return None
        for table, column in PLACES:
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                (here + ARTIFACTS, len(before + ARTIFACTS) + 1, len(before + ARTIFACTS), before + ARTIFACTS),
            )
        for table in ("tags", "experiment_tags"):
            connection.execute(
                f"UPDATE {table} SET value = ? WHERE key = ? AND value = ?",
                (digest_of(home), tag, digest_of(_path(before))),
            )
    return str(_path(before))


def digest_of(home: Path) -> str:
    """Whose runs are ours, where many machines share a server: host and home folder, as a digest."""
    return hashlib.sha256(f"{socket.gethostname()}:{home}".encode()).hexdigest()[:16]


def _path(uri: str) -> Path:
    return Path(unquote(urlsplit(uri).path))


def _is_same(before: str, home: Path) -> bool:
    """Two names of one folder, as through a link."""
    try:
        return _path(before).samefile(home)
    except OSError:
        return False
