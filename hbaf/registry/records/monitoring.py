"""What the monitor found, in MLflow: one run per model version with a point per check, so that MLflow draws curves."""

import time
from collections.abc import Mapping
from pathlib import Path

from mlflow.entities import Metric

from hbaf.registry.metric_names import metric_name
from hbaf.registry.models import RegisteredModel
from hbaf.registry.tracking import HOME_TAG, MlflowClient, experiment_id, home_digest

EXPERIMENT = "hbaf-monitoring"
MODEL_TAG = "hbaf.monitored"
RUN_TAG = "hbaf.run_id"  # of the run that made the model: its number may be another one's in another registry
Point = tuple[float, float]  # seconds since 1970, value


def log_look(model: RegisteredModel, values: Mapping[str, float], at: float, tags: Mapping[str, str]) -> str:
    """Adds a point to every curve of this model version in this home; values that are NaN have no point.

    Args:
        at: seconds since 1970.

    Returns:
        Id of the run.
    """
    client = MlflowClient()
    run_id = find_run(model)
    if run_id is None:
        named = {MODEL_TAG: model.label, HOME_TAG: home_digest(), RUN_TAG: model.run_id}
        run_id = client.create_run(experiment_id(EXPERIMENT), run_name=f"monitor {model.label}", tags=named).info.run_id
        client.set_terminated(run_id)  # never `Running`: nobody would end it
    step = len(client.get_metric_history(run_id, "utterances"))
    points = [
        Metric(metric_name(name), float(value), int(at * 1000), step)
        for name, value in values.items()
        if value == value
    ]
    client.log_batch(run_id, metrics=points)
    for name, value in tags.items():
        client.set_tag(run_id, name, value)
    return str(run_id)


def log_report(run_id: str, page: Path) -> None:
    """Keeps a check's page with the run, under the time of the check."""
    MlflowClient().log_artifact(run_id, str(page), time.strftime("looks/%Y-%m-%dT%H%M%SZ", time.gmtime()))


def curves(model: RegisteredModel, names: list[str]) -> dict[str, list[Point]]:
    """Every earlier point of these metrics, oldest first; empty before the first check."""
    run_id = find_run(model)
    if run_id is None:
        return {name: [] for name in names}
    client = MlflowClient()
    return {
        name: sorted(
            (metric.timestamp / 1000, metric.value) for metric in client.get_metric_history(run_id, metric_name(name))
        )
        for name in names
    }


def find_run(model: RegisteredModel) -> str | None:
    """Id of the run that holds this model's monitoring from this home; None before the first check."""
    found = MlflowClient().search_runs(
        [experiment_id(EXPERIMENT)],
        f"tags.\"{RUN_TAG}\" = '{model.run_id}' and tags.\"{HOME_TAG}\" = '{home_digest()}'",
        max_results=1,
    )
    return found[0].info.run_id if found else None
