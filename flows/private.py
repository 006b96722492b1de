"""What Prefect may learn of an error: its kind and where the whole message lies, never words, names or files of people.

Prefect keeps the message of every error in its database and its logs. Messages about a corpus name files, rows and what
stands in them, and a library's own messages may quote anything. They are written into the home folder, `errors/`, and
into Prefect only with HBAF_SHOW_NAMES=1.
"""

import functools
import os
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.progress import ProgressArtifacts
from hbaf.corpus.schema import CorpusError
from hbaf.features.finetuned import LeakError
from hbaf.home import directory, without_passwords
from hbaf.progress import heard_by
from hbaf.pseudonyms import SHOW, shows_names
from hbaf.validation import ValidationFailed

# Whose errors speak of settings, digests, addresses and the home folder.
SHOWN = (
    "hbaf.home", "hbaf.parameters", "hbaf.features", "hbaf.training", "hbaf.registry", "hbaf.promotion", "hbaf.search",
    "feature_store", "mlflow",
)  # fmt: skip


class StageError(RuntimeError):
    """A stage failed; why is written to a file of the home folder."""


def stage(function: Callable[..., Any]) -> Any:
    """A task whose errors are shielded, and which shows how far it is."""

    @functools.wraps(function)
    def run(*arguments: Any, **named: Any) -> Any:
        with shielded(function.__name__), heard_by(ProgressArtifacts()):
            return function(*arguments, **named)

    # Every step decides by content itself whether it has been done before.
    task_of: Any = task  # its overloads take no wrapped function
    return task_of(run, cache_policy=NO_CACHE)


@contextmanager
def shielded(name: str) -> Iterator[None]:
    """Errors leave this block without what is nobody's business, and without the frames that led to them."""
    try:
        yield
    except Exception as error:
        if shows_names():
            raise
        message = without_passwords(str(error))
        if may_be_told(error):
            # One of our own with nobody in its message: the same kind again, for whoever waits for it.
            raise (error if message == str(error) else StageError(message)).with_traceback(None) from None
        raise StageError(
            f"{name}: {type(error).__name__}. Its message may name people or their files: it is in {_kept(error)}. "
            f"With {SHOW}=1 in the environment of the run it is shown here."
        ) from None


def may_be_told(error: Exception) -> bool:
    """Whether the message is made of settings, digests and addresses: it is one of our own, not about a source."""
    return isinstance(error, ValidationFailed) or (
        type(error).__module__.startswith(SHOWN) and not isinstance(error, CorpusError | LeakError)
    )


def _kept(error: Exception) -> Path:
    file = directory("errors") / f"{time.strftime('%Y-%m-%dT%H%M%S')}-{os.urandom(3).hex()}.txt"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as stream:
        stream.write("".join(traceback.format_exception(error)))
    return file
