"""What is used of Optuna that it does not document, as seen in Optuna 5.0.0; nobody else touches such names.

`tests/architecture/test_internals.py` holds both.
"""

import functools
import time
from collections.abc import Callable
from typing import Any

import optuna
import sqlalchemy
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from hbaf.waiting import again, database_is_away

SEEN_IN = "5.0.0"
PATIENCE = 180.0  # seconds that a database may be away before a worker gives up
WRITES_AND_READS = (
    "create_new_study", "set_study_user_attr", "set_study_system_attr", "get_study_id_from_name",
    "get_study_name_from_id", "get_study_directions", "get_study_user_attrs", "get_study_system_attrs",
    "create_new_trial", "set_trial_param", "set_trial_intermediate_value", "set_trial_user_attr",
    "set_trial_system_attr", "get_trial", "get_all_trials", "_get_trials", "record_heartbeat",
    "get_trial_id_from_study_id_trial_number",
)  # fmt: skip


def trial_id(trial: optuna.Trial | FrozenTrial) -> int:
    """What the storage calls a trial; its number counts within its study alone."""
    return int(trial._trial_id)


def study_id(study: Any) -> int:
    """What the storage calls a study, of those that it lists."""
    return int(study._study_id)


def patiently(call: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Calls again while the study's database is away."""
    return again(call, database_is_away, patience)


class PatientStorage(RDBStorage):
    """Optuna's database storage; outlives a restart of the database, and sweeps stale trials only in its turn.

    A trial is stale when its heartbeat stopped, or when it runs without ever having had one: its worker died, or lost
    the database, between taking it and the first beat. That is measured by this process's own clock.
    """

    def __init__(self, url: str, **settings: Any):
        super().__init__(url, **settings)
        self.without_heartbeat: dict[int, float] = {}  # trial id -> when it was first seen so

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Any = None) -> bool:
        """As Optuna's, but tried again while the database is away; a first try that was written counts as done."""
        tries = 0

        def call() -> bool:
            nonlocal tries
            tries += 1
            try:
                return super(PatientStorage, self).set_trial_state_values(trial_id, state, values)
            except UpdateFinishedTrialError:
                # The first try was written and only its answer was lost.
                if tries > 1 and self.get_trial(trial_id).state == state:
                    return True
                raise

        return bool(patiently(call))

    def stale_trials(self, study_id: int) -> list[FrozenTrial]:
        """Running trials of a study whose worker is gone."""
        stale = set(patiently(lambda: self._get_stale_trial_ids(study_id)))
        running = self.get_all_trials(study_id, deepcopy=False, states=(TrialState.RUNNING,))
        silent = {trial_id(trial) for trial in running} - patiently(self._with_heartbeat)
        now = time.monotonic()
        self.without_heartbeat = {trial: self.without_heartbeat.get(trial, now) for trial in silent}
        grace = self.grace_period or 60
        stale |= {trial for trial, seen in self.without_heartbeat.items() if now - seen > grace}
        return [trial for trial in running if trial_id(trial) in stale]

    def _with_heartbeat(self) -> set[int]:
        with self.engine.connect() as connection:
            return set(connection.execute(sqlalchemy.text("SELECT trial_id FROM trial_heartbeats")).scalars())


def _patient_method(name: str) -> Callable[..., Any]:
    method = getattr(RDBStorage, name)

    @functools.wraps(method)
    def call(self: PatientStorage, *arguments: Any, **named: Any) -> Any:
        return patiently(lambda: method(self, *arguments, **named))

    return call


for _name in WRITES_AND_READS:
    setattr(PatientStorage, _name, _patient_method(_name))
