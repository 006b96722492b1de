"""Trials under way: their values and notes, their sign of life, and the loop that runs them."""

import logging
import math
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

import lightning
import optuna
from lightning.pytorch.callbacks import Callback
from optuna.trial import TrialState

from hbaf.search.optuna_internals import trial_id
from hbaf.search.space import Range
from hbaf.search.storage import PatientStorage
from hbaf.search.study import Enough, SharedStudy
from hbaf.stop import check, clean_up
from hbaf.training.fit import MONITORED, SystemTraining

Pruned = optuna.TrialPruned
FAILURES_IN_A_ROW = 3
SCORE = "dev/weighted_f1"

log = logging.getLogger(__name__)


class SearchTrial:
    """A trial under way: its values, notes that outlive it, and the callback that prunes it."""

    def __init__(self, trial: optuna.Trial, ranges: Mapping[str, Range]):
        self.trial = trial
        self.number = trial.number
        self.values = {name: trial.suggest_float(name, r.low, r.high, log=r.log) for name, r in ranges.items()}
        self.notes = trial.user_attrs

    def note(self, **facts: Any) -> None:
        """Keeps facts with the trial in the database; they must be JSON, and one of the same name is replaced."""
        for name, value in facts.items():
            self.trial.set_user_attr(name, value)

    def pruner(self) -> "Pruner":
        """A callback for training that ends this trial early where the others were better."""
        return Pruner(self.trial)


class Pruner(Callback):
    """Reports dev weighted F1 after every epoch and stops a trial that is worse than the median of the others."""

    def __init__(self, trial: optuna.Trial):
        self.trial = trial
        self.epochs: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Reports the epoch's dev weighted F1.

        Raises:
            Pruned: dev loss was not finite, or the score is below the median of the other trials at this epoch.
        """
        assert isinstance(module, SystemTraining)
        self.epochs.append(dict(module.epoch_metrics))
        if not math.isfinite(module.epoch_metrics[MONITORED]):
            raise Pruned(f"the loss was not a number in epoch {len(self.epochs)}")
        self.trial.report(module.epoch_metrics[SCORE], len(self.epochs))
        if self.trial.should_prune():
            raise Pruned(f"below the median in epoch {len(self.epochs)}")


class Heartbeat:
    """Signs of life of a trial, from a thread of their own.

    It ends with this block, with the thread that began it, and with the process: a trial whose owner is gone must
    become stale.
    """

    def __init__(self, trial: int, storage: PatientStorage):
        self.trial, self.storage = trial, storage
        self.owner = threading.current_thread()
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> None:
        try:
            self.thread.start()
        except BaseException:  # a signal's exception comes also after the thread has started
            self.ended.set()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.ended.set()
        self.thread.join(5)  # where the database is away, it waits for longer

    def _beat(self) -> None:
        while not self.ended.is_set() and self.owner.is_alive():
            try:
                self.storage.record_heartbeat(self.trial)
            except Exception as error:
                log.warning("no heartbeat of a trial: %s: %s", type(error).__name__, error)
            self.ended.wait(self.storage.heartbeat_interval)


def optimise(
    study: SharedStudy,
    ranges: Mapping[str, Range],
    objective: Callable[[SearchTrial], float],
    *,
    worker: str,
    on_result: Callable[[], None] = lambda: None,
) -> None:
    """Runs trials until the budget is spent.

    A trial that raises is failed and another takes its place; three in a row end the worker with the last error. One
    that is stopped (a signal, Ctrl-C) is queued again.

    Args:
        worker: who signs the trials.
        told: called after every trial.
    """
    failures = 0
    while True:
        try:
            trial = study.next_trial(worker)
        except Enough:
            return
        error = _run(study, trial, ranges, objective)
        failures = 0 if error is None else failures + 1
        on_result()
        if error is not None and failures >= FAILURES_IN_A_ROW:
            raise error


def _run(
    study: SharedStudy,
    trial: optuna.Trial,
    ranges: Mapping[str, Range],
    objective: Callable[[SearchTrial], float],
) -> Exception | None:
    """Runs a trial and writes down what it came to; its error, if it failed."""
    try:
        with Heartbeat(trial_id(trial), study.shared):
            try:
                check()
                value, state, failed = objective(SearchTrial(trial, ranges)), None, None
            except Pruned:
                value, state, failed = None, TrialState.PRUNED, None
            except Exception as error:
                check(error)
                value, state, failed = None, TrialState.FAIL, error
        # Skipped where this worker was silent for so long (a suspended machine) that others gave the trial up.
        study.tell(trial, value, state=state, skip_if_finished=True)
    except optuna.exceptions.UpdateFinishedTrialError:
        return None  # likewise, in the moment between
    except BaseException:
        clean_up(f"trial {trial.number}", lambda: study.release(lambda found: found.number == trial.number))
        raise
    return failed
