"""A pool of spawned processes that gives results in order and leaves nobody behind.

Spawned, not forked: one openSMILE per process scales better so, and forking a process with threads may hang.
"""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
QUEUED = 4  # tasks per process that wait or whose result waits: bounds memory, keeps everyone busy


class WorkerError(RuntimeError):
    """A worker process died."""


def run_in_processes(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    workers: int,
    start: Callable[..., None],
    start_arguments: tuple[Any, ...] = (),
) -> Iterator[Result]:
    """`function` of each task, in order. Everything given must be importable by name and survive pickling.

    Args:
        start: runs once in each process, before its first task.

    Raises:
        WorkerError: a process was killed or could not start.
    """
    context = multiprocessing.get_context("spawn")
    waiting: deque[Future[Result]] = deque()
    done = 0
    with _one_thread_each():
        pool = ProcessPoolExecutor(
            min(workers, len(tasks)), mp_context=context, initializer=_begin, initargs=(start, start_arguments)
        )
        try:
            for task in tasks:
                waiting.append(pool.submit(function, task))
                if len(waiting) >= QUEUED * workers:
                    yield waiting.popleft().result()
                    done += 1
            while waiting:
                yield waiting.popleft().result()
                done += 1
        except BrokenProcessPool as error:
            last = done + QUEUED * workers
            raise WorkerError(
                f"a worker process died in one of the tasks {done + 1} to {min(last, len(tasks))} of {len(tasks)}: "
                "killed, out of memory, crashed in a library, or it could not start. What was finished is stored. Run "
                "the same again to continue, with workers=1 to see the error itself; a script that calls this needs "
                '`if __name__ == "__main__":`.'
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _begin(start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    threading.Thread(target=_follow_parent, daemon=True).start()
    start(*arguments)


def _follow_parent() -> None:
    """Ends this process when its parent is gone: a killed parent would leave it waiting for tasks for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes started inside compute with one thread each; libraries read this when they are loaded."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
