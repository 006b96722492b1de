"""Which models were trained on a corpus: the runs' digests tell."""

from collections.abc import Collection
from dataclasses import dataclass

from hbaf.registry.models import CHAMPION
from hbaf.registry.tracking import EXPERIMENT, MlflowClient, experiment_id


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
    """Every run of these corpora that is not deleted, with the registered version that came of it."""
    client = MlflowClient()
    registered = {}
    for name in [model.name for model in client.search_registered_models()]:
        aliases = client.get_registered_model(name).aliases or {}
        for version in client.search_model_versions(f"name = '{name}'"):
            registered[version.run_id] = (f"{name}/{version.version}", aliases.get(CHAMPION) == version.version)
    found = []
    for digest in sorted(filter(None, corpus_digests)):
        for run in client.search_runs([experiment_id(experiment)], f"tags.corpus_digest = '{digest}'"):
            model, champion = registered.get(run.info.run_id, ("", False))
            found.append(TrainedModel(run.info.run_id, digest, model, champion))
    return tuple(found)
