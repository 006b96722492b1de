"""The saved views name metrics and settings that runs really have; a renamed one would be an empty column."""

import json
import re

import pytest
from mlflow import MlflowClient

from hbaf.registry import table_views
from hbaf.registry.runs import train_and_log
from hbaf.registry.tracking import experiment_id, run
from tests.registry.conftest import Prepared


def test_every_column_of_the_views_is_logged(prepared: Prepared) -> None:
    made = train_and_log(
        prepared.reference, prepared.columns, prepared.features, prepared.model, prepared.training, progress=False
    )
    data = MlflowClient().get_run(made.run_id).data
    assert {*table_views.METRICS, *table_views.FLOORS} <= set(data.metrics)
    assert {*table_views.SEARCHED, *table_views.TOLD_APART_BY} <= set(data.params)


def test_a_new_experiment_has_the_view(prepared: Prepared) -> None:
    made = MlflowClient().get_experiment(experiment_id("viewed"))
    state = json.loads(made.tags["mlflow.sharedViewState.trials"])
    assert state["orderByKey"] == "metrics.`best/weighted_f1`"
    assert table_views.link("http://127.0.0.1:5000", "7").startswith("http://127.0.0.1:5000/#/experiments/7/runs?")


@pytest.mark.parametrize("corpus", ["calls", "O'Brien's calls", "Anrufe aus Köln"])
def test_the_runs_of_one_corpus(prepared: Prepared, corpus: str) -> None:
    for name in (corpus, "tiny"):
        with run("a run", tags={table_views.CORPUS_TAG: name}, experiment="of corpora") as made:
            made.log_metrics({"best/weighted_f1": 1.0 if name == "tiny" else 0.5})
    place = experiment_id("of corpora")
    tags = MlflowClient().get_experiment(place).tags
    name = f"mlflow.sharedViewState.{table_views.view_of(corpus)}"
    state = json.loads(tags[name])
    found = MlflowClient().search_runs([place], state["searchFilter"], order_by=[f"{state['orderByKey']} DESC"])
    assert {one.data.tags[table_views.CORPUS_TAG] for one in found} == {corpus}
    assert re.fullmatch(r"runs-[\w.-]+", table_views.view_of(corpus), re.ASCII)

    MlflowClient().set_experiment_tag(place, name, "changed by hand")
    with run("another", tags={table_views.CORPUS_TAG: corpus}, experiment="of corpora"):
        pass
    assert MlflowClient().get_experiment(place).tags[name] == "changed by hand"
