"""Scheduled scoring of a source: once, again, of what comes later, and of what cannot be read."""

from pathlib import Path

import pandas as pd
import pytest

from hbaf.scoring import inbox, scoring_runs
from hbaf.scoring.ledger import Ledger
from hbaf.scoring.publish_parquet import ParquetDataset
from hbaf.scoring.published import as_scores
from hbaf.scoring.scheduled import SourceScores, score_source
from hbaf.scoring.source import SourceParameters
from tests.scoring.scheduled.conftest import call


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "calls"
    folder.mkdir()
    return folder


def run(source: Path, **settings: object) -> SourceScores:
    return score_source(SourceParameters(url=str(source), **settings), purpose="research", workers=1)  # type: ignore[arg-type]


def published(result: SourceScores) -> pd.DataFrame:
    return as_scores(ParquetDataset(result.published).read()).set_index("utterance_id")


def states(source: str = "calls") -> dict[str, str]:
    return {entry.name: entry.state for entry in inbox.entries(Ledger.open(), source)}


def test_only_what_is_new_is_scored_and_any_tool_reads_the_result(source: Path) -> None:
    call(source, "one", 200)
    first = run(source)
    assert first.counts == {"published": 1}
    assert first.champion_from == "cache"
    call(source, "2026/11/two", 220)
    second = run(source)
    assert second.counts == {"published": 1}
    assert run(source).counts == {}
    table = pd.read_parquet(second.published)
    assert sorted(table["utterance_id"]) == [
        f"calls/{name}/{turn}" for name in ("2026:11:two", "one") for turn in (0, 1, 2)
    ]
    assert set(table["status"]) == {"scored"}
    assert set(table["purpose"]) == {"research"}
    scores = published(second)
    assert scores.filter(like="p_").sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-4)
    assert [record.counts for record in scoring_runs.runs(Ledger.open())] == [{}, {"published": 1}, {"published": 1}]
