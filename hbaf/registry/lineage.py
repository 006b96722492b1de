"""What MLflow knows of the way to a registered model."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from hbaf.features.selection.audio_selection import AudioSelection
from hbaf.registry.cached_champion import embedded_registry, whole_copy
from hbaf.registry.embedded.lookup import OfRun, of_run
from hbaf.registry.models import CHAMPION, NoModelError, RegisteredModel, called, model_of_run, model_with_label


@dataclass(frozen=True)
class Lineage:
    """A model version and where it comes from; empty values where the registry does not know it any more.

    Attributes:
        model: registered name and version, `hbaf-calls/3`.
        columns: modality -> digest of the feature column that the model was trained on.
        extractors: modality -> name of the extractor.
        context: turns before that the text extractor reads with each one.
        selection: digest of the choice of audio numbers; "" where the model reads them all.
        store: folder or URL of the feature store that the run names; None for the one in the home.
        told: facts of the run for people: when, on what, with which commit.
    """

    model: str
    run_id: str = ""
    champion: bool = False
    package: str = ""
    status: str = ""
    columns: dict[str, str] = field(default_factory=dict)
    extractors: dict[str, str] = field(default_factory=dict)
    context: int = 0
    selection: str = ""
    store: str | None = None
    recorded: dict[str, str] = field(default_factory=dict)


def lineage_of(label: str, run_id: str = "") -> Lineage:
    """Follows a model to its run and package.

    Args:
        label: `name/version`, as it was called when it scored.
        run_id: of the run that made it, which tells it from another registry's model of that name and number; "" where
            nobody noted it.
    """
    found = _kept_here(label, run_id) or _asked(label, run_id)
    if found is None:
        return Lineage(label)
    model, made = found
    try:
        facts = json.loads((model.folder / "package.json").read_text())
        audio = AudioSelection.load(model.folder / "audio_selection.safetensors")
    except OSError:
        return Lineage(label)
    return Lineage(
        model=model.label,
        run_id=model.run_id,
        champion=made.aliased,
        package=str(model.folder),
        status=made.status,
        columns={
            part: made.tags[f"{part}_column"]
            for part in ("audio", "text", "commonsense")
            if f"{part}_column" in made.tags
        },
        extractors={part: str(identity.get("name", "?")) for part, identity in facts["extractors"].items()},
        context=facts["extractors"].get("text", {}).get("context", 0),
        selection=audio.digest() if audio.indices is not None else "",
        store=facts["features"].get("store"),
        recorded=_recorded(facts, made),
    )


def _kept_here(label: str, run_id: str) -> tuple[RegisteredModel, OfRun] | None:
    """From the copy in the home and the embedded database, where both know the run."""
    place = whole_copy(run_id) if run_id else None
    found = of_run(embedded_registry(), run_id, CHAMPION) if place is not None else None
    if place is None or not found:
        return None
    made = called(label, found)
    return RegisteredModel(made.name, made.version, place, run_id), made


def _asked(label: str, run_id: str) -> tuple[RegisteredModel, OfRun] | None:
    """From MLflow."""
    from hbaf.registry.tracking import MlflowClient, mlflow

    client = MlflowClient()
    try:
        model = model_of_run(run_id, label) if run_id else model_with_label(label)
        run = client.get_run(model.run_id)
        aliases = client.get_registered_model(model.name).aliases or {}
    except (NoModelError, mlflow.exceptions.MlflowException, OSError):
        return None
    champion = str(aliases.get(CHAMPION)) == model.version
    return model, OfRun(model.name, model.version, champion, run.info.status, run.info.start_time, run.data.tags)


def _recorded(facts: dict[str, Any], made: OfRun) -> dict[str, str]:
    origin = facts["origin"]
    libraries = origin.get("versions", {})
    return {
        "began": datetime.fromtimestamp(made.began / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "trained on": f"{origin.get('corpus')} {origin.get('corpus_digest')}",
        "splits": str(origin.get("splits_digest", "")),
        "recipe": f"{facts['training']['recipe']}, seed {facts['training']['seed']}",
        "dev": f"weighted F1 {facts['dev_metrics'].get('weighted_f1', float('nan')):.3f}",
        "code": " ".join(part for part in (f"hbaf {libraries.get('hbaf', '?')}", libraries.get("commit", "")) if part),
        "flow run": made.tags.get("prefect.flow_run_id", ""),
    }
