"""What MLflow holds of a corpus: the models that were trained on it, its validations, and where its features went."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hbaf.registry.mlflow_internals import forget_run
from hbaf.registry.models import CHAMPION, MODEL_URI_TAG
from hbaf.registry.records.validations import EXPERIMENT as VALIDATIONS
from hbaf.registry.tracking import EXPERIMENT, MlflowClient, experiment_id

if TYPE_CHECKING:
    from mlflow.entities import Run

PAGE = 1000


@dataclass(frozen=True)
class TrainedModel:
    """A run and what became of it.

    Attributes:
        model: registered name and version, as `hbaf-calls/3`; empty for a run that was not registered.
        champion: whether that version has the alias now.
    """

    run_id: str
    corpus_digest: str
    model: str = ""
    champion: bool = False


def models_trained_on(corpus_digests: Collection[str], experiment: str = EXPERIMENT) -> tuple[TrainedModel, ...]:
    """Every run of these corpora that is not deleted and left a model or an encoder, with its registered version."""
    client = MlflowClient()
    registered = {}
    for name in [model.name for model in client.search_registered_models()]:
        aliases = client.get_registered_model(name).aliases or {}
        for version in client.search_model_versions(f"name = '{name}'"):
            registered[version.run_id] = (f"{name}/{version.version}", aliases.get(CHAMPION) == version.version)
    found = []
    for run in _runs_of(corpus_digests, experiment):
        tags = run.data.tags
        if MODEL_URI_TAG not in tags and "hbaf.encoder" not in tags:
            continue  # a trial of a search, or a run that failed: nothing that learned is left of it
        model, champion = registered.get(run.info.run_id, ("", False))
        encoder = f"encoder {tags['hbaf.encoder'][:12]}" if "hbaf.encoder" in tags else ""
        found.append(TrainedModel(run.info.run_id, tags["corpus_digest"], model or encoder, champion))
    return tuple(found)


def run_keys(corpus_digests: Collection[str], experiment: str = EXPERIMENT) -> set[str]:
    """Keys of the runs of these corpora, whatever became of them: what their folders in `runs/` are named by."""
    return {run.data.tags["hbaf.key"] for run in _runs_of(corpus_digests, experiment) if "hbaf.key" in run.data.tags}


def feature_stores(corpus_digests: Collection[str], experiment: str = EXPERIMENT) -> set[str]:
    """Folders and URLs of the feature stores that runs of these corpora named, other than the one in the home."""
    named = {run.data.params.get("features.store", "None") for run in _runs_of(corpus_digests, experiment)}
    return named - {"None", ""}


def validations_of(corpus_digests: Collection[str], corpora: Collection[str] = ()) -> "list[Run]":
    """The logged validations of these versions, and of every version of the corpora named."""
    conditions = [f"tags.corpus_digest = '{digest}'" for digest in sorted(filter(None, corpus_digests))]
    conditions += [f"attributes.run_name = 'validate-{name}'" for name in sorted(corpora) if "'" not in name]
    client, place = MlflowClient(), experiment_id(VALIDATIONS)
    found = {run.info.run_id: run for condition in conditions for run in client.search_runs([place], condition)}
    return list(found.values())


def remove_run(run: "Run") -> None:
    """Removes a run and its files. A server keeps the bare run until `mlflow gc`; the embedded database forgets it."""
    forget_run(MlflowClient(), run)


def _runs_of(corpus_digests: Collection[str], experiment: str) -> "list[Run]":
    client, place = MlflowClient(), experiment_id(experiment)
    found: list[Run] = []
    for digest in sorted(filter(None, corpus_digests)):
        token = None
        while True:
            page = client.search_runs([place], f"tags.corpus_digest = '{digest}'", max_results=PAGE, page_token=token)
            found += page
            token = page.token
            if not token:
                break
    return found
