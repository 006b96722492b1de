"""The champion for work that must not stop: from the registry, or from a copy in the home while MLflow is away."""

import json
import os
import shutil
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hbaf.home import room, write_atomically
from hbaf.registry.models import NoModelError, RegisteredModel, find_model, model_of_run
from hbaf.registry.tracking import MlflowClient, mlflow, tracking_address

PATIENCE = 5.0  # seconds that a tracking server may take to say that it is there


@dataclass(frozen=True)
class Champion:
    """A model to score with.

    Attributes:
        model: its package lies in the home, whatever becomes of MLflow.
        champion_from: "cache" where MLflow could not be reached.
    """

    model: RegisteredModel
    champion_from: Literal["registry", "cache"] = "registry"


def champion(name: str | None = None) -> Champion:
    """The champion that the registry names now, or the one that it named last.

    Args:
        name: registered name; default: the only one with a champion.

    Raises:
        NoModelError: there is none, or MLflow cannot be reached and none was ever used here.
    """
    noted = room("champions") / f"{name or 'only'}.json"
    if (trouble := unreachable()) is None:
        model = kept(find_model(name))
        said = {"name": model.name, "version": model.version, "run_id": model.run_id}
        write_atomically(noted, json.dumps(said).encode())
        return Champion(model)
    if not noted.exists():
        raise NoModelError(
            f"{tracking_address()}: cannot be reached ({trouble}), and no champion was used here before. "
            "Start that server again, or set MLFLOW_TRACKING_URI."
        )
    said = json.loads(noted.read_text())
    return Champion(RegisteredModel(said["name"], said["version"], _copy_of(said["run_id"]), said["run_id"]), "cache")


def model_that_scored(label: str, run_id: str) -> RegisteredModel:
    """The model of a run, from the copies in the home or else the registry.

    Args:
        label: `name/version` as it was called when it scored.

    Raises:
        NoModelError: it is in neither.
    """
    name, _, number = label.rpartition("/")
    if (_copy_of(run_id) / "package.json").exists():
        return RegisteredModel(name, number, _copy_of(run_id), run_id)
    try:
        return kept(model_of_run(run_id, label))
    except (NoModelError, mlflow.exceptions.MlflowException) as error:
        raise NoModelError(f"{label}, run {run_id}: not in {tracking_address()}, nor kept in the home.") from error


def kept(model: RegisteredModel) -> RegisteredModel:
    """The same model with its package in the home, copied once: what a run made never changes."""
    place = _copy_of(model.run_id)
    if not (place / "package.json").exists():
        beside = place.with_name(f".{place.name}.{os.getpid()}.tmp")
        shutil.rmtree(beside, ignore_errors=True)
        shutil.copytree(model.folder, beside)
        try:
            beside.replace(place)
        except OSError:  # another process was first
            shutil.rmtree(beside, ignore_errors=True)
    return RegisteredModel(model.name, model.version, place, model.run_id)


def unreachable() -> str | None:
    """Why the registry does not answer; None where it does."""
    address = os.environ.get("MLFLOW_TRACKING_URI", "")
    if address.startswith("http"):
        # Before the client asks: it tries again for minutes.
        try:
            with urllib.request.urlopen(f"{address.rstrip('/')}/health", timeout=PATIENCE) as answer:
                return None if answer.status == 200 else f"HTTP {answer.status}"
        except urllib.error.HTTPError as error:
            return None if error.code < 500 else f"HTTP {error.code}"  # a proxy may hide the address
        except OSError as error:
            return str(getattr(error, "reason", error))
    try:
        MlflowClient().search_registered_models(max_results=1)
    except Exception as error:  # whatever its database driver raises
        return f"{type(error).__name__}"
    return None


def _copy_of(run_id: str) -> Path:
    """The copy of what a run made, there or to be made; by the run, since registries count to the same numbers."""
    before = sorted(room("champions").glob(f"versions/*/{run_id}/package.json"))  # where an older hbaf kept it
    return before[0].parent if before else room("champions", "runs") / run_id
