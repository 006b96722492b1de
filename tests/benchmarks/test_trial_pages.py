"""How long MLflow's pages of a hundred trials take in a real browser: table, charts, and its own comparison."""

import json
import os
import random
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from hbaf.parameters import from_recipe

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(900)]
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
TRIALS, EPOCHS = 100, 30
PATIENCE = 90_000  # ms


@pytest.mark.skipif(not CHROMIUM.exists(), reason="no chromium: /usr/bin/chromium")
def test_pages_of_a_hundred_trials(stack: None) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    experiment, trials = a_hundred_trials()
    server = os.environ["MLFLOW_TRACKING_URI"]
    table = f"{server}/#/experiments/{experiment}/runs?viewStateShareKey=trials&workflowType=machine_learning"
    compared = f"runs={quote(json.dumps(trials))}&experiments={quote(json.dumps([experiment]))}"
    pages = {
        "table": (table, "text=best/weighted_f1"),
        "charts": (f"{table}&compareRunsMode=CHART", ".js-plotly-plot >> nth=0"),
        "comparison": (f"{server}/#/compare-runs?{compared}", ".js-plotly-plot >> nth=0"),
    }
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        context = browser.new_context(viewport={"width": 1500, "height": 1000})
        for visit in ("first", "second"):
            for name, (address, shown) in pages.items():
                page, began = context.new_page(), time.perf_counter()
                page.goto(address, wait_until="domcontentloaded")
                page.wait_for_selector(shown, timeout=PATIENCE, state="visible")
                print(f"{visit} visit, {name}: {time.perf_counter() - began:.1f} s")
                page.close()
        browser.close()


def a_hundred_trials() -> tuple[str, list[str]]:
    """Made-up runs as a search logs them, curves for 60 of them; the experiment and the trials' ids."""
    from hbaf.registry.runs import flat
    from hbaf.registry.tracking import Metric, MlflowClient, Param, experiment_id
    from hbaf.search.worker import CURVES

    experiment, client, draw = experiment_id(), MlflowClient(), random.Random(0)
    features, model, training = from_recipe("demo")
    settings = flat({"features": features, "model": model, "training": training})
    parent = client.create_run(experiment, run_name="search").info.run_id
    trials = []
    for number in range(TRIALS):
        run = client.create_run(experiment, run_name=f"trial {number:03d}", tags={"mlflow.parentRunId": parent})
        drawn = {"training.learning_rate": 10 ** draw.uniform(-5, -3), "model.tau": draw.random()}
        drawn |= {f"model.{name}": draw.random() for name in ("mu", "lambda1", "lambda2", "lambda3")}
        now = int(time.time() * 1000)
        kept = ("weighted_f1", "macro_f1", "accuracy", "loss", "epoch")
        metrics = [Metric(f"best/{name}", draw.random(), now, 0) for name in kept]
        if number % 10 < 6:
            metrics += [Metric(name, draw.random(), now, step) for step in range(1, EPOCHS + 1) for name in CURVES]
        parameters = [Param(name, str(value)) for name, value in {**settings, **drawn}.items()]
        client.log_batch(run.info.run_id, metrics=metrics, params=parameters)
        client.set_terminated(run.info.run_id)
        trials.append(run.info.run_id)
    return experiment, trials
