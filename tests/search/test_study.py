"""The study that workers share, with an objective of arithmetic in place of training."""

import os
import signal
import threading
import time
from pathlib import Path

import optuna
import pytest

from hbaf.parameters import SearchParameters
from hbaf.search.plots import write_plots
from hbaf.search.space import Range, SearchError
from hbaf.search.study import Budget, enqueue, open_study, results
from hbaf.search.trials import Heartbeat, Pruned, SearchTrial, optimise

RANGES = {"x": Range(0.0, 1.0), "y": Range(0.01, 1.0, log=True)}
QUICK = SearchParameters(trials=9, heartbeat=1, startup_trials=1)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'study.db'}"


def parabola(trial: SearchTrial) -> float:
    return 1 - (trial.values["x"] - 0.3) ** 2


def test_trial_0_is_what_was_queued_and_the_sampler_is_the_one_promised(url: str):
    study = open_study("s", url, QUICK, create=True)
    enqueue(study, {"x": 0.5, "y": 0.1})
    optimise(study, RANGES, parabola, worker="me")
    assert results(study)[0].values == {"x": 0.5, "y": 0.1}
    assert isinstance(study.sampler, optuna.samplers.TPESampler)
    assert study.sampler._multivariate
    assert study.sampler._constant_liar


def test_workers_together_run_exactly_the_budget(url: str):
    studies = [open_study("s", url, QUICK, create=True, worker=i) for i in range(3)]

    def slowly(trial: SearchTrial) -> float:
        time.sleep(0.02)
        if trial.number % 4 == 1:
            raise Pruned("by hand")
        return parabola(trial)

    threads = [threading.Thread(target=optimise, args=(s, RANGES, slowly), kwargs={"worker": "t"}) for s in studies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    states = [trial.state for trial in results(studies[0])]
    assert len(states) == 9
    assert set(states) == {"complete", "pruned"}


def test_a_study_goes_on_and_draws_something_new(url: str):
    optimise(open_study("s", url, QUICK, create=True), RANGES, parabola, worker="me")
    more = QUICK.model_copy(update={"trials": 14})
    study = open_study("s", url, more)
    optimise(study, RANGES, parabola, worker="me")
    values = [trial.values["x"] for trial in results(study)]
    assert len(values) == 14
    assert len(set(values)) == 14


def test_hours_end_a_study(url: str):
    study = open_study("s", url, QUICK, create=True)
    study.budget = Budget(None, deadline=time.time() + 2)
    optimise(study, RANGES, lambda trial: time.sleep(0.4) or parabola(trial), worker="me")
    assert 1 <= len(results(study)) <= 5


def test_a_failed_trial_is_made_up_for(url: str):
    study = open_study("s", url, QUICK, create=True)

    def sometimes(trial: SearchTrial) -> float:
        if trial.number == 2:
            raise RuntimeError("out of memory")
        return parabola(trial)

    optimise(study, RANGES, sometimes, worker="me")
    states = [trial.state for trial in results(study)]
    assert states.count("complete") == 9
    assert states[2] == "fail"


def test_three_failures_in_a_row_end_a_worker_with_the_last_error(url: str):
    def never(trial: SearchTrial) -> float:
        raise RuntimeError(f"broken {trial.number}")

    with pytest.raises(RuntimeError, match="broken 2"):
        optimise(open_study("s", url, QUICK, create=True), RANGES, never, worker="me")


def test_a_cancelled_trial_is_queued_again_with_its_values(url: str):
    study = open_study("s", url, QUICK, create=True)

    def cancelled(trial: SearchTrial) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        optimise(study, RANGES, cancelled, worker="me")
    first, again = results(study)
    assert (first.state, again.state) == ("fail", "waiting")
    assert again.values == first.values
    optimise(open_study("s", url, QUICK), RANGES, parabola, worker="me")
    assert [trial.state for trial in results(study)].count("complete") == 9


def die_at_a_trial(url: str) -> None:
    """A worker killed with -9 after its trial's first heartbeat, in a process of its own."""

    def die(trial: SearchTrial) -> float:
        trial.note(mlflow_run=f"run-{trial.number}")
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)
        return 0.0

    child = os.fork()
    if child == 0:
        try:
            optimise(open_study("s", url, QUICK), RANGES, die, worker="dead")
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.long
def test_a_killed_workers_trial_is_tried_again_once(url: str):
    given_up: list[str] = []
    study = open_study("s", url, QUICK, create=True, on_stale=lambda notes: given_up.append(notes["mlflow_run"]))
    study.shared.engine.dispose()
    for attempt in range(2):  # the second one takes the retry, and dies at it too
        die_at_a_trial(url)
        for _ in range(100):  # until three heartbeats of a second are missed
            study.sweep()
            if results(study)[attempt].state == "fail":
                break
            time.sleep(0.1)
        study.shared.engine.dispose()
    first, again = results(study)
    assert (first.state, again.state) == ("fail", "fail")
    assert again.values == first.values
    assert given_up == ["run-0", "run-1"]
    optimise(study, RANGES, parabola, worker="alive")
    assert [trial.state for trial in results(study)] == ["fail", "fail", *["complete"] * 9]


def test_a_trial_taken_by_a_worker_that_died_before_its_first_heartbeat_is_found(url: str):
    study = open_study("s", url, QUICK, create=True)
    study.shared.create_new_trial(study._study_id)
    optimise(study, RANGES, parabola, worker="me")  # waits for it at the end
    states = [trial.state for trial in results(study)]
    assert states[0] == "fail"
    assert states.count("complete") == 9


def test_what_is_absent_or_of_another_kind_is_said(url: str):
    with pytest.raises(SearchError, match="no study of this name"):
        open_study("absent", url, QUICK)
    with pytest.raises(SearchError, match="SQLite"):
        open_study("s", "mysql://me@db/x", QUICK)


def test_plots_are_one_page_that_needs_no_network(url: str, tmp_path: Path):
    study = open_study("s", url, QUICK, create=True)
    optimise(study, RANGES, parabola, worker="me")
    names = write_plots(study, tmp_path / "search.html")
    assert {"history", "importance", "slices"} <= set(names)
    page = (tmp_path / "search.html").read_text()
    assert page.count("Plotly.newPlot") == len(names)
    assert "<script src=" not in page


class Beats:
    """In place of a database: counts the signs of life."""

    heartbeat_interval = 0.01

    def __init__(self) -> None:
        self.count = 0

    def record_heartbeat(self, trial: int) -> None:
        self.count += 1


def test_a_heartbeat_ends_when_a_signal_comes_inside_the_start_of_its_thread(monkeypatch: pytest.MonkeyPatch):
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        raise KeyboardInterrupt

    heartbeat = Heartbeat(0, Beats())
    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt), heartbeat:
        pass
    heartbeat.thread.join(30)
    assert not heartbeat.thread.is_alive()


def test_a_heartbeat_ends_with_the_thread_that_began_it():
    heartbeats: list[Heartbeat] = []

    def owner() -> None:
        heartbeats.append(Heartbeat(0, Beats()))
        heartbeats[0].__enter__()  # and never left

    thread = threading.Thread(target=owner)
    thread.start()
    thread.join()
    heartbeats[0].thread.join(30)
    assert not heartbeats[0].thread.is_alive()
    assert heartbeats[0].thread.daemon  # a process ends without waiting for it


def test_a_stop_is_not_lost_where_the_database_is_locked(url: str, monkeypatch: pytest.MonkeyPatch):
    """The release fails as well: the trial is stale then, and the stop goes on."""
    study = open_study("s", url, QUICK, create=True)

    def locked(*arguments: object) -> None:
        raise RuntimeError("database is locked")

    def stopped(trial: SearchTrial) -> float:
        try:
            raise SystemExit(143)
        finally:
            locked()

    monkeypatch.setattr(study, "release", locked)
    with pytest.raises(SystemExit):
        optimise(study, RANGES, stopped, worker="me")
    assert [trial.state for trial in results(study)] == ["running"]


def test_mlflow_that_is_away_keeps_no_trial_from_the_queue(url: str):
    def away(notes: object) -> None:
        raise ConnectionError("MLflow is away")

    def cancelled(trial: SearchTrial) -> float:
        raise SystemExit

    study = open_study("s", url, QUICK, create=True, on_stale=away)
    with pytest.raises(SystemExit):
        optimise(study, RANGES, cancelled, worker="me")
    assert [trial.state for trial in results(study)] == ["fail", "waiting"]


def test_a_trial_that_is_stopped_often_is_queued_each_time_and_keeps_its_notes(url: str):
    study = open_study("s", url, QUICK, create=True)
    enqueue(study, {"x": 0.5, "y": 0.1}, setting=3)

    def stopped(trial: SearchTrial) -> float:
        assert "mlflow_run" not in trial.notes
        trial.note(mlflow_run="run")
        raise SystemExit

    for _ in range(4):
        with pytest.raises(SystemExit):
            optimise(study, RANGES, stopped, worker="me")
    found = results(study)
    assert [trial.state for trial in found] == [*["fail"] * 4, "waiting"]
    assert {trial.values["x"] for trial in found} == {0.5}
    assert found[-1].notes == {"setting": 3}
