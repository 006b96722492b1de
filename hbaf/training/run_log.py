"""What a training run reports, and to whom: implemented on MLflow in the registry, injected from above."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class MetricLog(Protocol):
    """What a training loop writes to."""

    def log_metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Adds a point to each curve; `step` is the epoch, from 1, None for a figure of the whole run."""
        ...


class RunLog(Protocol):
    """A run's log. Numbers and names only: no transcript, no file name of a person."""

    def log_parameters(self, values: Mapping[str, object]) -> None:
        """Settings of the run, flat: `training.learning_rate` -> value."""
        ...

    def log_metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Adds a point to each curve; `step` is the epoch, from 1, None for a figure of the whole run."""
        ...

    def log_tags(self, values: Mapping[str, str]) -> None:
        """What runs are found by: corpus, variant, digests. A tag that is there is overwritten."""
        ...

    def log_figure(self, figure: "Figure", name: str) -> None:
        """Keeps a figure under `name`, a file name whose suffix decides the format."""
        ...

    def log_file(self, path: Path, folder: str = "") -> None:
        """Keeps a copy of a file, in `folder` of the run; "" is its top."""
        ...


class SilentRunLog:
    """Keeps everything in memory: for plain Python use and for tests."""

    def __init__(self) -> None:
        self.parameters: dict[str, object] = {}
        self.metrics: list[tuple[int | None, dict[str, float]]] = []
        self.tags: dict[str, str] = {}
        self.figures: dict[str, Figure] = {}
        self.files: list[Path] = []

    def log_parameters(self, values: Mapping[str, object]) -> None:
        """Into `parameters`."""
        self.parameters.update(values)

    def log_metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Appends (step, values) to `metrics`."""
        self.metrics.append((step, dict(values)))

    def log_tags(self, values: Mapping[str, str]) -> None:
        """Into `tags`."""
        self.tags.update(values)

    def log_figure(self, figure: "Figure", name: str) -> None:
        """Into `figures`, by name."""
        self.figures[name] = figure

    def log_file(self, path: Path, folder: str = "") -> None:
        """Appends the path to `files`; nothing is copied."""
        self.files.append(path)
