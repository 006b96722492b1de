"""What a training run reports, and to whom: implemented on MLflow in the registry, injected from above."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class MetricLog(Protocol):
    """What a training loop writes to."""

    def log_metrics(self, values: Mapping[str, float], step: int | None = None) -> None: ...


class RunLog(Protocol):
    """A run's log. Numbers and names only: no transcript, no file name of a person."""

    def log_parameters(self, values: Mapping[str, object]) -> None: ...

    def log_metrics(self, values: Mapping[str, float], step: int | None = None) -> None: ...

    def log_tags(self, values: Mapping[str, str]) -> None: ...

    def log_figure(self, figure: "Figure", name: str) -> None: ...

    def log_file(self, path: Path, folder: str = "") -> None: ...


class SilentRunLog:
    """Keeps everything in memory: for plain Python use and for tests."""

    def __init__(self) -> None:
        self.parameters: dict[str, object] = {}
        self.metrics: list[tuple[int | None, dict[str, float]]] = []
        self.tags: dict[str, str] = {}
        self.figures: dict[str, Figure] = {}
        self.files: list[Path] = []

    def log_parameters(self, values: Mapping[str, object]) -> None:
        self.parameters.update(values)

    def log_metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        self.metrics.append((step, dict(values)))

    def log_tags(self, values: Mapping[str, str]) -> None:
        self.tags.update(values)

    def log_figure(self, figure: "Figure", name: str) -> None:
        self.figures[name] = figure

    def log_file(self, path: Path, folder: str = "") -> None:
        self.files.append(path)
