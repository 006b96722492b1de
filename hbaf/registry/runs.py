"""A training run with its log in MLflow: what `hbaf train` and the flows both call."""

import hashlib
import json
import platform
import shutil
import subprocess
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hbaf.corpus.schema import Corpus, CorpusReference
from hbaf.drift.reference import keep_reference
from hbaf.features.columns import Columns
from hbaf.home import directory, write_atomically
from hbaf.model.batch import UNLABELLED
from hbaf.parameters import FeatureParameters, ModelParameters, Parameters, Settings, TrainingParameters
from hbaf.registry.metric_names import check_labels
from hbaf.registry.models import log_package
from hbaf.registry.table_views import CORPUS_TAG
from hbaf.registry.tracking import (
    DESCRIPTION_TAG,
    EXPERIMENT,
    MlflowRunLog,
    close_interrupted,
    finished_run,
    run,
)
from hbaf.training.data import Vectors, read_vectors
from hbaf.training.evaluate import SplitPredictions, predict
from hbaf.training.package import ModelPackage
from hbaf.training.quality.calibration import Calibration, at_temperature, calibrate, reliability
from hbaf.training.quality.floors import fit_floors, save_floors
from hbaf.training.quality.missing import missing_scores, trained_to_miss
from hbaf.training.quality.plots import confusion_matrix, curves, gates, reliability_plot
from hbaf.training.quality.run_verdict import RunVerdict, verdict_of
from hbaf.training.run_log import RunLog
from hbaf.waiting import alone

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hbaf.training.run import RunData

VERDICT = "verdict.json"  # beside the package of a run, and among its artifacts
RECORDED_VERSIONS = ("hbaf", "torch", "lightning", "transformers", "opensmile", "scikit-learn", "numpy")


@dataclass(frozen=True)
class RunReference:
    """A finished run: small enough to travel between tasks.

    Attributes:
        package: folder of the model package.
        model_uri: the logged model in MLflow.
        weighted_f1: on dev, of the kept checkpoint.
        reused: the same run was there already and was not trained again.
        passed_over: where it was chosen among others: which one was taken, and which were not and why.
        verdict: of a run that `train_and_log` gives; None for one that was trained before there were verdicts.
    """

    run_id: str
    package: Path
    model_uri: str
    weighted_f1: float
    reused: bool = False
    passed_over: tuple[str, ...] = ()
    verdict: RunVerdict | None = None


def is_trained(
    reference: CorpusReference,
    columns: Columns,
    features: FeatureParameters,
    model: ModelParameters,
    training: TrainingParameters,
) -> bool:
    """Whether `train_and_log` would reuse a run."""
    key = run_key(reference, columns, {"features": features, "model": model, "training": training})
    return _finished(key, _folder(key), EXPERIMENT) is not None


def train_and_log(
    reference: CorpusReference,
    columns: Columns,
    features: FeatureParameters,
    model: ModelParameters,
    training: TrainingParameters,
    *,
    experiment: str = EXPERIMENT,
    parent_run_id: str | None = None,
    progress: bool = False,
    again: bool = False,
) -> RunReference:
    """Trains once and logs parameters, metrics of each epoch, plots, digests and the model package.

    A run with the same data, settings and seed that finished before is reused; one that was interrupted goes on from
    its last checkpoint.

    Args:
        again: train even if the same run is there.
    """
    settings = {"features": features, "model": model, "training": training}
    key = run_key(reference, columns, settings)
    folder = _folder(key)
    # Another process at the same run: wait for it, then take what it made.
    with alone(folder / ".lock"):
        if not again and (done := _finished(key, folder, experiment)) is not None:
            _remove_checkpoints(folder)  # killed between its end and this
            return done
        from hbaf.training.run import RunData  # seconds of imports, which a run that is there does without

        close_interrupted(key, experiment)
        if again:
            _remove_checkpoints(folder)
        corpus = reference.corpus
        name = f"{corpus.name}-{model.variant}-{training.recipe}-seed{training.seed}"
        tags = {"hbaf.key": key, "hbaf.variant": model.variant}
        tags |= described(corpus.name, training) | digests(reference, columns)
        with run(name, tags=tags, experiment=experiment, parent_run_id=parent_run_id) as log:
            log.log_parameters(flat(settings))
            log.log_corpus(corpus.name, reference.digest, reference.splits_digest)
            vectors = read_vectors(corpus, columns)
            data = RunData.fitted(corpus, vectors, features)
            package = train_package(
                corpus, data, features, model, training, folder=folder, log=log, progress=progress,
                origin={"run_id": log.run_id, **digests(reference, columns)},
            )  # fmt: skip
            place = folder / log.run_id / "package"
            verdict = _verdict(package, data, place, log)
            package.save(place)
            keep_reference(package, corpus, vectors, place)
            uri = log_package(log.run_id, place, package.facts)
        # Only now: a kill before this line goes on from the last checkpoint and trains nothing again.
        _remove_checkpoints(folder)
    return RunReference(log.run_id, place, uri, package.facts.dev_metrics["weighted_f1"], verdict=verdict)


def train_package(
    corpus: Corpus,
    data: "Columns | Vectors | RunData",
    features: FeatureParameters,
    model: ModelParameters,
    training: TrainingParameters,
    *,
    folder: Path,
    log: RunLog,
    origin: dict[str, Any],
    progress: bool = False,
) -> ModelPackage:
    """Fits representation and system on train, chooses by dev, and reports to the log.

    Args:
        data: columns, or what was made of them already.
    """
    from hbaf.training.run import RunData, train

    check_labels(corpus.emotions)
    settings = Settings(features, model, training)
    if isinstance(data, RunData):
        run_data = data
    else:
        vectors = data if isinstance(data, Vectors) else read_vectors(corpus, data)
        run_data = RunData.fitted(corpus, vectors, features)
    done = train(
        settings, run_data, folder=folder, log=log, origin={**versions(), **origin}, progress=progress
    )  # fmt: skip
    predictions, history = done.predictions, done.histories[0]
    facts, system = done.package.facts, done.package.system
    log.log_metrics(
        {
            "parameters": done.parameters,
            "best/epoch": done.kept,
            "seconds_an_epoch": done.seconds / sum(map(len, done.histories)),
        }
    )
    log.log_figure(curves(history), "curves.png")
    log.log_figure(confusion_matrix(predictions.counts().sum(0), facts.emotions, "dev"), "confusion_dev.png")
    calibration = calibrate(predictions.probability, predictions.truth, training.target_precision)
    missing = missing_scores(system, run_data.dev, facts.emotions)
    log.log_metrics(calibration.as_metrics() | {f"missing_{m}/weighted_f1": value for m, value in missing.items()})
    log.log_figure(_reliability(predictions, calibration), "reliability_dev.png")
    facts = replace(
        facts, calibration=calibration, missing=missing, trained_to_miss=trained_to_miss(model, run_data.train)
    )
    package = replace(done.package, facts=facts)
    _log_gates(package, corpus, run_data.vectors, log)
    return package


def run_key(reference: CorpusReference, columns: Columns, settings: dict[str, Any]) -> str:
    """sha256 of everything that decides the outcome of a run on one machine."""
    # How work is spread does not change what is computed.
    outcome = {
        name: value.model_dump(mode="json", exclude={"workers", "batch_size", "device", "threads", "store"})
        for name, value in settings.items()
    }
    decides = {**outcome, **digests(reference, columns), "hbaf": metadata.version("hbaf")}
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def digests(reference: CorpusReference, columns: Columns) -> dict[str, str]:
    """What a run was trained on: `corpus_digest`, `splits_digest` and `<modality>_column` of each column."""
    found = {"corpus_digest": reference.digest, "splits_digest": reference.splits_digest}
    return found | {f"{modality}_column": digest for modality, digest in columns.digests().items()}


def described(corpus: str, training: TrainingParameters) -> dict[str, str]:
    """Tags by which runs are told apart in a table, beside their parameters: corpus, recipe and seed.

    Not the variant: `hbaf.variant` marks the runs that may be promoted.
    """
    return {CORPUS_TAG: corpus, "hbaf.recipe": training.recipe, "hbaf.seed": str(training.seed)}


def versions() -> dict[str, dict[str, str]]:
    """`{"versions": ...}`: libraries, Python and, in a git checkout, the commit. Recorded, not hashed."""
    found = {name: metadata.version(name) for name in RECORDED_VERSIONS} | {"python": platform.python_version()}
    checkout = Path(__file__).parents[2]
    if (checkout / ".git").exists():
        result = subprocess.run(
            ["git", "-C", str(checkout), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
        )
        found |= {"commit": result.stdout.strip()} if result.returncode == 0 else {}
    return {"versions": found}


def flat(settings: dict[str, Parameters]) -> dict[str, object]:
    """`{"model": ModelParameters(tau=.1)}` -> `{"model.tau": .1}`."""
    return {
        f"{stage}.{name}": value for stage, values in settings.items() for name, value in values.model_dump().items()
    }


def _remove_checkpoints(folder: Path) -> None:
    for name in ("last.ckpt", "best.ckpt"):
        (folder / name).unlink(missing_ok=True)
    for member in folder.glob("member-*"):
        shutil.rmtree(member)


def _folder(key: str) -> Path:
    return directory("runs", key[:16])


def _finished(key: str, folder: Path, experiment: str) -> RunReference | None:
    run_id = finished_run(key, experiment)
    package = folder / str(run_id) / "package"
    if run_id is None or not (package / "package.json").exists():
        return None
    facts = ModelPackage.load(package).facts
    uri = MlflowRunLog(run_id).client.get_run(run_id).data.tags["hbaf.model_uri"]
    kept = package.with_name(VERDICT)
    verdict = RunVerdict.from_json(kept.read_text()) if kept.exists() else None
    return RunReference(run_id, package, uri, facts.dev_metrics["weighted_f1"], reused=True, verdict=verdict)


def _verdict(package: ModelPackage, data: "RunData", place: Path, log: MlflowRunLog) -> RunVerdict:
    """Holds a run against the floors, on dev; keeps them in its package, and the verdict beside that and in MLflow."""
    emotions = package.facts.emotions
    floors = fit_floors(data.train, data.dev, emotions)
    save_floors(floors, place)
    beside = {name: predict(floor, data.dev, emotions) for name, floor in floors.items()}
    verdict = verdict_of(package.facts, predict(package.system, data.dev, emotions), beside, data.train, data.dev)
    write_atomically(place.with_name(VERDICT), verdict.as_json().encode())
    log.log_file(place.with_name(VERDICT))
    log.log_metrics({f"floor/{name.replace(' ', '_')}/weighted_f1": value for name, value in verdict.floors.items()})
    log.log_tags({DESCRIPTION_TAG: verdict.markdown()})
    return verdict


def _reliability(predictions: SplitPredictions, calibration: Calibration) -> "Figure":
    labelled = predictions.truth != UNLABELLED
    given, truth = predictions.probability[labelled], predictions.truth[labelled]
    scaled = at_temperature(given, calibration.temperature)
    named = {"as trained": given, f"at temperature {calibration.temperature:.2f}": scaled}
    return reliability_plot({name: reliability(values, truth) for name, values in named.items()}, "dev")


def _log_gates(package: ModelPackage, corpus: Corpus, vectors: Vectors, log: RunLog) -> None:
    from hbaf.inference.predictor import Predictor

    predicted = Predictor(package).predict(corpus, vectors, corpus.in_split("dev"))
    named = {name: np.asarray(predicted[name]) for name in ("gate_audio", "gate_text") if name in predicted}
    if named:
        log.log_figure(gates(named), "gates_dev.png")
