"""How far the long work of a task is, as progress artifacts of its run."""

import time
from typing import Any
from uuid import UUID

from prefect import get_run_logger
from prefect.artifacts import create_progress_artifact, update_progress_artifact

SECONDS_BETWEEN = 5.0  # what takes less has no artifact


class ProgressArtifacts:
    """A listener of `hbaf.progress`: one artifact for each piece of work that a task does."""

    def __init__(self) -> None:
        self._artifacts: dict[str, UUID] = {}
        self._told = time.monotonic()

    def __call__(self, title: str, percent: float) -> None:
        """Tells Prefect, now and then; a server that is away for a moment is no reason to end the work."""
        known = self._artifacts.get(title)
        ends = known is not None and percent >= 100
        if not ends and time.monotonic() - self._told < SECONDS_BETWEEN:
            return
        self._told = time.monotonic()
        try:
            if known is None:
                made: Any = create_progress_artifact(percent, description=title)  # typed as its asynchronous twin, too
                self._artifacts[title] = made
            else:
                update_progress_artifact(known, percent)
        except Exception as error:  # whatever the client raises: the work matters more
            get_run_logger().debug(f"the progress of {title} did not reach Prefect: {type(error).__name__}")
