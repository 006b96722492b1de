"""Where state lives: one home folder and its directories, and what the libraries read from the environment at import.

The home is `HBAF_HOME`, or the user's data directory (platformdirs). Nothing is ever written into the checkout.
"""

import json
import os
import re
import tomllib
import urllib.parse
from collections.abc import Mapping
from pathlib import Path

from hbaf.files import STORAGE_TROUBLE, StorageError, published, storage_message, write_atomically

# Where everybody finds them, who writes into the home.
__all__ = ["StorageError", "published", "storage_message", "write_atomically"]

FORMAT_VERSION = 1

# Telemetry off, no surprise downloads, and no spinning OpenMP threads: on a small busy machine two spinning torch
# threads make a small model fifty times slower. MLflow wants the word `true`.
QUIET_ENVIRONMENT = {
    "DO_NOT_TRACK": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    # Else logging a model loads it once more, only to list the environment variables that it reads.
    "MLFLOW_RECORD_ENV_VARS_IN_MODEL_LOGGING": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_WAIT_POLICY": "PASSIVE",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_WORKER_QUERY_SECONDS": "2",
}


# SQLite has words in place of numbers, and its callers wrap them.
DATABASE_TROUBLE = (
    "database or disk is full",
    "attempt to write a readonly database",
    "unable to open database file",
    "disk I/O error",
)


# Where libraries that we call look for keys.
SECRETS = (
    "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "PREFECT_API_KEY", "PREFECT_API_AUTH_STRING",
    "PREFECT_SERVER_API_AUTH_STRING", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "HF_TOKEN", "HBAF_WEBHOOK_SECRET",
)  # fmt: skip
SHORTEST_SECRET = 6  # letters; a shorter value would be found in ordinary words


class HomeError(RuntimeError):
    """The home folder cannot be used."""


def home_folder() -> Path:
    """The home folder as an absolute path, made if absent.

    Raises:
        HomeError: it cannot be made or written, a newer hbaf wrote it, or a deployed run names it by a relative path.
    """
    named = os.environ.get("HBAF_HOME")
    if named:
        if os.environ.get("PREFECT__FLOW_RUN_ID") and not Path(named).expanduser().is_absolute():
            raise HomeError(
                f"HBAF_HOME={named} is a relative path, and a deployed run works in a folder that its worker chose: "
                "the results would be lost. Start the worker with an absolute HBAF_HOME."
            )
        folder = Path(named).expanduser().absolute()
    else:
        import platformdirs

        folder = Path(platformdirs.user_data_dir("hbaf", appauthor=False))
    try:
        if not folder.exists():
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)  # whatever the umask; one that was made by hand keeps what its owner chose
        _check_format(folder)
    except (OSError, StorageError) as error:
        reason = error if isinstance(error, OSError) else error.__cause__
        raise HomeError(
            f"{folder}: the home folder cannot be written ({getattr(reason, 'strerror', None) or reason}). "
            "Set HBAF_HOME to a folder that you own."
        ) from error
    return folder


def _check_format(folder: Path) -> None:
    stamp = folder / "hbaf-home.json"
    if not stamp.exists():
        write_atomically(stamp, json.dumps({"format": FORMAT_VERSION}).encode())
        return
    found = json.loads(stamp.read_text())["format"]
    if found > FORMAT_VERSION:
        raise HomeError(
            f"{folder}: written by a newer hbaf (format {found}, this one knows {FORMAT_VERSION}). "
            "Upgrade hbaf, or set HBAF_HOME to another folder."
        )


def directory(*names: str) -> Path:
    """A folder inside the home, made if absent: `directory("features")`, `directory("mlflow", "artifacts")`."""
    folder = home_folder().joinpath(*names)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(storage_message(error, folder)) from error
    return folder


def portable(path: Path | str) -> str:
    """A place as a file of the home names it: one inside the home from there, so that the home can be moved."""
    text = str(path)
    if "://" in text:
        return text
    whole, home = Path(text).absolute(), home_folder()
    return str(whole.relative_to(home)) if whole != home and whole.is_relative_to(home) else str(whole)


def located(named: str) -> str:
    """The place that `portable` named, where the home is now.

    An older hbaf named the whole path. Where nothing is there any more, and the same stands in this home, the home was
    moved.
    """
    path = Path(named)
    if "://" in named or not named:
        return named
    if not path.is_absolute():
        return str(home_folder() / path)
    tails = (Path(*path.parts[at:]) for at in range(1, len(path.parts)))
    inside = () if path.exists() else (place for tail in tails if (place := home_folder() / tail).exists())
    return str(next(iter(inside), path))


def storage_trouble(error: BaseException) -> str | None:
    """What to tell a person if an error, or one that caused it, is a disk that cannot be written; None otherwise."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, OSError) and cause.errno in STORAGE_TROUBLE:
            return storage_message(cause)
        message = str(cause)
        for trouble in DATABASE_TROUBLE:
            if trouble in message:
                return (
                    f"a database cannot be written ({trouble}); what was written before is whole. Free space or permit "
                    f"writing in {home_folder()}, then run the same command again: it goes on where it stopped."
                )
        cause = cause.__cause__ or cause.__context__
    return None


def parted(url: str) -> tuple[str, str]:
    """A URL without its user and password, which no HTTP library of Python's own understands; and `user:password`."""
    place = urllib.parse.urlsplit(url)
    if place.username is None:
        return url, ""
    key = f"{urllib.parse.unquote(place.username)}:{urllib.parse.unquote(place.password or '')}"
    return place._replace(netloc=place.netloc.rpartition("@")[2]).geturl(), key


def without_password(address: str) -> str:
    """A server's or database's address as it may be shown: user, password and query are left out."""
    return re.sub(r"(?<=://)[^/@]*@|\?.*", "", address) if "://" in address else address


def without_passwords(text: str) -> str:
    """A message without the users and passwords of addresses in it, nor the secrets of this environment."""
    text = re.sub(r"(?<=://)[^/@\s'\"]+@", "", text)
    for name in SECRETS:
        value = os.environ.get(name, "")
        if len(value) >= SHORTEST_SECRET:
            text = text.replace(value, "***")
    return text


def prepare_environment() -> None:
    """Sets what is not set yet; call it before importing prefect, mlflow, great_expectations or torch.

    Servers that the environment or the user's Prefect profile already names are left alone.
    """
    for name, value in QUIET_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    folder = home_folder()
    own_profiles = Path("~/.prefect/profiles.toml").expanduser()
    if "PREFECT_HOME" not in os.environ and "PREFECT_API_URL" not in os.environ and not own_profiles.exists():
        os.environ["PREFECT_HOME"] = str(folder / "prefect")
    if "MLFLOW_TRACKING_URI" not in os.environ:
        os.environ["MLFLOW_TRACKING_URI"] = stack_url("mlflow") or f"sqlite:///{directory('mlflow') / 'mlflow.db'}"


def prefect_environment() -> dict[str, str]:
    """The environment of a process that speaks with Prefect: the stack of this home, where nothing else is named."""
    environment = dict(os.environ)
    secret = home_folder() / "stack" / "prefect.password"
    if "PREFECT_API_URL" not in environment and (url := stack_url("prefect")) is not None:
        environment["PREFECT_API_URL"] = url
        if "PREFECT_API_AUTH_STRING" not in environment and secret.exists():
            environment["PREFECT_API_AUTH_STRING"] = secret.read_text()
    return environment


def may_name_prefect(environment: Mapping[str, str]) -> bool:
    """Whether the environment, a profile or a file in the working folder could name a Prefect server.

    What they name only Prefect knows; False spares the seconds that its import takes.

    Args:
        environment: that of the process which would speak with it.
    """
    if environment.keys() & {"PREFECT_API_URL", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH"}:
        return True
    profiles = Path(environment.get("PREFECT_HOME", "~/.prefect")).expanduser() / "profiles.toml"
    if any(file.exists() for file in (profiles, Path("prefect.toml"), Path(".env"))):
        return True
    try:
        project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    except ValueError:
        return True
    return "api" in project.get("tool", {}).get("prefect", {})


def stack_url(name: str) -> str | None:
    """Address of a server that `make up` started on this home and that still runs (infra/stack.py writes the file)."""
    written = home_folder() / "stack" / "stack.json"
    if not written.exists():
        return None
    import psutil

    stack = json.loads(written.read_text())
    service = stack["services"].get(name)
    try:
        alive = service is None or abs(psutil.Process(service["pid"]).create_time() - service["started"]) < 2
    except psutil.NoSuchProcess:
        alive = False
    return str(stack["urls"][name]) if alive and name in stack["urls"] else None
