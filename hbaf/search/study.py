"""The search: one Optuna study that any number of workers share, with a budget that they keep exactly.

What runs its trials is in `hbaf.search.trials`.
"""

import contextlib
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from hbaf.parameters import SearchParameters
from hbaf.search.optuna_internals import trial_id
from hbaf.search.space import SearchError
from hbaf.search.storage import open_storage, turn
from hbaf.stop import check, clean_up

optuna.logging.set_verbosity(optuna.logging.ERROR)  # what a trial came to is in MLflow
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
RETRIES = "retry_history"  # Optuna's name of it

Stale = Callable[[Mapping[str, Any]], None]


class Enough(Exception):
    """The budget is spent."""


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
        self,
        name: str,
        storage: Any,
        sampler: Any,
        pruner: Any,
        budget: Budget,
        orphaned: Callable[[], bool],
        on_stale: Stale,
    ):
        super().__init__(name, storage, sampler=sampler, pruner=pruner)
        self.shared = storage
        self.budget = budget
        self.orphaned = orphaned
        self.on_stale = on_stale

    def next_trial(self, worker: str) -> optuna.Trial:
        """The next trial, signed; waits while those under way may still make up the number.

        Raises:
            Enough: no trial may begin any more.
        """
        while True:
            check()
            if self.orphaned():
                raise Enough
            self.sweep()
            with self.turn():
                check()
                if self.may_begin():
                    with warnings.catch_warnings():
                        warnings.filterwarnings("ignore", message="Heartbeat of storage")  # `trials` has its own
                        trial = self.ask()
                    trial.set_user_attr("worker", worker)
                    return trial
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
        """Fails stale trials and queues them again, once: at the second time the trial is at fault."""
        with self.turn():
            stale = self.shared.stale_trials(self._study_id)
            gone = [self._give_up(trial, again=not trial.system_attrs.get(RETRIES), counts=True) for trial in stale]
        self._tell_gone(gone)

    def release(self, given_up: Callable[[FrozenTrial], bool]) -> None:
        """Fails running trials whose worker is known to be gone, without waiting for their heartbeats.

        They are queued again, however often: they are not at fault.
        """
        with self.turn():
            running = self.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            gone = [self._give_up(trial, again=True, counts=False) for trial in running if given_up(trial)]
        self._tell_gone(gone)

    def _give_up(self, trial: FrozenTrial, *, again: bool, counts: bool) -> Mapping[str, Any] | None:
        try:
            self.shared.set_trial_state_values(trial_id(trial), state=TrialState.FAIL)
        except optuna.exceptions.UpdateFinishedTrialError:
            return None  # it came to its end meanwhile
        if again:
            self.add_trial(queued_again(trial, counts))
        return trial.user_attrs

    def _tell_gone(self, gone: Sequence[Mapping[str, Any] | None]) -> None:
        # Not in turn: MLflow may be away, and the others wait.
        for notes in gone:
            if notes is not None:
                clean_up("the run of a trial that was given up", partial(self.on_stale, notes))


def queued_again(trial: FrozenTrial, counts: bool) -> FrozenTrial:
    """A waiting trial with the values and notes of one that was given up, but for who ran it.

    Args:
        counts: as a retry, of which there is one.
    """
    notes = {name: value for name, value in trial.user_attrs.items() if name not in ("worker", "mlflow_run")}
    history = [*trial.system_attrs.get(RETRIES, ()), *([trial.number] if counts else ())]
    return optuna.create_trial(
        state=TrialState.WAITING, params=trial.params, distributions=trial.distributions, user_attrs=notes,
        system_attrs={**trial.system_attrs, "failed_trial": trial.number, RETRIES: history},
    )  # fmt: skip


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
    storage = open_storage(url, heartbeat=search.heartbeat)
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
    return SharedStudy(name, storage, sampler, pruner, budget or Budget(search.trials or None), orphaned, on_stale)


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
    """Whether the budget is: no trial may begin, and none is under way that could fail and leave a trial over."""
    try:
        study.may_begin()
    except Enough:
        return True
    return False
