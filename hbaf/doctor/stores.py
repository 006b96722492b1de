"""MLflow and the database of studies: do they answer, let us in, and take a write."""

import os
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from hbaf.doctor.asking import NoAnswer, Refused, ask
from hbaf.doctor.finding import Finding, bad, note, ok
from hbaf.home import without_password, without_passwords


def look_at_mlflow() -> Iterator[Finding]:
    """Whether the MLflow server that is named answers and can be written to."""
    uri = os.environ["MLFLOW_TRACKING_URI"]
    shown = without_password(uri)
    if uri.startswith(("file:", "/", ".")):
        yield bad("MLflow", f"{shown}: MLflow 3.17 refuses folders", f"use sqlite:///{Path('mlflow.db').absolute()}")
        return
    if uri.startswith("sqlite:") and not Path(uri.removeprefix("sqlite:///")).exists():
        yield ok("MLflow", f"{shown}, made at the first run")
        return
    if uri.startswith("http"):
        try:
            version = ask(f"{uri}/version", key=_mlflow_key())
        except Refused as error:
            yield bad("MLflow", str(error), "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (or _TOKEN)")
            return
        except NoAnswer as error:
            yield bad("MLflow", str(error), "start that server, or unset MLFLOW_TRACKING_URI: SQLite in the home then")
            return
        if version != metadata.version("mlflow"):
            message = f"the server is {version}, the client here {metadata.version('mlflow')}"
            yield note("MLflow", message, "use one version on both sides")
    try:
        from hbaf.registry.trial_write import trial_write

        place = trial_write()
    except Exception as error:  # MLflow's client raises its own, SQLAlchemy's, and those of every artifact store
        message = without_passwords(f"{type(error).__name__}: {error}").splitlines()[0]
        yield bad("MLflow", f"{shown}: a trial write failed: {message}", "permit writing to its database and artifacts")
        return
    yield ok("MLflow", f"{shown}: a trial write was taken and removed, artifacts in {without_password(place)}")


def _mlflow_key() -> str:
    user, password = (os.environ.get(f"MLFLOW_TRACKING_{name}", "") for name in ("USERNAME", "PASSWORD"))
    return f"{user}:{password}" if user or password else os.environ.get("MLFLOW_TRACKING_TOKEN", "")


def look_at_studies() -> Iterator[Finding]:
    """Only a database that the user named: the one in the home is made at the first search."""
    url = os.environ.get("HBAF_SEARCH_STORAGE")
    if not url:
        return
    import sqlalchemy

    table = f"hbaf_doctor_{os.getpid()}"
    try:
        engine = sqlalchemy.create_engine(url)
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text(f"CREATE TABLE {table} (one INTEGER)"))
            connection.execute(sqlalchemy.text(f"DROP TABLE {table}"))
        engine.dispose()
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
        message = without_passwords(str(getattr(error, "orig", None) or error)).strip().splitlines()[0]
        fix = "check HBAF_SEARCH_STORAGE: postgresql+psycopg2://user:password@host/database"
        yield bad("search storage", f"{without_password(url)}: {message}", fix)
        return
    yield ok("search storage", f"{without_password(url)}: a trial write was taken and removed")
