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
from functools import cache
from pathlib import Path

from feature_store.files import Files
from hbaf.corpus.folds import Fold, folds
from hbaf.drift.reference import keep_reference
from hbaf.parameters import Settings, TrainingParameters
from hbaf.registry.metric_names import metric_name
from hbaf.registry.models import log_package
from hbaf.registry.runs import described, digests, flat, train_package, versions
from hbaf.registry.tracking import Metric, MlflowClient, MlflowRunLog, mlflow, run, system_metrics, tracking_address
from hbaf.search.plan import STAGES, STORAGE_VARIABLE, StudyPlan, read_plan, token_file
from hbaf.search.refit import queue_refits
from hbaf.search.space import SearchError
from hbaf.search.study import is_spent
from hbaf.search.trials import Pruned, SearchTrial, optimise
from hbaf.stop import check, heeded
from hbaf.training.chain import with_and_without
from hbaf.training.data import read_vectors
from hbaf.training.fit import best_epoch
from hbaf.training.run import RunData, TrainedRun, train

CURVES = ("dev/loss", "dev/weighted_f1", "dev/macro_f1", "dev/accuracy", "train/loss", "train/cross_entropy")


def work(
    study: str,
    storage: str,
    *,
    number: int = 0,
    orphaned: Callable[[], bool] = lambda: False,
    on_result: Callable[[], None] = lambda: None,
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
    name = worker_name(os.getpid())
    with heeded(lambda: release(study, storage, name)):
        _work(read_plan(study, storage), storage, name, number, orphaned, on_result)


def _work(
    plan: StudyPlan, storage: str, name: str, number: int, orphaned: Callable[[], bool], on_result: Callable[[], None]
) -> None:
    prove(plan)
    ranges = plan.space().ranges
    search = plan.open("search", storage, worker=number, orphaned=orphaned)
    refit = plan.open("refit", storage, worker=number, orphaned=orphaned)
    data = cache(lambda: [load_data(plan, fold) for fold in folds(plan.search.folds, plan.search.seed)])
    if not is_spent(search):
        optimise(search, ranges, lambda trial: run_trial(trial, plan, data()), worker=name, on_result=on_result)
    queue_refits(plan, search, refit)
    optimise(refit, ranges, lambda trial: run_refit(trial, plan, data), worker=name, on_result=on_result)


def release(study: str, storage: str, worker: str) -> None:
    """Queues again what a worker was at."""
    plan = read_plan(study, storage)
    for stage in STAGES:
        plan.open(stage, storage).release(lambda trial: trial.user_attrs.get("worker") == worker)


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


def load_data(plan: StudyPlan, fold: Fold | None = None) -> RunData:
    """What trials learn from and are judged by: the corpus's own train and dev, or those of a fold."""
    corpus = plan.reference.corpus if fold is None else fold.of_corpus(plan.reference.corpus)
    vectors = read_vectors(corpus, plan.columns)
    check()
    data = RunData.fitted(corpus, vectors, plan.features)
    check()
    return data


def run_trial(trial: SearchTrial, plan: StudyPlan, data: Sequence[RunData]) -> float:
    """Trains with the trial's values, once for each fold; the first fold's curve is what prunes.

    Returns:
        Mean dev weighted F1 of the kept checkpoints, 0..1, with the label chain where the settings ask for one.
    """
    settings = one_member(plan, trial)
    training = settings.training
    folder = plan.folder() / f"trial-{trial.number}"
    pruned: Pruned | None = None
    pruner = trial.pruner()
    try:
        with (
            nested_run(f"trial {trial.number:03d}", "trial", trial, plan, training) as log,
            system_metrics(log.run_id, plan.search.system_metrics),
        ):
            log.log_parameters(flat(settings._asdict()))
            check()
            done: TrainedRun | None = None
            began = time.perf_counter()
            try:
                done = train(settings, data[0], folder=folder, callbacks=[pruner])
            except Pruned as reason:
                pruned = reason
            check()
            seconds = time.perf_counter() - began
            history = pruner.epochs if done is None else done.histories[0]
            kept = best_epoch(history, training.monitor)
            log_history(log.run_id, history, kept, seconds, curves=done is not None)
            check()
            score = float(kept["dev/weighted_f1"])
            if done is not None and training.label_chain != "none":
                log.log_metrics(with_and_without(done.alone, done.predictions))
                score = done.predictions.weighted_f1()
            if done is not None and len(data) > 1:
                score = log_folds(log, [score, *fold_scores(data[1:], settings, folder)])
            log.log_tags({"hbaf.trial.state": f"pruned: {pruned}" if pruned else "complete"})
            trial.note(seconds=time.perf_counter() - began)
            check()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if pruned is not None:
        raise pruned
    return score


def one_member(plan: StudyPlan, trial: SearchTrial, seed: int | None = None) -> Settings:
    """A trial's settings; a score is of one member, the model that is kept of as many as the settings ask for."""
    model, training = plan.space().settings(trial.values)
    own = {"members": 1} if seed is None else {"members": 1, "seed": seed}
    return Settings(plan.features, model, training.model_copy(update=own))


def fold_scores(data: Sequence[RunData], settings: Settings, folder: Path) -> list[float]:
    """Dev weighted F1 of each fold."""
    runs = (train(settings, part, folder=folder / f"fold-{number}") for number, part in enumerate(data))
    return [float(done.predictions.weighted_f1()) for done in runs]


def log_folds(log: MlflowRunLog, scores: Sequence[float]) -> float:
    """Logs each fold's score and the mean, which is given back, as the run's; a kept model adds its own dev."""
    mean = statistics.fmean(scores)
    log.log_metrics({f"fold/{number}/weighted_f1": score for number, score in enumerate(scores)})
    log.log_metrics({"fold/mean/weighted_f1": mean, "best/weighted_f1": mean})
    return mean


def run_refit(trial: SearchTrial, plan: StudyPlan, data: Callable[[], Sequence[RunData]]) -> float:
    """Trains one of the best settings with a fresh seed.

    The first seed's model is the one that is kept: it is named before any score is known, and learns from the corpus's
    own train.

    Returns:
        Dev weighted F1, 0..1; with folds their mean.
    """
    model, training = plan.space().settings(trial.values)
    setting, seed = int(trial.notes["setting"]), int(trial.notes["seed"])
    training = training.model_copy(update={"seed": seed})
    folder = plan.folder() / f"refit-{trial.number}"
    corpus = plan.reference.corpus
    try:
        with nested_run(f"refit of trial {setting:03d}, seed {seed}", "refit", trial, plan, training) as log:
            log.log_parameters(flat({"features": plan.features, "model": model, "training": training}))
            log.log_tags({"hbaf.refit.of": str(setting)})
            score = float("nan")
            if plan.search.folds > 1:
                score = log_folds(log, fold_scores(data(), one_member(plan, trial, seed), folder))
                if not trial.notes.get("keeps_model"):
                    return score
            vectors = read_vectors(corpus, plan.columns)
            check()
            package = train_package(
                corpus, vectors, plan.features, model, training, folder=folder, log=log,
                origin={"run_id": log.run_id, "study": plan.study, **digests(plan.reference, plan.columns)},
            )  # fmt: skip
            check()
            if trial.notes.get("keeps_model"):
                place = package.save(folder / "package")
                keep_reference(package, corpus, vectors, place)
                log.log_tags({"hbaf.model_uri": log_package(log.run_id, place, package.facts)})
        return score if plan.search.folds > 1 else float(package.facts.dev_metrics["weighted_f1"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def nested_run(
    name: str, role: str, trial: SearchTrial, plan: StudyPlan, training: TrainingParameters
) -> Iterator[MlflowRunLog]:
    """A run `<corpus> <name>` below the study's, with what leads back from it; the trial knows its id."""
    corpus = plan.reference.name
    tags = {"hbaf.role": role, "hbaf.study": plan.study, "hbaf.trial": str(trial.number)}
    tags |= described(corpus, training)
    tags |= digests(plan.reference, plan.columns)
    commit = versions()["versions"].get("commit")
    tags |= {"mlflow.source.git.commit": commit} if commit else {}
    if plan.search.folds > 1:
        tags["hbaf.search.folds"] = f"{plan.search.folds} of train and dev by dialogue, seed {plan.search.seed}"
    name = f"{corpus} {name}"
    with run(name, tags=tags, experiment=plan.experiment, parent_run_id=plan.parent_run_id) as log:
        trial.note(mlflow_run=log.run_id)
        log.log_corpus(corpus, plan.reference.digest, plan.reference.splits_digest)
        check()
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
    """SIGTERM (a scheduler's notice, a service's stop) acts as Ctrl-C before and after trials; `work` heeds both."""
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
