"""`score-corpus` with a source on a real Prefect server: here and on two Dask workers the same rows are published."""

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.flows.conftest import Stack
from tests.flows.test_promote_flow import client
from tests.inbox.conftest import NOWHERE, Cached, cached, call  # noqa: F401  # a fixture
from tests.inbox.kill_runs import plain

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SCORE = """
import json
from hbaf.home import prepare_environment
prepare_environment()
if __name__ == "__main__":
    from flows.score_corpus import score_corpus
    done = score_corpus(purpose="research", source={source!r}, runner={runner!r})
    print(json.dumps([done.counts, done.published]))
"""


def score(stack: Stack, home: Path, source: Path, runner: dict[str, Any]) -> tuple[dict[str, int], pd.DataFrame]:
    """What a run of the flow counted, and all that is published then."""
    script = home / "score.py"
    script.write_text(SCORE.format(source={"url": str(source), "shard": 2}, runner=runner))
    # A file, not `-c`: the processes that Dask starts import it again.
    said = stack.run(
        sys.executable, str(script), timeout=400, HBAF_HOME=str(home), MLFLOW_TRACKING_URI=NOWHERE,
        PYTHONPATH=str(Path(__file__).parents[2]),
    )  # fmt: skip
    counts, published = json.loads(said.splitlines()[-1])
    rows = pd.read_parquet(published)
    rows["probabilities"] = rows["probabilities"].map(lambda pairs: dict(pairs))
    return counts, rows


def test_two_dask_workers_publish_what_one_process_does(
    stack: Stack,
    cached: Cached,  # noqa: F811
    tmp_path: Path,
) -> None:
    pytest.importorskip("prefect_dask", reason="prefect-dask is not installed: pip install 'hbaf[dask]'")
    source = tmp_path / "calls"
    for number in range(6):
        call(source, f"c{number}", 200 + 10 * number)
    call(source, "corrupt", 330)
    (source / "corrupt.wav").write_bytes(b"RIFF" + bytes(4000))
    (source / "corrupt.ready").touch()  # a marker holds for what is older than it
    found = {}
    for kind, runner in (("here", {}), ("dask", {"kind": "dask", "workers": 2})):
        home = tmp_path / kind
        home.mkdir()
        cached.put_into(home)
        counts, rows = score(stack, home, source, runner)
        assert counts == {"published": 6, "quarantined": 1}
        call(source, f"later-{kind}", 300)
        counts, _ = score(stack, home, source, runner)
        (source / f"later-{kind}.wav").unlink()
        (source / f"later-{kind}.vtt").unlink()
        (source / f"later-{kind}.ready").unlink()
        assert counts == {"published": 1}
        found[kind] = plain(rows)
    assert found["here"] == found["dask"]
    shown = [item.data for item in client(stack, lambda c: c.read_artifacts()) if item.key == "scores-calls"]
    assert any("18 utterances of `calls`" in str(text) and "| quarantined | 1 |" in str(text) for text in shown)
    assert not any("corrupt" in str(text) for text in shown)  # names stay in the inbox
