"""Random SIGTERMs over a trial's whole life: every worker ends in time, and what it was at is queued again.

`HBAF_TERMINATIONS=300` sends as many (docs/operations.md has the figures), `HBAF_TERMINATIONS_SEED=1` others.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hbaf.parameters import SearchParameters
from hbaf.registry.tracking import MlflowClient, experiment_id
from hbaf.search.plan import STORAGE_VARIABLE, begin_study, storage_url
from tests.registry.conftest import Prepared

COUNT = int(os.environ.get("HBAF_TERMINATIONS", "12"))
SEED = os.environ.get("HBAF_TERMINATIONS_SEED", "0")


@pytest.mark.slow
@pytest.mark.timeout(120 + 30 * COUNT)
def test_random_signals_lose_no_trial(prepared: Prepared, tmp_path: Path):
    asked = SearchParameters(
        study="terminated", trials=100_000, top=1, seeds=1, heartbeat=60, prune=False, system_metrics=False
    )
    training = prepared.training.model_copy(update={"max_epochs": 4})
    plan = begin_study(prepared.reference, prepared.columns, prepared.features, prepared.model, training, asked)
    storage = storage_url(asked)
    said = tmp_path / "said.jsonl"
    with said.open("w") as stream:
        command = [sys.executable, "-m", "tests.search.terminations", plan.study, storage, str(COUNT), SEED]
        environment = {**os.environ, STORAGE_VARIABLE: storage}
        assert subprocess.run(command, stdout=stream, env=environment, check=False).returncode == 0
    found = [json.loads(line) for line in said.read_text().splitlines()]
    print(*found, sep="\n")
    assert len(found) == COUNT
    # -15: between the fork and the handler, where nothing is under way.
    assert [each for each in found if each["code"] not in (143, -15)] == []
    assert [each for each in found if each["running"] or each["waiting"] > 1] == []

    trials = plan.open("search", storage).get_trials(deepcopy=False)
    failed = {trial.number for trial in trials if trial.state.name == "FAIL"}
    assert failed == {trial.system_attrs["failed_trial"] for trial in trials if "failed_trial" in trial.system_attrs}
    runs = MlflowClient().search_runs([experiment_id()], "tags.\"hbaf.study\" = 'terminated'", max_results=1000)
    status = [run.info.status for run in runs if run.data.tags["hbaf.role"] == "trial"]
    assert set(status) <= {"FINISHED", "FAILED"}
    assert len(failed) >= COUNT // 4, "hardly a signal met a trial"
