"""Where state lives: one home folder, its rooms, and the environment that the libraries read when they are imported.

The home is `HBAF_HOME`, or the user's data directory (platformdirs). Nothing is ever written into the checkout.
"""

import json
import os
from pathlib import Path

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
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_WAIT_POLICY": "PASSIVE",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_WORKER_QUERY_SECONDS": "2",
}


class HomeError(RuntimeError):
    """The home folder cannot be used."""


def home_folder() -> Path:
    """The home folder as an absolute path, made if absent.

    Raises:
        HomeError: it cannot be made or written, or a newer hbaf wrote it.
    """
    named = os.environ.get("HBAF_HOME")
    if named:
        folder = Path(named).expanduser().absolute()
    else:
        import platformdirs

        folder = Path(platformdirs.user_data_dir("hbaf", appauthor=False))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _check_format(folder)
    except OSError as error:
        raise HomeError(
            f"{folder}: the home folder cannot be written ({error.strerror or error}). "
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


def room(*names: str) -> Path:
    """A folder inside the home, made if absent: `room("features")`, `room("mlflow", "artifacts")`."""
    folder = home_folder().joinpath(*names)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_atomically(path: Path, content: bytes) -> None:
    """Writes beside, syncs, then renames: a reader sees the old file or the new one, never a half."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


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
    os.environ.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{room('mlflow') / 'mlflow.db'}")
