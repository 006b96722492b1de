"""Bringing weights by id and revision, once, and knowing for ever after that they are the same.

`models.lock.json` in the home records of every fetched model its commit on the hub and the sha256 of each file. Copy
it and the Hugging Face cache (HF_HOME) to a machine without network, and `verify_weights` says if all is there.
"""

import hashlib
import inspect
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hbaf.features.audio.speech_models import SPEECH
from hbaf.features.audio.window_networks import NETWORKS, home_weights, what_lacks
from hbaf.features.finetuned import list_encoders
from hbaf.features.registry import EXTRACTORS, licence_of, make_extractor
from hbaf.features.text.language_models import ENCODERS
from hbaf.features.weights import Weights, WeightsError
from hbaf.home import home_folder, write_atomically
from hbaf.waiting import alone

LOCK = "models.lock.json"


@dataclass(frozen=True)
class FetchedModel:
    """One model in the lock.

    Attributes:
        model: hub id.
        revision: commit.
        folder: the snapshot in the Hugging Face cache at the time.
        files: name -> sha256.
        size: bytes.
        licence: of the weights, as far as it is known here.
    """

    model: str
    revision: str
    folder: str
    files: dict[str, str]
    size: int
    licence: str

    def message(self) -> str:
        """One line for people: id, beginning of the revision, MB, licence."""
        return f"{self.model} {self.revision[:12]}  {self.size / 1e6:8.1f} MB  {self.licence}"


def fetch_weights(name: str) -> FetchedModel | None:
    """Downloads what an extractor needs, or takes it from the cache, and records it in the lock.

    Returns:
        None for an extractor whose weights are none, in a folder or in an installed wheel.

    Raises:
        WeightsError: the hub cannot be reached or has no such model, or what came differs from what the lock says.
    """
    kind = EXTRACTORS.get(name.partition(":")[0])
    settings: dict[str, Any] = {"download": True} if kind and "download" in inspect.signature(kind).parameters else {}
    extractor: Any = make_extractor(name, **settings)
    weights = getattr(extractor, "weights", None)
    if weights is None or weights.model == "folder" or name == "minilm":
        return None
    return record_weights(name, weights, extractor.licence)


def record_weights(name: str, weights: Weights, licence: str) -> FetchedModel:
    """Notes in the lock what was fetched.

    Raises:
        WeightsError: what came differs from what the lock says.
    """
    files = {path.relative_to(weights.folder).as_posix(): _sha256(path) for path in _files(weights.folder)}
    size = sum(path.stat().st_size for path in _files(weights.folder))
    fetched = FetchedModel(weights.model, weights.revision, str(weights.folder), files, size, licence)
    with alone(home_folder() / f".{LOCK}.lock"):
        known = read_lock()
        before = known.get(_key(fetched))
        if before is not None and any(files.get(file, digest) != digest for file, digest in before.files.items()):
            raise WeightsError(
                f"{name}: the files of {weights.model} at {weights.revision[:12]} are not those that were fetched "
                f"before. Delete {weights.folder} and fetch again; `hbaf models verify` names the file."
            )
        write_lock({**known, _key(fetched): fetched})
    return fetched


def verify_weights() -> list[str]:
    """Reads every byte of every fetched model; one line for each file that is gone or changed."""
    return [problem for model in read_lock().values() for problem in _problems(model)]


def list_weights() -> list[str]:
    """A line for each model that is here or that a known name stands for."""
    lock = read_lock()
    lines = [model.message() for model in lock.values()]
    fetched = {model.model for model in lock.values()}
    known = {name: encoder.model for name, encoder in ENCODERS.items()}
    for name, model_id in (known | {name: speech.model for name, speech in SPEECH.items()}).items():
        if model_id and model_id not in fetched:
            lines.append(f"{model_id} not fetched: `hbaf models fetch {name}`; {licence_of(name)[0]}")
    for name, network in NETWORKS.items():
        lines.append(what_lacks(name) or f"{name} converted, in {home_weights(name)}; {network.licence}")
    for encoder in list_encoders():
        lines.append(f"{encoder.name} fine-tuned on {encoder.facts['corpus']}; {encoder.facts['licence']}")
    return lines


def read_lock() -> dict[str, FetchedModel]:
    """`<model>@<revision>` -> model, of every fetched one; empty before the first."""
    path = home_folder() / LOCK
    return {key: FetchedModel(**facts) for key, facts in json.loads(path.read_text()).items()} if path.exists() else {}


def write_lock(models: dict[str, FetchedModel]) -> None:
    """Replaces the lock as a whole; the keys are those of `read_lock`."""
    content = {key: asdict(model) for key, model in sorted(models.items())}
    write_atomically(home_folder() / LOCK, json.dumps(content, indent=1).encode())


def _problems(model: FetchedModel) -> Iterator[str]:
    folder = Path(model.folder)
    if not folder.is_dir():  # the cache was moved, or came from another machine
        from huggingface_hub import constants

        repository = "models--" + model.model.replace("/", "--")
        folder = Path(constants.HF_HUB_CACHE) / repository / "snapshots" / model.revision
    for name, digest in model.files.items():
        path = folder / name
        if not path.is_file():
            yield f"{model.model}: {path} is gone. `hbaf models fetch` brings it again."
        elif _sha256(path) != digest:
            yield f"{model.model}: {path} was changed since it was fetched. Delete it and fetch again."


def _key(model: FetchedModel) -> str:
    return f"{model.model}@{model.revision}"


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
