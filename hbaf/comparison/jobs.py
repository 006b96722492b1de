"""One run of a comparison: a system, a representation, a seed. Trained, predicted and kept in a folder of its own.

run.json             what ran, on what, what came: `RunFacts`
dev.parquet          predictions of dev: utterance_id, dialogue_id, truth, label, p_<emotion>, gates of HBAF
test.parquet         the same of test; absent where the job was a tuning trial
history.json         metrics of each epoch
package/             HBAF's weights, to look at gates and attention; other systems keep none
failed.json          in place of run.json: why it failed

A job with the label chain is the same run; what the chain makes of its predictions lies beside them (`decoded`).
"""

import hashlib
import json
import traceback
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from hbaf.comparison import decoded
from hbaf.comparison.systems import Entrant
from hbaf.corpus.folds import Fold
from hbaf.corpus.schema import Corpus, CorpusReference, load_corpus
from hbaf.features.columns import Columns, default_store
from hbaf.files import sync_tree
from hbaf.home import directory, write_atomically
from hbaf.parameters import FeatureParameters, ModelParameters, Settings, TrainingParameters
from hbaf.scoring.hub import hub_model
from hbaf.stop import check
from hbaf.training.data import Representation, read_vectors
from hbaf.training.evaluate import evaluate_final, watch_test_split
from hbaf.training.package import ModelPackage
from hbaf.training.run import RunData, train
from hbaf.waiting import alone

LOADED = 4  # corpora x representations that a process keeps in memory
FITTED = {"select", "svm_c", "scale_text", "speaker_relative"}  # what a representation depends on, beside the data
# What changes neither the weights nor the predictions.
NOT_IN_KEY = {"workers", "batch_size", "device", "threads", "store", "recipe"}


@dataclass(frozen=True)
class Job:
    """What to run; small enough to travel to another process.

    Attributes:
        changes: of a tuning trial, or what tuning chose: learning_rate, dropout, dim.
        trials: tuning runs that stand behind `changes`.
        is_trial: trained and judged on dev; the test split is not read.
        watch_test: note the test score of every epoch, for the column "as published".
        reason: for the list of uses of the test split.
        fold: a part of train and dev in place of the corpus's own dev; of a trial alone.
    """

    entrant: Entrant
    reference: CorpusReference
    columns: Columns
    features: FeatureParameters
    model: ModelParameters
    training: TrainingParameters
    changes: dict[str, Any] = field(default_factory=dict)
    trials: int = 0
    is_trial: bool = False
    watch_test: bool = False
    reason: str = "hbaf compare"
    fold: Fold | None = None

    def key(self) -> str:
        """sha256 of what decides the outcome: data, settings, the system's code, the seed."""
        features = {**self.features.model_dump(mode="json", exclude_defaults=True), "audio": "", "text": ""}
        training = self.final_training().model_dump(mode="json", exclude_defaults=True)
        decides = {
            # Defaults are left out: an option that is new and off changes no run of before.
            "features": _without(features),
            "training": _without(training),
            "arguments": self.entrant.arguments(self.model, self.model_changes()),
            "base": self.entrant.base if not self.entrant.is_hbaf else "hbaf",
            "code": self.entrant.digest(),
            "corpus": self.reference.digest,
            "splits": self.reference.splits_digest,
            "columns": self.columns.digests(),
            "is_trial": self.is_trial,
            "hbaf": metadata.version("hbaf"),
            **({} if self.fold is None else {"fold": self.fold.name()}),
        }
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()

    def folder(self) -> Path:
        """Where the run is kept, named by the beginning of its key; it need not exist."""
        return directory("comparison", "runs") / self.key()[:20]

    def final_training(self) -> TrainingParameters:
        """The comparison's training settings with the entrant's and tuning's changes; one member, no chain."""
        chosen = {name: self.changes[name] for name in ("learning_rate",) if name in self.changes}
        # The chain is a row's, and so is the mean of seeds: what is trained and kept is one system alone.
        own = {**self.entrant.training, **chosen, "label_chain": "none", "members": 1}
        return TrainingParameters(**{**self.training.model_dump(), **own})

    def model_changes(self) -> dict[str, Any]:
        """What of `changes` goes to the system: everything but the learning rate."""
        return {name: value for name, value in self.changes.items() if name != "learning_rate"}

    def loading(self) -> "Loading":
        """What has to be read and fitted for this job; jobs with an equal key share it."""
        return Loading(self.reference, self.columns, self.features, self.fold)

    def label(self) -> str:
        """One line for people: corpus, representations, system and fold, without the seed."""
        fold = "" if self.fold is None else f" fold {self.fold.name()}"
        return f"{self.reference.name} {self.features.audio} + {self.features.text} {self.entrant.name}{fold}"


def _without(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in NOT_IN_KEY}


@dataclass(frozen=True)
class RunFacts:
    """What run.json says of a finished run.

    Attributes:
        audio, text: names of the representations.
        parameters: trainable numbers of the system.
        seconds_an_epoch: wall time, training and dev; None when the run was killed after its last epoch.
        epochs: trained; the best of them was kept.
        dev, test: metrics; `test` is None of a tuning trial.
        as_published: best test score of any epoch and that epoch, where it was asked for.
        emotions: in the order of the class indices.
        fold: which part of train and dev was dev; None: the corpus's own.
    """

    key: str
    system: str
    standing: str
    source: str
    corpus: str
    audio: str
    text: str
    commonsense: str | None
    recipe: str
    seed: int
    trials: int
    changes: dict[str, Any]
    arguments: dict[str, Any]
    training: dict[str, Any]
    features: dict[str, Any]
    digests: dict[str, str]
    emotions: list[str]
    parameters: int
    seconds_an_epoch: float | None
    epochs: int
    best_epoch: int
    dev_loss: float
    dev: dict[str, float]
    test: dict[str, float] | None
    as_published: dict[str, float] | None = None
    fold: str | None = None
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What came of a job: facts, or why it failed.

    Attributes:
        reused: the run was there already.
        chain: the row is that with the label chain.
    """

    folder: Path
    facts: RunFacts | None
    failure: str = ""
    reused: bool = False
    chain: bool = False

    def predictions(self, split: str) -> pd.DataFrame:
        """The table of `dev` or `test`, with the chain where this row has it.

        Raises:
            FileNotFoundError: the job failed, or is a trial, which has no predictions of test.
        """
        return pd.read_parquet(self.folder / f"{split}{'-chain' if self.chain else ''}.parquet")

    def alone(self) -> "Outcome":
        """The same run without the chain."""
        return replace(self, chain=False)


def finished(job: Job) -> Outcome | None:
    """The outcome of an earlier run of the same key, if it has all that this job asks for."""
    folder = job.folder()
    path = folder / "run.json"
    with_it = decoded.decoded_metrics(folder) if job.entrant.chain else None
    if not path.exists() or (job.entrant.chain and with_it is None):
        return None
    facts = RunFacts(**json.loads(path.read_text()))
    if job.watch_test and facts.as_published is None and not job.is_trial:
        return None
    # The same run under another name, as `hbaf` and `hbaf-literal`: the row shows the name that was asked for.
    named = replace(facts, system=job.entrant.name, standing=job.entrant.standing, trials=job.trials)
    if with_it is not None:
        named = replace(named, dev=with_it["dev"], test=with_it.get("test"), as_published=None)
    return Outcome(folder, named, reused=True, chain=job.entrant.chain)


def run_job(job: Job) -> Outcome:
    """Runs a job, or takes what an earlier one left; a system's own error is an outcome, not an exception."""
    folder = job.folder()
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder / ".lock"):
        if (done := finished(job)) is not None:
            return done
        bare = replace(job, entrant=job.entrant.without_chain())
        there = finished(bare) is not None
        try:
            if not there:
                facts = _run(bare, folder)
                sync_tree(folder)
                write_atomically(folder / "run.json", json.dumps(asdict(facts), indent=1).encode())
            if job.entrant.chain or not there:
                _decode(job, folder)
        except Exception as error:  # whatever a system raises: the others must go on
            check(error)
            message = f"{type(error).__name__}: {error}"
            failed = {"system": job.entrant.name, "error": message, "traceback": traceback.format_exc()}
            write_atomically(folder / "failed.json", json.dumps(failed, indent=1).encode())
            return Outcome(folder, None, message)
        for name in ("last.ckpt", "best.ckpt", "failed.json"):
            (folder / name).unlink(missing_ok=True)
        ended = finished(job)
        assert ended is not None
    return replace(ended, reused=False)


def _decode(job: Job, folder: Path) -> None:
    if job.entrant.chain:
        decoded.decode_run(folder, job.reference)
    else:
        (folder / decoded.FACTS).unlink(missing_ok=True)  # of a run that has just been made anew


def _run(job: Job, folder: Path) -> RunFacts:
    data = loaded(job.loading())
    corpus, training = data.corpus, job.final_training()
    arguments = job.entrant.arguments(job.model, job.model_changes())
    reason = "" if job.is_trial else f"{job.reason}: {job.label()} seed {training.seed}"
    if job.entrant.is_hub:
        measured = _run_published(job, corpus, folder, reason)
    else:
        model = ModelParameters(**arguments) if job.entrant.is_hbaf else job.model
        measured = _run_trained(job, data, model, folder, reason)
    return RunFacts(
        key=job.key(),
        system=job.entrant.name,
        standing=job.entrant.standing,
        source=job.entrant.source(),
        corpus=corpus.name,
        audio=job.features.audio,
        text=job.features.text,
        commonsense=job.features.commonsense,
        recipe=training.recipe,
        seed=training.seed,
        trials=job.trials,
        changes=job.changes,
        arguments=arguments,
        training=training.model_dump(mode="json"),
        features=job.features.model_dump(mode="json"),
        digests={"corpus": job.reference.digest, "splits": corpus.splits_digest(), **job.columns.digests()},
        emotions=list(corpus.emotions),
        fold=None if job.fold is None else job.fold.name(),
        versions={name: metadata.version(name) for name in ("hbaf", "torch", "lightning")},
        **measured,
    )


def _run_published(job: Job, corpus: Corpus, folder: Path, reason: str) -> dict[str, Any]:
    """What a published classifier says, which learns nothing: the fields of `RunFacts` that are measured."""
    published = hub_model(job.entrant.base, corpus.labels)
    table = published.predict(corpus, default_store())
    dev, on_test = published.measured(table, corpus), published.measured(table, corpus, reason)
    for split, found in (("dev", dev), ("test", on_test)):
        found.as_frame().to_parquet(folder / f"{split}.parquet", index=False)
    return {
        "parameters": 0, "seconds_an_epoch": None, "epochs": 0, "best_epoch": 0, "dev_loss": dev.loss(),
        "dev": dev.metrics(), "test": on_test.metrics(), "as_published": None,
    }  # fmt: skip


def _run_trained(job: Job, data: RunData, model: ModelParameters, folder: Path, reason: str) -> dict[str, Any]:
    """Trains a system and predicts: the fields of `RunFacts` that are measured."""
    corpus, settings = data.corpus, Settings(job.features, model, job.final_training())
    origin = {"splits_digest": corpus.splits_digest(), "run_id": job.key()[:20]}
    watcher = _watcher(job, data, settings, origin)
    before = len(json.loads((folder / "history.json").read_text())) if (folder / "last.ckpt").exists() else 0
    done = train(
        settings, data, folder=folder, callbacks=watcher, origin=origin,
        build=lambda facts: job.entrant.build(
            {**data.dims, "emotions": len(facts.emotions)}, job.model, job.model_changes()
        ),
    )  # fmt: skip
    [history] = done.histories
    trained = len(history) - before  # by this process: a run that was killed has some epochs behind it
    done.predictions.as_frame().to_parquet(folder / "dev.parquet", index=False)
    on_test = None
    if not job.is_trial:
        on_test = evaluate_final(done.package, corpus, data.vectors, reason=reason)
        on_test.as_frame().to_parquet(folder / "test.parquet", index=False)
        if job.entrant.is_hbaf:
            done.package.save(folder / "package")
    return {
        "parameters": done.parameters,
        "seconds_an_epoch": done.seconds / trained if trained else None,
        "epochs": len(history),
        "best_epoch": done.kept,
        "dev_loss": history[done.kept - 1]["dev/loss"],
        "dev": done.package.facts.dev_metrics,
        "test": None if on_test is None else on_test.metrics(),
        "as_published": watcher[0].best() if watcher else None,
    }


def _watcher(job: Job, data: RunData, settings: Settings, origin: dict[str, Any]) -> list[Any]:
    if not job.watch_test or job.is_trial:
        return []
    from hbaf.training.as_published import TestWatcher

    reason = f"selection as published, every epoch: {job.label()} seed {job.training.seed}"
    untrained = ModelPackage(data.facts(settings, origin), data.representation, nn.Identity())
    return [TestWatcher(watch_test_split(untrained, data.corpus, data.vectors, reason=reason))]


@dataclass(frozen=True)
class Loading:
    """What `loaded` keeps in memory is told apart by content, not by settings that change nothing."""

    reference: CorpusReference
    columns: Columns
    features: FeatureParameters
    fold: Fold | None = None

    def key(self) -> str:
        """sha256 of what decides the inputs: corpus, splits, columns, fitted settings, hbaf's version, fold."""
        says = {
            "corpus": self.reference.digest,
            "splits": self.reference.splits_digest,
            "columns": self.columns.digests(),
            "features": self.features.model_dump(mode="json", include=FITTED),
            "imported": self.features.audio.startswith("imported"),
            "hbaf": metadata.version("hbaf"),
            **({} if self.fold is None else {"fold": self.fold.name()}),
        }
        return hashlib.sha256(json.dumps(says, sort_keys=True).encode()).hexdigest()

    def __hash__(self) -> int:
        return hash(self.key())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Loading) and self.key() == other.key()


@lru_cache(maxsize=LOADED)
def loaded(data: Loading) -> RunData:
    """Corpus, vectors and the representation fitted on train, which is kept in the home.

    The selection among 6373 numbers takes a minute: it is fitted once for all systems, seeds and processes.
    """
    corpus = load_corpus(data.reference)
    if data.fold is not None:
        corpus = data.fold.of_corpus(corpus)
    vectors = read_vectors(corpus, data.columns)
    place = directory("comparison", "representations") / data.key()[:20]
    place.mkdir(parents=True, exist_ok=True)
    with alone(place / ".lock"):
        if not (place / "whole").exists():
            RunData.fitted(corpus, vectors, data.features).representation.save(place)
            (place / "whole").touch()
        return RunData(corpus, vectors, Representation.load(place, data.features))
