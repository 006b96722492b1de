"""How far a long piece of work is: a bar with the time left for a person at a terminal, and whoever else listens."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import Protocol

Listener = Callable[[str, float], None]  # what is under way, and how much of it is done in percent
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


class Advance(Protocol):
    """Says that more is done."""

    def __call__(self, amount: float = 1, message: str = "") -> None:
        """Adds to what is done; a message, where there is one, stands behind the bar from now on."""


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Within the block, and in its thread, the listener hears of every piece of work, shown at a terminal or not."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@contextmanager
def under_way(title: str, total: float, *, shown: bool, done: float = 0, counted: bool = True) -> Iterator[Advance]:
    """A piece of work under way; its bar, on stderr, goes when the block ends.

    Args:
        title: what is under way, without names of people or files.
        total: how much there is to do; nothing is shown for 0.
        shown: draw the bar.
        done: how much was done before.
        counted: show the numbers beside the bar; False for bytes.
    """
    listener = _listener.get()
    with _bar(title, total, done, counted) if shown and total else nullcontext(_nothing) as draw:

        def advance(amount: float = 1, message: str = "") -> None:
            nonlocal done
            done += amount
            draw(done, message)
            if listener is not None and total:
                listener(title, 100 * min(1.0, done / total))

        yield advance


@contextmanager
def _bar(title: str, total: float, done: float, counted: bool) -> Iterator[Callable[[float, str], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    count = (MofNCompleteColumn(),) if counted else ()
    columns = (TextColumn(title), BarColumn(), *count, TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        bar.update(task, completed=done)
        yield lambda done, message: bar.update(task, completed=done, description=message or None)


def _nothing(done: float, message: str) -> None:
    """For work that nobody sees at a terminal."""
