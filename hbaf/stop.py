"""A request to stop: a signal sets a flag, work asks for it between its steps, and no step is torn apart.

An exception that a signal raises comes out of any line: inside a database driver, which keeps its lock, or inside
`Thread.start`, whose thread then belongs to nobody. So here the handler notes the request and returns. `check` raises
it where nothing is under way; whoever goes on after an exception calls `check(error)` first.
"""

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

PATIENCE = 8.0  # seconds for the work to come to the end of a step; a scheduler's notice is often 30 s, ours 20 s
AT_LAST = 6.0  # seconds for what is done in place of work that did not
SIGNALS = (signal.SIGTERM, signal.SIGINT)

log = logging.getLogger(__name__)


class Stopped(BaseException):
    """A stop was requested: no failure, and nothing that an `except Exception` may take for one."""


class _Request:
    """The signal that came, in this process; None: none did."""

    signal: int | None = None
    heeded = False


def requested() -> bool:
    """Whether this process was asked to stop."""
    return _Request.signal is not None


def check(error: BaseException | None = None) -> None:
    """Asked after every step, and after every exception that would otherwise be taken for a failure.

    Args:
        error: what was caught; a clean-up that failed may have put it in the place of a stop.

    Raises:
        BaseException: `Stopped`, or the SystemExit, KeyboardInterrupt ... that `error` replaced.
    """
    if requested():
        raise Stopped
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if not isinstance(error, Exception | GeneratorExit):
            raise error
        seen.add(id(error))
        error = error.__cause__ or error.__context__


def clean_up(what: str, *actions: Callable[[], object]) -> None:
    """Runs clean-ups, each whatever became of the others; an error is logged and replaces nothing.

    Args:
        what: named in the log line.
    """
    for action in actions:
        try:
            action()
        except Exception as error:
            log.warning("%s could not be cleaned up: %s: %s", what, type(error).__name__, error)


@contextmanager
def heeded(at_last: Callable[[], object] = lambda: None, patience: float = PATIENCE) -> Iterator[None]:
    """SIGTERM and Ctrl-C become a request inside this block, and leave it as what they would have been without it.

    Outside of the main thread, and inside another such block, nothing is changed.

    Args:
        at_last: queues again, gives back ..., called in another thread where the block does not come to an end within
            `patience`: a call into a library that waits. The process ends after it.
        patience: seconds.

    Raises:
        SystemExit: 128 and the number of the signal, or whatever the handler before this one raises: KeyboardInterrupt
            for Ctrl-C, Prefect's own for its runs.
    """
    if _Request.heeded or threading.current_thread() is not threading.main_thread():
        yield
        return
    left = threading.Event()
    before: dict[int, Any] = {}
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    _Request.heeded, _Request.signal = True, None
    # Python's handler waits for the call under way to return; the pipe does not.
    wakeup = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    watching = threading.Thread(target=_watch, args=(reading, left, at_last, patience), daemon=True)
    watching.start()
    try:
        for sign in SIGNALS:
            if signal.getsignal(sign) is not signal.SIG_IGN:
                before[sign] = signal.signal(sign, _note)
        try:
            yield
        except BaseException as error:
            if not requested():
                raise
            if not isinstance(error, Stopped | SystemExit | KeyboardInterrupt):
                log.warning("stopped after %s: %s", type(error).__name__, error)
    finally:
        left.set()
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup)
        os.close(writing)  # ends the watching thread
        watching.join()
        stopped, _Request.signal, _Request.heeded = _Request.signal, None, False
    if stopped is not None:
        handler = before.get(stopped)
        if callable(handler):
            handler(stopped, None)
        raise SystemExit(128 + stopped)


def _note(number: int, frame: FrameType | None) -> None:
    _Request.signal = number


def _watch(reading: int, left: threading.Event, at_last: Callable[[], object], patience: float) -> None:
    """Ends the process where the work goes on for too long after a signal."""
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        while numbers := pipe.read(64):
            came = [n for n in numbers if n in SIGNALS and signal.getsignal(n) is not signal.SIG_IGN]
            if not came:
                continue
            _Request.signal = came[0]
            if left.wait(patience):
                return
            last = threading.Thread(target=clean_up, args=("what was under way", at_last), daemon=True)
            last.start()
            last.join(AT_LAST)
            os._exit(128 + came[0])
