"""Signals that come at a bad moment: in a library's call, in a clean-up, in place of an error."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable

import pytest

from hbaf import stop


def in_child(body: Callable[[], object], *, after: float = 0.0, number: int = signal.SIGTERM) -> int:
    """Exit code of a forked process that runs `body` and gets a signal once it says that it began."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell started us with `&`
            with os.fdopen(writing, "w") as began:  # closed by the body's first line, or with the process
                body.__globals__["began"] = began
                body()
            code = 0
        except SystemExit as error:
            code = int(error.code or 0)
        except KeyboardInterrupt:
            code = 77
        finally:
            os._exit(code)
    os.close(writing)
    os.read(reading, 1)  # empty where it is closed
    os.close(reading)
    time.sleep(after)
    os.kill(child, number)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def begins() -> None:
    globals()["began"].close()


def until_asked() -> None:
    begins()
    for _ in range(10_000):
        stop.check()
        time.sleep(0.01)


def test_a_signal_is_a_request_that_is_asked_for():
    def work() -> None:
        with stop.heeded():
            until_asked()

    assert in_child(work) == 128 + signal.SIGTERM
    assert in_child(work, number=signal.SIGINT) == 77  # Ctrl-C stays what it is


def test_the_handler_before_is_called_when_nothing_is_under_way():
    """Prefect's own handler raises its own exception; it comes after the block."""

    def work() -> None:
        done = []

        def prefects(number: int, frame: object) -> None:
            sys.exit(55 if done else 56)

        signal.signal(signal.SIGTERM, prefects)
        with stop.heeded():
            try:
                until_asked()
            finally:
                done.append(True)

    assert in_child(work) == 55


def test_a_signal_in_the_last_step_is_not_lost():
    def work() -> None:
        with stop.heeded():
            begins()
            while not stop.requested():
                time.sleep(0.01)

    assert in_child(work) == 128 + signal.SIGTERM


def test_an_error_after_a_signal_is_no_failure():
    def work() -> None:
        with stop.heeded():
            try:
                until_asked()
            except stop.Stopped:
                raise RuntimeError("database is locked") from None

    assert in_child(work) == 128 + signal.SIGTERM


@pytest.mark.parametrize("hangs", [False, True])
def test_work_that_hangs_is_ended_with_what_it_was_at_given_back(hangs: bool, tmp_path, monkeypatch):
    monkeypatch.setattr(stop, "AT_LAST", 0.5)
    given_back = tmp_path / "given back"

    def give_back() -> None:
        given_back.touch()
        if hangs:
            threading.Event().wait()

    def work() -> None:
        with stop.heeded(give_back, patience=0.1):
            begins()
            lock = threading.Lock()
            with lock:
                lock.acquire()  # no signal's exception and no flag ends this

    assert in_child(work) == 128 + signal.SIGTERM
    assert given_back.exists()


def test_a_request_ends_with_its_block():
    def work() -> None:
        with stop.heeded():
            os.kill(os.getpid(), signal.SIGTERM)
            while not stop.requested():
                time.sleep(0.001)

    with pytest.raises(SystemExit) as ended:
        work()
    assert ended.value.code == 143
    assert not stop.requested()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    stop.check()


def test_a_clean_up_replaces_nothing(caplog: pytest.LogCaptureFixture):
    did = []

    def fails() -> None:
        raise RuntimeError("database is locked")

    def stopped() -> None:
        try:
            sys.exit(143)
        finally:
            stop.clean_up("a run", fails, lambda: did.append(True))

    with pytest.raises(SystemExit):
        stopped()
    assert did == [True]
    assert "a run could not be cleaned up: RuntimeError: database is locked" in caplog.text


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, stop.Stopped])
def test_a_stop_that_an_error_replaced_is_found(kind: type[BaseException]):
    """So does every library whose clean-up fails."""

    def replaced() -> None:
        try:
            raise kind
        finally:
            raise RuntimeError("database is locked")

    with pytest.raises(RuntimeError) as caught:
        replaced()
    with pytest.raises(kind):
        stop.check(caught.value)


def test_an_ordinary_error_is_no_stop():
    error = ValueError("x")
    error.__context__ = RuntimeError("y")
    error.__context__.__context__ = error
    stop.check(error)
