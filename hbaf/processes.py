"""A pool of spawned processes that survives the death of one and leaves nobody behind.

Spawned, not forked: one openSMILE per process scales better so, and forking a process with threads may hang.
"""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
QUEUED = 4  # tasks per process that wait or whose result waits: bounds memory, keeps everyone busy


class WorkerError(RuntimeError):
    """Worker processes could not start, or died in a task that cannot be left out."""


def run_in_processes(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    workers: int,
    start: Callable[..., None] | None = None,
    start_arguments: tuple[Any, ...] = (),
    *,
    in_order: bool = False,
) -> Iterator[tuple[int, Result | None]]:
    """`function` of each task, with its number. Everything given must be importable by name and survive pickling.

    A process that dies (killed, out of memory, crashed in a library) takes those beside it along. The tasks that were
    under way are then tried once more, each alone: the one whose process dies again is given up, the others go on.

    Args:
        start: runs once in each process, before its first task.
        in_order: by number, else as they end.

    Yields:
        The number and the result; None for a task that was given up.

    Raises:
        WorkerError: no process could start.
    """
    begin = (start, start_arguments)
    waiting = deque(range(len(tasks)))
    with _one_thread_each():
        while waiting:
            suspects = deque((yield from _until_a_death(function, tasks, waiting, workers, QUEUED, begin, in_order)))
            while suspects:
                for number in (yield from _until_a_death(function, tasks, suspects, 1, 1, begin, True)):
                    yield number, None


def cores() -> int:
    """Cores that this process may use; a container or `taskset` may grant fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def beside(
    function: Callable[[Task], Result], tasks: Sequence[Task], workers: int = 1
) -> Iterator[list[Future[Result]]]:
    """Processes that do `tasks` while this one goes on; they are ended at once when this one fails or is stopped.

    Everything given must be importable by name and survive pickling.

    Yields:
        A future of each task, which can be cancelled until a process begins with it; after a death of a process they
        raise BrokenProcessPool.
    """
    already = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    with (
        _one_thread_each(),
        ProcessPoolExecutor(workers, context, _begin, (context.RawValue("b", 0), None, ())) as pool,
        ThreadPoolExecutor(workers) as hands,
    ):
        # A pool counts the next task as begun; from a thread each it has none before a process is free.
        futures = [hands.submit(lambda task: pool.submit(function, task).result(), task) for task in tasks]
        try:
            yield futures
        except BaseException:
            for process in set(multiprocessing.active_children()) - already:
                process.terminate()
            raise


def _until_a_death(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    waiting: deque[int],
    workers: int,
    queued: int,
    begin: tuple[Callable[..., None] | None, tuple[Any, ...]],
    in_order: bool,
) -> Generator[tuple[int, Result], None, list[int]]:
    """Takes tasks from `waiting` and yields results until all are done or a process dies; the tasks lost with it."""
    context = multiprocessing.get_context("spawn")
    started = context.RawValue("b", 0)
    pool = ProcessPoolExecutor(min(workers, len(waiting)), context, _begin, (started, *begin))
    running: dict[Future[Result], int] = {}
    try:
        while waiting or running:
            while waiting and len(running) < queued * workers:
                running[pool.submit(function, tasks[waiting[0]])] = waiting[0]
                waiting.popleft()
            first = next(iter(running))
            for future in (first,) if in_order else wait(running, return_when=FIRST_COMPLETED).done:
                result = future.result()
                yield running.pop(future), result
    except BrokenProcessPool as error:
        if not started.value:
            raise WorkerError(
                "the worker processes could not start: what they printed says why. Each of them runs the top of your "
                "script again, so put the call under `if __name__ == '__main__':`, in a file."
            ) from error
        return list(running.values())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return []


def _begin(started: Any, start: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if start is not None:
        start(*arguments)
    started.value = 1


def _end_with_parent() -> None:
    """Ends this process when its parent is gone: a killed parent would leave it waiting for tasks for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
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
