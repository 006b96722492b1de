"""The champion for work that must not stop: from the registry, or from a copy in the home while MLflow is away."""

import json
import logging
import os
import shutil
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hbaf.files import move_folder, published_folder, tree_digest
from hbaf.home import directory, parted, write_atomically
from hbaf.registry.embedded.lookup import with_alias
from hbaf.registry.models import CHAMPION, NoModelError, RegisteredModel, find_model, model_of_run
from hbaf.stop import check

log = logging.getLogger(__name__)

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
    noted = directory("champions") / f"{name or 'only'}.json"
    if (here := _kept_here(name)) is not None:
        _note(noted, here)
        return Champion(here)
    from hbaf.registry.tracking import tracking_address

    if (trouble := unreachable()) is None:
        model = kept(find_model(name))
        _note(noted, model)
        return Champion(model)
    if not noted.exists():
        raise NoModelError(
            f"{tracking_address()}: cannot be reached ({trouble}), and no champion was used here before. "
            "Start that server again, or set MLFLOW_TRACKING_URI."
        )
    facts = json.loads(noted.read_text())
    place = _copy_of(facts["run_id"])
    if _is_whole(place) is False:
        raise NoModelError(
            f"{place}: is not the model that was kept here: its files are missing, damaged or changed, so nothing is "
            f"scored with it. {tracking_address()} cannot be reached ({trouble}); it is copied anew when it answers."
        )
    return Champion(RegisteredModel(facts["name"], facts["version"], place, facts["run_id"]), "cache")


def _kept_here(name: str | None) -> RegisteredModel | None:
    """The champion that the embedded database names, where its copy in the home is whole; else MLflow is asked."""
    found = with_alias(embedded_registry(), CHAMPION) or []
    wanted = [one for one in found if name in (None, one.name)]
    if len(wanted) != 1:
        return None
    [one] = wanted
    place = whole_copy(one.run_id)
    return None if place is None else RegisteredModel(one.name, one.version, place, one.run_id)


def embedded_registry() -> str:
    """Address of the tracking server that may be a database to read; "" where models are registered elsewhere."""
    return "" if "MLFLOW_REGISTRY_URI" in os.environ else os.environ.get("MLFLOW_TRACKING_URI", "")


def whole_copy(run_id: str) -> Path | None:
    """The package of a run as it was copied into the home, unchanged; None without."""
    place = _copy_of(run_id)
    return place if _is_whole(place) else None


def _note(noted: Path, model: RegisteredModel) -> None:
    facts = {"name": model.name, "version": model.version, "run_id": model.run_id}
    write_atomically(noted, json.dumps(facts).encode())


def model_that_scored(label: str, run_id: str) -> RegisteredModel:
    """The model of a run, from the copies in the home or else the registry.

    Args:
        label: `name/version` as it was called when it scored.

    Raises:
        NoModelError: it is in neither.
    """
    name, _, number = label.rpartition("/")
    place = _copy_of(run_id)
    if (place / "package.json").exists() and _is_whole(place) is not False:
        return RegisteredModel(name, number, place, run_id)
    from hbaf.registry.tracking import mlflow, tracking_address

    try:
        return kept(model_of_run(run_id, label))
    except (NoModelError, mlflow.exceptions.MlflowException) as error:
        raise NoModelError(f"{label}, run {run_id}: not in {tracking_address()}, nor kept in the home.") from error


def kept(model: RegisteredModel) -> RegisteredModel:
    """The same model with its package in the home, copied once: what a run made never changes.

    A copy that was changed is replaced.
    """
    place = _copy_of(model.run_id)
    if not _is_whole(place):
        place.parent.mkdir(exist_ok=True)
        if place.exists():
            log.warning("%s: files are missing, damaged or changed, or no digest was kept; copied anew", place)
            changed = place.with_name(f".{place.name}.{os.urandom(4).hex()}.changed.tmp")
            move_folder(place, changed)
            shutil.rmtree(changed, ignore_errors=True)
        with published_folder(place) as beside:
            shutil.copytree(model.folder, beside, dirs_exist_ok=True)
        write_atomically(_digest_file(place), tree_digest(place).encode(), private=True)
    return RegisteredModel(model.name, model.version, place, model.run_id)


def _digest_file(place: Path) -> Path:
    return place.with_name(f"{place.name}.sha256")


def _is_whole(place: Path) -> bool | None:
    """Whether a copy is what was kept; None for one from before digests were kept."""
    if not (place / "package.json").exists():
        return False
    noted = _digest_file(place)
    return noted.read_text() == tree_digest(place) if noted.exists() else None


def unreachable() -> str | None:
    """Why the registry does not answer; None where it does."""
    address = os.environ.get("MLFLOW_TRACKING_URI", "")
    if address.startswith("http"):
        # Before the client asks: it tries again for minutes.
        try:
            # Who may enter is asked later; a server that wants a name is there.
            with urllib.request.urlopen(f"{parted(address)[0].rstrip('/')}/health", timeout=PATIENCE) as answer:
                return None if answer.status == 200 else f"HTTP {answer.status}"
        except urllib.error.HTTPError as error:
            return None if error.code < 500 else f"HTTP {error.code}"  # a proxy may hide the address
        except OSError as error:
            return str(getattr(error, "reason", error))
    from hbaf.registry.tracking import MlflowClient

    try:
        MlflowClient().search_registered_models(max_results=1)
    except Exception as error:  # whatever its database driver raises
        check(error)
        return f"{type(error).__name__}"
    return None


def _copy_of(run_id: str) -> Path:
    """The copy of what a run made, there or to be made; by the run, since registries count to the same numbers."""
    before = sorted(directory("champions").glob(f"versions/*/{run_id}/package.json"))  # where an older hbaf kept it
    return before[0].parent if before else directory("champions", "runs") / run_id
