"""The search: one Optuna study that any number of workers share, with a budget that they keep exactly.

optuna lives in the modules `hbaf.search.study*` and nowhere else.
"""

import contextlib
import math
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import lightning
import numpy as np
import optuna
from lightning.pytorch.callbacks import Callback
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState

from hbaf.parameters import SearchParameters
from hbaf.search.optuna_internals import trial_id
from hbaf.search.space import Range, SearchError
from hbaf.search.storage import open_storage, turn
from hbaf.training.fit import MONITORED, SystemTraining

optuna.logging.set_verbosity(optuna.logging.ERROR)  # what a trial came to is in MLflow
Pruned = optuna.TrialPruned
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
FAILURES_IN_A_ROW = 3
SCORE = "dev/weighted_f1"

Stale = Callable[[Mapping[str, Any]], None]


class Enough(Exception):
    """The budget is spent."""


class Interrupted(BaseException):
    """Carries Ctrl-C past Optuna, which would take it for the trial's own failure."""


@dataclass(frozen=True)
class Budget:
    """How many trials there may be.

    Attributes:
        trials: finished ones of the whole study; None: no limit.
        deadline: seconds since 1970; no trial begins later.
        queued_only: only what was enqueued is run, nothing is sampled.
    """

    trials: int | None
    deadline: float | None = None
    queued_only: bool = False


@dataclass(frozen=True)
class TrialResult:
    """What became of a trial. `state`: complete, pruned, fail, running or waiting; `value`: dev weighted F1, 0..1."""

    number: int
    state: str
    value: float | None
    values: dict[str, float]
    notes: dict[str, Any]


class SharedStudy(optuna.Study):
    """A study whose workers take turns at beginning trials, so that it ends with exactly the trials asked for."""

    def __init__(
        self, name: str, storage: Any, sampler: Any, pruner: Any, budget: Budget, orphaned: Callable[[], bool]
    ):
        super().__init__(name, storage, sampler=sampler, pruner=pruner)
        self.shared = storage
        self.budget = budget
        self.orphaned = orphaned

    def ask(self, fixed_distributions: Any = None) -> optuna.Trial:
        """The next trial; waits while those under way may still make up the number.

        Raises:
            Enough: no trial may begin any more.
        """
        while True:
            if self.orphaned():
                raise Enough
            with self.turn():
                self.sweep()
                if self.may_begin():
                    return super().ask(fixed_distributions)
            time.sleep(min(1.0, self.shared.heartbeat_interval / 2))

    def turn(self) -> contextlib.AbstractContextManager[None]:
        """Holds the other workers off: what is read and written inside is one step."""
        return turn(self.shared, self.study_name)

    def may_begin(self) -> bool:
        """Whether a trial may begin now; False: wait.

        Raises:
            Enough: never again.
        """
        states = [trial.state for trial in self.get_trials(deepcopy=False)]
        running, waiting = states.count(TrialState.RUNNING), states.count(TrialState.WAITING)
        if self.budget.deadline is not None and time.time() > self.budget.deadline:
            raise Enough
        if self.budget.queued_only:
            if not waiting and not running:
                raise Enough
            return waiting > 0
        if self.budget.trials is None:
            return True
        finished = sum(state in FINISHED for state in states)
        if finished >= self.budget.trials:
            raise Enough
        return finished + running < self.budget.trials

    def sweep(self) -> None:
        """Fails stale trials and queues them again; call it in turn."""
        self.shared.sweeping = True
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                optuna.storages.fail_stale_trials(self)
        finally:
            self.shared.sweeping = False

    def release(self, given_up: Callable[[FrozenTrial], bool]) -> None:
        """Fails running trials whose worker is known to be gone, without waiting for their heartbeats, and queues them
        again.
        """
        with self.turn():
            for trial in self.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                if given_up(trial):
                    with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
                        self.shared.set_trial_state_values(trial_id(trial), state=TrialState.FAIL)
                        self.shared.heartbeat_stale_trial_callback(self, self.shared.get_trial(trial_id(trial)))


class SearchTrial:
    """A trial under way: its values, notes that outlive it, and the callback that prunes it."""

    def __init__(self, trial: optuna.Trial, ranges: Mapping[str, Range]):
        self.trial = trial
        self.number = trial.number
        self.values = {name: trial.suggest_float(name, r.low, r.high, log=r.log) for name, r in ranges.items()}
        self.notes = trial.user_attrs

    def note(self, **facts: Any) -> None:
        for name, value in facts.items():
            self.trial.set_user_attr(name, value)

    def pruner(self) -> "Pruner":
        return Pruner(self.trial)


class Pruner(Callback):
    """Reports dev weighted F1 after every epoch and stops a trial that is worse than the median of the others."""

    def __init__(self, trial: optuna.Trial):
        self.trial = trial
        self.epochs: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        assert isinstance(module, SystemTraining)
        self.epochs.append(dict(module.epoch_metrics))
        if not math.isfinite(module.epoch_metrics[MONITORED]):
            raise Pruned(f"the loss was not a number in epoch {len(self.epochs)}")
        self.trial.report(module.epoch_metrics[SCORE], len(self.epochs))
        if self.trial.should_prune():
            raise Pruned(f"below the median in epoch {len(self.epochs)}")


def open_study(
    name: str,
    url: str,
    search: SearchParameters,
    *,
    create: bool = False,
    budget: Budget | None = None,
    worker: int = 0,
    on_stale: Stale = lambda notes: None,
    orphaned: Callable[[], bool] = lambda: False,
) -> SharedStudy:
    """Attaches to a study.

    Args:
        create: make it if it is absent.
        worker: number of this worker, so that no two draw the same.
        on_stale: called with the notes of a trial that was given up.
        orphaned: whoever started this worker is gone, so it takes no further trial.

    Raises:
        SearchError: there is no such study, or its database cannot be reached.
    """

    def given_up(study: optuna.Study, trial: FrozenTrial) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            RetryHeartbeatStaleTrialCallback(max_retry=1)(study, trial)
        on_stale(trial.user_attrs)

    storage = open_storage(url, heartbeat=search.heartbeat, on_stale=given_up)
    if create:
        with turn(storage, name):
            optuna.create_study(study_name=name, storage=storage, direction="maximize", load_if_exists=True)
    try:
        seen = len(storage.get_all_trials(storage.get_study_id_from_name(name), deepcopy=False))
    except KeyError as error:
        raise SearchError(f"{name}: no study of this name in the database. Begin one: `hbaf search`.") from error
    # A study that goes on must not draw again what it drew at first.
    seed = int(np.random.SeedSequence([search.seed, worker, seen]).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
    pruner: optuna.pruners.BasePruner = optuna.pruners.NopPruner()
    if search.prune:
        pruner = optuna.pruners.MedianPruner(
            n_startup_trials=search.startup_trials, n_warmup_steps=search.warmup_epochs
        )
    return SharedStudy(name, storage, sampler, pruner, budget or Budget(search.trials or None), orphaned)


def optimise(
    study: SharedStudy,
    ranges: Mapping[str, Range],
    objective: Callable[[SearchTrial], float],
    *,
    worker: str,
    told: Callable[[], None] = lambda: None,
) -> None:
    """Runs trials until the budget is spent.

    A trial that raises is failed and another takes its place; three in a row end the worker with the last error. One
    that is cancelled (a signal, Ctrl-C) is queued again.

    Args:
        worker: who signs the trials.
        told: called after every trial.
    """
    errors: list[Exception] = []
    current: list[optuna.Trial] = []

    def guarded(trial: optuna.Trial) -> float:
        current[:] = [trial]
        try:
            trial.set_user_attr("worker", worker)
            value = objective(SearchTrial(trial, ranges))
        except Pruned:
            errors.clear()
            raise
        except Exception as error:
            errors.append(error)
            raise
        except BaseException as error:
            study.release(lambda found: found.number == trial.number)
            raise Interrupted(error) from error
        errors.clear()
        return value

    def after(study: optuna.Study, trial: FrozenTrial) -> None:
        told()
        if len(errors) >= FAILURES_IN_A_ROW:
            raise errors[-1]

    while True:
        try:
            study.optimize(guarded, catch=(Exception,), callbacks=[after])
        except Enough:
            return
        except Interrupted as interrupted:
            raise interrupted.args[0] from None
        except (ValueError, optuna.exceptions.UpdateFinishedTrialError):
            # This worker was silent for so long (a suspended machine) that others gave its trial up: theirs counts.
            lost = current and study.shared.get_trial(trial_id(current[0])).state is TrialState.FAIL
            if not lost or len(errors) >= FAILURES_IN_A_ROW:
                raise


def results(study: SharedStudy) -> list[TrialResult]:
    """Every trial of the study, by number; a pruned one's value is that of its last epoch."""
    return [
        TrialResult(t.number, t.state.name.lower(), t.value, dict(t.params), dict(t.user_attrs))
        for t in study.get_trials(deepcopy=False)
    ]


def enqueue(study: SharedStudy, values: Mapping[str, float], **notes: Any) -> None:
    """Queues a trial with these values."""
    study.enqueue_trial(dict(values), user_attrs=notes)


def is_spent(study: SharedStudy) -> bool:
    """Whether the budget is: no trial may begin, and none is under way that could fail and leave room."""
    try:
        study.may_begin()
    except Enough:
        return True
    return False
