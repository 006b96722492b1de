"""A comparison in MLflow: one parent, and a nested run per system x seed x corpus x representation."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hbaf.registry.tracking import HOME_TAG, MlflowClient, MlflowRunLog, experiment_id, home_digest, prefect_origin
from hbaf.stop import check

EXPERIMENT = "hbaf-comparison"
KEY = "hbaf.key"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NestedRun:
    """What a finished run of a comparison reports.

    Attributes:
        key: of the run; one that the parent has already is not logged again.
        history: metrics of each epoch.
        files: predictions and facts, as artifacts.
        failure: why it failed; its run ends FAILED.
    """

    key: str
    name: str
    tags: Mapping[str, str]
    parameters: Mapping[str, object]
    metrics: Mapping[str, float]
    history: Iterable[Mapping[str, float]] = ()
    files: tuple[Path, ...] = ()
    failure: str = ""


@dataclass
class ComparisonLog:
    """Writes to MLflow as runs end. The runs themselves lie in the home: without MLflow they are logged the next time.

    Attributes:
        key: of the question asked; the same question goes on with the same parent.
        run_id: of the parent; "" as long as MLflow was not reached.
    """

    name: str
    key: str
    parameters: Mapping[str, object]
    run_id: str = ""
    known: set[str] = field(default_factory=set)
    lost: bool = False

    def begin(self) -> None:
        """Finds or makes the parent."""
        self._guarded(self._begin)

    def add(self, run: NestedRun) -> None:
        """Logs a run below the parent; one that is there already is not logged again."""
        if run.key not in self.known:
            self._guarded(lambda: self._add(run))

    def finish(self, metrics: Mapping[str, float], files: Iterable[Path]) -> None:
        """Tables, figures and the best scores; the parent ends FINISHED."""
        self._guarded(lambda: self._finish(metrics, list(files)))

    def _begin(self) -> None:
        client, experiment = MlflowClient(), experiment_id(EXPERIMENT)
        found = client.search_runs([experiment], f"tags.\"hbaf.comparison\" = '{self.key}'", max_results=1)
        if found:
            self.run_id = found[0].info.run_id
            client.update_run(self.run_id, "RUNNING")
        else:
            tags = {"hbaf.comparison": self.key, HOME_TAG: home_digest(), **prefect_origin()}
            self.run_id = client.create_run(experiment, run_name=self.name, tags=tags).info.run_id
            MlflowRunLog(self.run_id).log_parameters(self.parameters)
        page = None
        while page is None or page.token:
            page = client.search_runs(
                [experiment],
                f"tags.\"mlflow.parentRunId\" = '{self.run_id}' and attributes.status = 'FINISHED'",
                page_token=page.token if page is not None else None,
            )
            self.known |= {run.data.tags[KEY] for run in page}

    def _add(self, run: NestedRun) -> None:
        client = MlflowClient()
        tags = {**run.tags, KEY: run.key, "mlflow.parentRunId": self.run_id, HOME_TAG: home_digest()}
        run_id = client.create_run(experiment_id(EXPERIMENT), run_name=run.name, tags=tags).info.run_id
        nested = MlflowRunLog(run_id)
        nested.log_parameters(run.parameters)
        for step, metrics in enumerate(run.history, 1):
            nested.log_metrics(metrics, step=step)
        if run.metrics:
            nested.log_metrics(run.metrics)
        for path in run.files:
            nested.log_file(path)
        if run.failure:
            nested.log_tags({"hbaf.failure": run.failure[:500]})
        client.set_terminated(run_id, "FAILED" if run.failure else "FINISHED")
        self.known.add(run.key)

    def _finish(self, metrics: Mapping[str, float], files: list[Path]) -> None:
        parent = MlflowRunLog(self.run_id)
        parent.log_metrics(metrics)
        for path in files:
            parent.log_file(path)
        MlflowClient().set_terminated(self.run_id)

    def _guarded(self, write: Callable[[], None]) -> None:
        # After the first failure MLflow is left alone: each further try would wait for its retries.
        if self.lost:
            return
        try:
            write()
        except Exception as error:
            check(error)
            self.lost = True
            log.warning("MLflow did not take the comparison (%s); the same command logs it when MLflow is back", error)
