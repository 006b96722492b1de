"""A trial worker: proves that it sees what the search sees, loads the data once, and runs trials.

`python -m hbaf.search.worker STUDY NUMBER` runs one in a process of its own.
"""

import os
import shutil
import signal
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lightning.pytorch.callbacks import Callback
from torch import nn

from feature_store.files import Files
from hbaf.corpus.folds import Fold, folds
from hbaf.drift.reference import keep_reference
from hbaf.features.columns import extractors
from hbaf.parameters import ModelParameters, TrainingParameters
from hbaf.registry.metric_names import metric_name
from hbaf.registry.models import log_package
from hbaf.registry.runs import digests, flat, train_package, versions
from hbaf.registry.tracking import Metric, MlflowClient, MlflowRunLog, mlflow, run, system_metrics, tracking_address
from hbaf.search.plan import STORAGE_VARIABLE, StudyPlan, read_plan, token_file
from hbaf.search.refit import queue_refits
from hbaf.search.space import SearchError
from hbaf.search.study import Pruned, SearchTrial, is_spent, optimise
from hbaf.training.chain import chained, with_and_without
from hbaf.training.data import Dialogue, fit_representation, load_split, read_vectors
from hbaf.training.evaluate import predict
from hbaf.training.fit import best_epoch, fit, seed_everything
from hbaf.training.package import PackageFacts, build_untrained

CURVES = ("dev/loss", "dev/weighted_f1", "dev/macro_f1", "dev/accuracy", "train/loss", "train/cross_entropy")


@dataclass(frozen=True)
class TrialData:
    """What all trials of a study share: none of it depends on the searched values."""

    emotions: tuple[str, ...]
    audio_dim: int
    text_dim: int
    commonsense_dim: int | None
    train: list[Dialogue]
    dev: list[Dialogue]


def work(
    study: str,
    storage: str,
    *,
    number: int = 0,
    orphaned: Callable[[], bool] = lambda: False,
    told: Callable[[], None] = lambda: None,
) -> None:
    """Runs trials of a study until its budget is spent, then its share of the refits.

    Args:
        storage: the study's database.
        number: of this worker among its fellows.
        orphaned: whoever started it is gone: take no further trial.
        told: called after every trial.

    Raises:
        SearchError: this worker sees another feature store or another MLflow than the search does.
    """
    plan = read_plan(study, storage)
    prove(plan)
    name, ranges = worker_name(os.getpid()), plan.space().ranges
    search = plan.open("search", storage, worker=number, orphaned=orphaned)
    refit = plan.open("refit", storage, worker=number, orphaned=orphaned)
    data = cache(lambda: [load_data(plan, fold) for fold in folds(plan.search.folds, plan.search.seed)])
    if not is_spent(search):
        optimise(search, ranges, lambda trial: run_trial(trial, plan, data()), worker=name, told=told)
    queue_refits(plan, search, refit)
    optimise(refit, ranges, lambda trial: run_refit(trial, plan, data), worker=name, told=told)


def worker_name(pid: int) -> str:
    """How a worker signs its trials."""
    return f"{socket.gethostname()}:{pid}"


def prove(plan: StudyPlan) -> None:
    """Reads back what the search wrote to feature store and MLflow.

    Raises:
        SearchError: it is not there.
    """
    url = plan.columns.audio.store_url
    try:
        found = Files(url).read(token_file(plan.study)).decode()
    except FileNotFoundError:
        found = ""
    if found != plan.token:
        raise SearchError(
            f"{url}: this worker ({socket.gethostname()}) does not see the feature store of study {plan.study}. "
            "Mount the same folder on every machine, or keep features in an object store."
        )
    uri = tracking_address()
    try:
        tags = MlflowClient().get_run(plan.parent_run_id).data.tags
    except mlflow.exceptions.MlflowException as error:
        raise SearchError(
            f"{uri}: this worker ({socket.gethostname()}) does not find run {plan.parent_run_id} of study {plan.study} "
            "there. Set MLFLOW_TRACKING_URI to the server that the search logs to."
        ) from error
    if tags.get("hbaf.search.token") != plan.token:
        raise SearchError(f"{uri}: run {plan.parent_run_id} is of another search. Set MLFLOW_TRACKING_URI to the same.")


def load_data(plan: StudyPlan, fold: Fold | None = None) -> TrialData:
    """What trials learn from and are judged by: the corpus's own train and dev, or those of a fold."""
    corpus = plan.reference.corpus if fold is None else fold.of_corpus(plan.reference.corpus)
    vectors = read_vectors(corpus, plan.columns)
    selects = extractors(plan.features)["audio"].selected
    representation = fit_representation(corpus, vectors, plan.features, selects=selects)
    train, dev = (load_split(corpus, vectors, representation, split) for split in ("train", "dev"))
    commonsense = None if vectors.commonsense is None else vectors.commonsense.shape[2]
    return TrialData(corpus.emotions, representation.audio_dim, vectors.text.shape[1], commonsense, train, dev)


def run_trial(trial: SearchTrial, plan: StudyPlan, data: Sequence[TrialData]) -> float:
    """Trains with the trial's values, once for each fold; returns the mean dev weighted F1 of the kept checkpoints,
    0..1, with the label chain behind them where the settings ask for one. The first fold's curve is what prunes.
    """
    model, training = plan.space().settings(trial.values)
    folder = plan.folder() / f"trial-{trial.number}"
    pruned: Pruned | None = None
    pruner = trial.pruner()
    try:
        with (
            nested_run(f"trial {trial.number:03d}", "trial", trial, plan) as log,
            system_metrics(log.run_id, plan.search.system_metrics),
        ):
            log.log_parameters(flat({"features": plan.features, "model": model, "training": training}))
            began = time.perf_counter()
            try:
                system, history = train_on(data[0], plan, model, training, folder, [pruner])
            except Pruned as reason:
                pruned, history = reason, pruner.epochs
            kept = best_epoch(history, training.monitor)
            log_history(log.run_id, history, kept, time.perf_counter() - began, curves=not pruned)
            score = float(kept["dev/weighted_f1"])
            if pruned is None:
                score, told = with_chain(system, data[0], training, score)
                log.log_metrics(told)
                if len(data) > 1:
                    rest = fold_scores(data[1:], plan, model, training, folder)
                    score = log_folds(log, [score, *rest])
            log.log_tags({"hbaf.trial.state": f"pruned: {pruned}" if pruned else "complete"})
            trial.note(seconds=time.perf_counter() - began)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if pruned is not None:
        raise pruned
    return score


def train_on(
    data: TrialData,
    plan: StudyPlan,
    model: ModelParameters,
    training: TrainingParameters,
    folder: Path,
    callbacks: Sequence[Callback] = (),
) -> tuple[nn.Module, list[dict[str, float]]]:
    """One system, with the weights of its best epoch, and the metrics of each epoch."""
    facts = PackageFacts(
        emotions=data.emotions,
        audio_dim=data.audio_dim,
        text_dim=data.text_dim,
        commonsense_dim=data.commonsense_dim,
        features=plan.features,
        model=model,
        training=training,
    )
    seed_everything(training.seed)
    system = build_untrained(facts)
    history = fit(
        system, data.train, data.dev, emotions=data.emotions, training=training, folder=folder, callbacks=callbacks
    )
    return system, history


def with_chain(
    system: nn.Module, data: TrialData, training: TrainingParameters, score: float
) -> tuple[float, dict[str, float]]:
    """Dev weighted F1 with the label chain, where one is asked for, and what to log of it."""
    if training.label_chain == "none":
        return score, {}
    found = predict(chained(system, data.train, data.dev, data.emotions, training.label_chain), data.dev, data.emotions)
    return found.weighted_f1(), with_and_without(score, found)


def fold_scores(
    data: Sequence[TrialData], plan: StudyPlan, model: ModelParameters, training: TrainingParameters, folder: Path
) -> list[float]:
    """Dev weighted F1 of each fold."""
    scores = []
    for number, part in enumerate(data):
        system, history = train_on(part, plan, model, training, folder / f"fold-{number}")
        alone = float(best_epoch(history, training.monitor)["dev/weighted_f1"])
        scores.append(with_chain(system, part, training, alone)[0])
    return scores


def log_folds(log: MlflowRunLog, scores: Sequence[float]) -> float:
    """Logs each fold's score and the mean, which is given back, as the run's; a kept model adds its own dev."""
    mean = statistics.fmean(scores)
    log.log_metrics({f"fold/{number}/weighted_f1": score for number, score in enumerate(scores)})
    log.log_metrics({"fold/mean/weighted_f1": mean, "best/weighted_f1": mean})
    return mean


def run_refit(trial: SearchTrial, plan: StudyPlan, data: Callable[[], Sequence[TrialData]]) -> float:
    """Trains one of the best settings with a fresh seed. The first seed's model is the one that is kept: it is named
    before any of them has been looked at, and learns from the corpus's own train. With folds, their mean is the score.
    """
    model, training = plan.space().settings(trial.values)
    setting, seed = int(trial.notes["setting"]), int(trial.notes["seed"])
    training = training.model_copy(update={"seed": seed})
    folder = plan.folder() / f"refit-{trial.number}"
    corpus = plan.reference.corpus
    try:
        with nested_run(f"refit of trial {setting:03d}, seed {seed}", "refit", trial, plan) as log:
            log.log_parameters(flat({"features": plan.features, "model": model, "training": training}))
            log.log_tags({"hbaf.refit.of": str(setting)})
            score = float("nan")
            if plan.search.folds > 1:
                score = log_folds(log, fold_scores(data(), plan, model, training, folder))
                if not trial.notes.get("keeps_model"):
                    return score
            vectors = read_vectors(corpus, plan.columns)
            package = train_package(
                corpus, vectors, plan.features, model, training, folder=folder, log=log,
                origin={"run_id": log.run_id, "study": plan.study, **digests(plan.reference, plan.columns)},
            )  # fmt: skip
            if trial.notes.get("keeps_model"):
                place = package.save(folder / "package")
                keep_reference(package, corpus, vectors, place)
                log.log_tags({"hbaf.model_uri": log_package(log.run_id, place, package.facts)})
        return score if plan.search.folds > 1 else float(package.facts.dev_metrics["weighted_f1"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def nested_run(name: str, role: str, trial: SearchTrial, plan: StudyPlan) -> Iterator[MlflowRunLog]:
    """A run below the study's, with what leads back from it; the trial knows its id."""
    tags = {"hbaf.role": role, "hbaf.study": plan.study, "hbaf.trial": str(trial.number)}
    tags |= digests(plan.reference, plan.columns)
    commit = versions()["versions"].get("commit")
    tags |= {"mlflow.source.git.commit": commit} if commit else {}
    if plan.search.folds > 1:
        tags["hbaf.search.folds"] = f"{plan.search.folds} of train and dev by dialogue, seed {plan.search.seed}"
    with run(name, tags=tags, experiment=plan.experiment, parent_run_id=plan.parent_run_id) as log:
        trial.note(mlflow_run=log.run_id)
        yield log


def log_history(
    run_id: str, epochs: Sequence[Mapping[str, float]], kept: Mapping[str, float], seconds: float, *, curves: bool
) -> None:
    """Best values, and the curves if they are kept, in as few calls as MLflow allows."""
    now = int(time.time() * 1000)
    best = {f"best/{name.removeprefix('dev/')}": value for name, value in kept.items() if name.startswith("dev/")}
    epoch = float(epochs.index(kept) + 1)
    metrics = [
        Metric(metric_name(n), float(v), now, 0) for n, v in {**best, "best/epoch": epoch, "seconds": seconds}.items()
    ]
    metrics += [
        Metric(name, float(values[name]), now, step)
        for step, values in enumerate(epochs if curves else (), 1)
        for name in CURVES
        if name in values
    ]
    client = MlflowClient()
    for at in range(0, len(metrics), 1000):
        client.log_batch(run_id, metrics=metrics[at : at + 1000])


def end_in_order() -> None:
    """SIGTERM (a scheduler's notice, a service's stop) acts as Ctrl-C: what this process was at is queued again."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def main(arguments: Sequence[str]) -> None:
    """One worker, which a signal ends in order, and which takes no further trial when its parent is gone."""
    study, number = arguments
    parent = os.getppid()
    end_in_order()
    try:
        work(study, os.environ[STORAGE_VARIABLE], number=int(number), orphaned=lambda: os.getppid() != parent)
    except SearchError as error:
        print(f"hbaf: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main(sys.argv[1:])
