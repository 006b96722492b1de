"""The saved view names metrics and settings that runs really have; a renamed one would be an empty column."""

import json

from mlflow import MlflowClient

from hbaf.registry import trials_view
from hbaf.registry.runs import train_and_log
from hbaf.registry.tracking import experiment_id
from tests.registry.conftest import Prepared


def test_every_column_of_the_view_is_logged(prepared: Prepared) -> None:
    run = train_and_log(
        prepared.reference, prepared.columns, prepared.features, prepared.model, prepared.training, progress=False
    )
    data = MlflowClient().get_run(run.run_id).data
    assert set(trials_view.METRICS) <= set(data.metrics)
    assert set(trials_view.PARAMETERS) <= set(data.params)


def test_a_new_experiment_has_the_view(prepared: Prepared) -> None:
    made = MlflowClient().get_experiment(experiment_id("viewed"))
    state = json.loads(made.tags["mlflow.sharedViewState.trials"])
    assert state["orderByKey"] == "metrics.`best/weighted_f1`"
    assert trials_view.link("http://127.0.0.1:5000", "7").startswith("http://127.0.0.1:5000/#/experiments/7/runs?")
