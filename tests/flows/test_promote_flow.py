"""`promote-hbaf` on a real Prefect server: the verdict is an artifact, with `approval` a person's answer decides."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.flows.conftest import ROOT, Stack, stop

pytestmark = pytest.mark.slow

TRAIN = """
from pathlib import Path
from hbaf.corpus.prepare import prepare_corpus
from hbaf.corpus.schema import load_corpus
from hbaf.features.columns import extract_features
from hbaf.parameters import CorpusParameters, from_recipe
from hbaf.registry.runs import train_and_log
reference = prepare_corpus(CorpusParameters(reader="folder", root=Path({root!r})), workers=1)
settings = from_recipe("demo", features={{"audio": "mfcc", "workers": 1}}, training={{"max_epochs": 4, "threads": 1}},
                       model={{"dim": 16, "heads": 2, "feedforward": 32, "conv_channels": 8}})
train_and_log(reference, extract_features(load_corpus(reference), settings[0]), *settings)
"""
PROMOTE = """
from pathlib import Path
from hbaf.home import prepare_environment
prepare_environment()
from flows.promote_hbaf import promote_hbaf
from hbaf.parameters import CorpusParameters, PromotionParameters
rules = PromotionParameters(approval=True, minimum_effect=-1, approval_hours={hours})
print(promote_hbaf(CorpusParameters(reader="folder", root=Path({root!r})), rules=rules).title)
"""


TRAIN_AND_REFUSE = """
from pathlib import Path
from hbaf.home import prepare_environment
prepare_environment()
from flows.promote_hbaf import promote_hbaf
from flows.train_hbaf import train_hbaf
from hbaf.parameters import CorpusParameters, PromotionParameters
corpus = CorpusParameters(reader="folder", root=Path({root!r}), name="named")
train_hbaf(corpus, "demo", features={{"audio": "mfcc", "workers": 1}},
           training={{"max_epochs": 2, "threads": 1, "members": 1, "seed": 3}},
           model={{"dim": 16, "heads": 2, "feedforward": 32, "conv_channels": 8}})
print(promote_hbaf(corpus, rules=PromotionParameters(minimum_effect=1)).title)
"""


@pytest.fixture(scope="module")
def talks(stack: Stack) -> str:
    """A corpus of words alone and a finished run of it in the stack's home."""
    folder = stack.folder / "talks"
    folder.mkdir()
    words = {"joy": "what a wonderful day", "anger": "stop shouting at me"}
    rows = [
        {"dialogue": f"d{d}", "turn": t, "speaker": "A", "emotion": emotion, "text": f"{text} {d}"}
        for d in range(24)
        for t, (emotion, text) in enumerate(words.items())
    ]
    pd.DataFrame(rows).to_csv(folder / "talks.csv", index=False)
    stack.run(sys.executable, "-c", TRAIN.format(root=str(folder)), timeout=200)
    return str(folder)


@pytest.fixture
def waiting(stack: Stack, talks: str, request: pytest.FixtureRequest) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """The flow, paused, and the id of its run."""
    script = PROMOTE.format(root=talks, hours=getattr(request, "param", 1))
    flow = subprocess.Popen(
        [sys.executable, "-c", script], env=stack.environment, cwd=ROOT, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        yield flow, paused_run(stack, flow)
    finally:
        stop(flow)  # type: ignore[arg-type]


def client(stack: Stack, work: Any) -> Any:
    """Runs `work(client)` against the stack's server."""
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    async def go() -> Any:
        async with get_client() as talking:
            return await work(talking)

    with temporary_settings({PREFECT_API_URL: stack.environment["PREFECT_API_URL"]}):
        return asyncio.run(go())


def paused_run(stack: Stack, flow: "subprocess.Popen[str]") -> str:
    from prefect.client.schemas.filters import FlowRunFilter

    wanted = FlowRunFilter.model_validate({"state": {"type": {"any_": ["PAUSED"]}}})
    for _ in range(180):
        found = client(stack, lambda c: c.read_flow_runs(flow_run_filter=wanted))
        if found:
            return str(found[0].id)
        assert flow.poll() is None, flow.stdout and flow.stdout.read()
        time.sleep(0.5)
    raise AssertionError("the flow never paused")


def answer(stack: Stack, run: str, **given: Any) -> str:
    code = (
        "from uuid import UUID\nfrom prefect.flow_runs import resume_flow_run\n"
        f"resume_flow_run(UUID({run!r}), run_input={given!r})"
    )
    return stack.run(sys.executable, "-c", code)


def champion(stack: Stack) -> str | None:
    code = (
        "from hbaf.home import prepare_environment\nprepare_environment()\n"
        "from hbaf.promotion.aliases import version_with\nprint(version_with('hbaf-talks', 'champion'))"
    )
    said = stack.run(sys.executable, "-c", code).strip().splitlines()[-1]
    return None if said == "None" else said


@pytest.mark.timeout(200)
@pytest.mark.parametrize("waiting", [0.001], indirect=True)
def test_nobody_answers(stack: Stack, waiting: tuple["subprocess.Popen[str]", str]) -> None:
    flow, _ = waiting
    before = champion(stack)
    said, _ = flow.communicate(timeout=60)
    assert flow.returncode != 0
    assert "never resumed" in said
    assert champion(stack) == before


@pytest.mark.timeout(280)
def test_no_keeps_the_champion_and_yes_moves_the_alias(
    stack: Stack, waiting: tuple["subprocess.Popen[str]", str], talks: str
) -> None:
    flow, run = waiting
    assert champion(stack) is None
    answer(stack, run, agree=False, reason="not yet")
    said, _ = flow.communicate(timeout=60)
    assert "not promoted, not yet" in said
    assert champion(stack) is None

    script = PROMOTE.format(root=talks, hours=1)
    again = subprocess.Popen(
        [sys.executable, "-c", script], env=stack.environment, cwd=ROOT, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        answer(stack, paused_run(stack, again), agree=True, reason="looks right")
        said, _ = again.communicate(timeout=60)
    finally:
        stop(again)  # type: ignore[arg-type]
    assert "champion, looks right" in said
    assert champion(stack) == "1"
    found = client(stack, lambda c: c.read_artifacts())
    shown = [item.data for item in found if item.key == "promotion-hbaf-talks"]
    assert any("| majority |" in str(text) and "passed" in str(text) for text in shown)
    (card,) = Path(stack.environment["HBAF_HOME"], "cards", "hbaf-talks").glob("*/card.html")
    assert "hbaf-talks" in card.read_text()


@pytest.mark.timeout(280)
def test_runs_are_named_by_what_they_do_and_a_refusal_is_seen(stack: Stack, talks: str) -> None:
    printed = stack.run(sys.executable, "-c", TRAIN_AND_REFUSE.format(root=talks), timeout=200)
    assert "hbaf-named version 1: not promoted, failed: majority" in printed
    runs = {run.name: run for run in client(stack, lambda c: c.read_flow_runs())}
    assert runs["train named demo seed 3"].state.name == "Completed"
    refused = runs["promote named"].state
    assert (refused.type.value, refused.name) == ("COMPLETED", "Refused")
    assert "failed: majority" in refused.message
    found = client(stack, lambda c: c.read_artifacts())
    (shown,) = (item.data for item in found if item.key == "train-hbaf-named-demo")
    assert "logistic regression" in str(shown)
    assert "no sound: variant" in str(shown)
