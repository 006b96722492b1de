"""A pool of processes: order, deaths, and what is left behind."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hbaf.processes import WorkerError, beside, run_in_processes


def test_results_come_in_order_where_asked() -> None:
    tasks = list(range(0, -50, -1))
    assert list(run_in_processes(abs, tasks, 2, in_order=True)) == [(number, number) for number in range(50)]
    assert sorted(run_in_processes(abs, tasks, 2)) == [(number, number) for number in range(50)]
    assert list(run_in_processes(abs, [], 2)) == []


def die_or_double(task: int) -> int:
    """Task 5 takes its process down."""
    if task == 5:
        os._exit(1)
    return 2 * task


@pytest.mark.parametrize("in_order", [True, False])
def test_a_task_that_takes_its_process_down_is_given_up_and_the_others_go_on(in_order: bool) -> None:
    found = list(run_in_processes(die_or_double, list(range(12)), 2, in_order=in_order))
    assert sorted(found) == [(task, None if task == 5 else 2 * task) for task in range(12)]
    assert not in_order or found == sorted(found)


def die_once(marker: Path) -> str:
    """Takes its process down unless somebody did before."""
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return marker.name


def test_a_task_whose_process_was_killed_once_is_tried_again(tmp_path: Path) -> None:
    assert list(run_in_processes(die_once, [tmp_path / "marker"], 1)) == [(0, "marker")]


def test_an_error_of_a_task_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        list(run_in_processes(divmod_by, [1, 0], 2))


def divmod_by(task: int) -> int:
    return 1 // task


def test_processes_that_cannot_start_are_an_error_at_once() -> None:
    with pytest.raises(WorkerError, match=r"could not start.*if __name__ == '__main__':"):
        list(run_in_processes(abs, [1, 2, 3], 2, os._exit, (1,)))


def test_threads_of_this_process_are_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    assert list(run_in_processes(os.getenv, ["OMP_NUM_THREADS"], 1)) == [(0, "1")]
    assert os.environ["OMP_NUM_THREADS"] == "3"
    assert "MKL_NUM_THREADS" not in os.environ


def test_a_process_beside_works_while_this_one_goes_on() -> None:
    with beside(divmod_by, [1, 0]) as others:
        assert others[0].result() == 1
        with pytest.raises(ZeroDivisionError):
            others[1].result()


def test_what_no_process_has_begun_can_be_cancelled() -> None:
    with beside(time.sleep, [0, 2, 600, 600]) as others:
        others[0].result()  # the second is under way or about to be
        assert others[3].cancel()
        assert others[2].cancel()
        assert others[1].result() is None


def test_a_process_beside_ends_at_once_when_this_one_fails() -> None:
    begun = time.monotonic()
    with contextlib.suppress(KeyError), beside(time.sleep, [0, 600]) as others:
        others[0].result()
        raise KeyError
    assert time.monotonic() - begun < 300
    assert others[1].cancelled() or others[1].exception() is not None


ORPHANS = """
import os, time
from hbaf.processes import run_in_processes
def work(task):
    if task == 0:
        return os.getpid()
    time.sleep(600)
if __name__ == "__main__":
    for _, process in run_in_processes(work, [0, 1, 1], 1):
        print(process, flush=True)
"""


def test_processes_end_with_the_one_that_began_them(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(ORPHANS)
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    os.kill(child, 0)
    parent.kill()
    parent.wait()
    for _ in range(100):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        status = Path(f"/proc/{child}/stat")
        if status.exists() and ") Z" in status.read_text():  # ended, and nobody has looked yet
            return
        time.sleep(0.1)
    os.kill(child, signal.SIGKILL)
    pytest.fail("the process goes on without its parent")
