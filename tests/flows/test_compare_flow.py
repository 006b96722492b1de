"""`compare-systems` on a real Prefect server: the table is an artifact, a second run makes nothing anew."""

import json
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.flows.conftest import Stack

pytestmark = pytest.mark.slow

COMPARE = """
import json
from pathlib import Path
from hbaf.home import prepare_environment
prepare_environment()
from flows.compare_systems import compare_systems
from hbaf.parameters import ComparisonParameters, CorpusParameters
corpus = CorpusParameters(reader="folder", root=Path({root!r}))
asked = ComparisonParameters(systems="hbaf,floors,bc-lstm", seeds=1, audio=("mfcc",), workers=1)
changes = {{
    "model": {{"dim": 16, "heads": 2, "feedforward": 32, "conv_channels": 8}},
    "training": {{"max_epochs": 2, "threads": 1}},
}}
print(json.dumps(compare_systems((corpus,), asked, changes)))
"""
ARTIFACT = """
import asyncio
from prefect import get_client
from prefect.client.schemas.sorting import ArtifactSort
async def read():
    async with get_client() as client:
        found = await client.read_artifacts(sort=ArtifactSort.CREATED_DESC)
    print(next(a.data for a in found if (a.key or "").startswith("compare-")))
asyncio.run(read())
"""


def test_the_flow_compares_once_and_shows_the_table(stack: Stack, tmp_path: Path) -> None:
    words = {"joy": "what a wonderful day", "anger": "stop shouting at me"}
    rows = [
        {"dialogue": f"d{d}", "turn": t, "speaker": "A", "emotion": emotion, "text": f"{text} {d}"}
        for d in range(24)
        for t, (emotion, text) in enumerate(words.items())
    ]
    folder = tmp_path / "chats"
    folder.mkdir()
    pd.DataFrame(rows).to_csv(folder / "chats.csv", index=False)
    script = COMPARE.format(root=str(folder))
    first = json.loads(stack.run(sys.executable, "-c", script, timeout=250).splitlines()[-1])
    names = {"hbaf", "majority", "logistic-regression", "logistic-regression+chain", "bc-lstm"}
    assert {name.rpartition(", ")[2] for name in first} == names
    artifact = stack.run(sys.executable, "-c", ARTIFACT)
    assert all(f"| `{name}` |" in artifact for name in names)
    assert "Floors" in artifact
    looks = Path(stack.environment["HBAF_HOME"], "test-looks.jsonl").read_text()
    again = json.loads(stack.run(sys.executable, "-c", script, timeout=250).splitlines()[-1])
    assert again == first
    assert Path(stack.environment["HBAF_HOME"], "test-looks.jsonl").read_text() == looks
