"""What arrived for scheduled scoring is forgotten wherever it is: published or held, in files and databases."""

import json
import re
from pathlib import Path

import pytest
import sqlalchemy as sql

from hbaf.cli import main
from hbaf.inbox.entries import Inbox
from hbaf.inbox.ledger.database import Ledger
from hbaf.inbox.publish.parquet import ParquetDataset
from hbaf.inbox.scheduled import score_source
from hbaf.inbox.source import SourceParameters
from hbaf.privacy.forget import ForgetError, forget
from hbaf.privacy.retention import apply_retention
from hbaf.privacy.stores import STORES, Store
from tests.inbox.conftest import NOWHERE, call
from tests.inbox.test_kills import database
from tests.privacy.test_markers import held

__all__ = ["database"]  # a fixture
MARKS = ("markername", "markerword", "markerbroken", "markercopy")
# Folders without anything of people: weights, keys, servers' own files, and the journal, which ends with its forget.
NOTHING_OF_PEOPLE = {
    "events",
    "champions",
    "encoders",
    "receipts",
    "forgetting",
    "prefect",
    "stack",
    "monitoring",
    "examples",
}
DOCS = Path(__file__).parents[2] / "docs" / "privacy.md"


@pytest.fixture
def scored(tmp_path: Path, home: Path) -> SourceParameters:
    """Published and exported, held as a copy, in quarantine, and left half done by a run that was killed."""
    folder = tmp_path / "calls"
    call(folder, "markername", 200, word="markerword")
    call(folder, "zz-markercopy", 200, word="markerword")
    call(folder, "unforgotten", 220)
    call(folder, "markerbroken", 240)
    (folder / "markerbroken.wav").write_bytes(b"RIFF" + bytes(4000))
    parameters = SourceParameters(url=str(folder), quiet_minutes=0, also=("csv", "jsonl"))
    score_source(parameters, purpose="research", workers=1)
    (home / "inbox" / "work" / "calls" / "1-1").mkdir(parents=True)
    (home / "inbox" / "work" / "calls" / "1-1" / "left.txt").write_text("markerword")
    return parameters


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An MLflow that can be asked: it knows no model of these calls."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")


def test_no_file_of_the_home_holds_a_mark_afterwards(
    scored: SourceParameters, home: Path, registry: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = held(home, MARKS)
    assert {name.split("/")[0] for name in before} >= {"published", "exports", "inbox"}
    receipt = forget("calls/markername")
    assert (receipt.published, receipt.arrivals, receipt.left_in) == (3, 1, ())
    broken = forget("markerbroken")
    assert (broken.published, broken.arrivals) == (0, 1)
    assert held(home, MARKS) == {}
    with pytest.raises(ForgetError, match="no conversation of that name"):
        forget("markerbroken")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOWHERE)
    again = score_source(scored, purpose="research", workers=1)
    assert again.counts == {}
    assert set(ParquetDataset(again.published).read()["dialogue_id"].to_pylist()) == {"unforgotten"}
    assert held(home, MARKS) == {}


def test_a_whole_source_is_forgotten(scored: SourceParameters, home: Path, registry: None) -> None:
    receipt = forget("calls")
    assert (receipt.kind, receipt.published, receipt.arrivals) == ("corpus", 6, 4)
    assert held(home, (*MARKS, "unforgotten")) == {}


@pytest.mark.parametrize("done", [0, 1, 2])  # tests/privacy stops after every store
def test_one_that_was_killed_is_completed_by_the_next_scoring(
    scored: SourceParameters, home: Path, registry: None, done: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("hbaf.privacy.forget.STORES", (*STORES[:done], Store((), stop)))  # type: ignore[arg-type]
        with pytest.raises(KeyboardInterrupt):
            forget("calls/markername")
    assert apply_retention() is None
    (receipt,) = (home / "receipts").glob("*.json")
    assert json.loads(receipt.read_text())["state"] == "done"
    assert held(home, ("markername", "markerword", "markercopy")) == {}


def test_every_room_is_registered_and_documented(scored: SourceParameters, home: Path) -> None:
    registered = {folder for store in STORES for folder in store.folders}
    folders = {place.name for place in home.iterdir() if place.is_dir()}
    assert folders - registered <= NOTHING_OF_PEOPLE
    documented = set(re.findall(r"`(\w+)/`", DOCS.read_text()))
    assert registered - {"docs", "validated", "mlflow", "search", "runs"} <= documented, "those are rows of their own"


def test_a_shell_without_the_database_forgets_nothing_and_says_which(
    home: Path, registry: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    (home / "inbox").mkdir()
    (home / "inbox" / "databases.json").write_text('["postgresql+psycopg2://scores.example/hbaf"]')
    with pytest.raises(SystemExit) as ended:
        main(["forget", "calls/anna"])
    assert ended.value.code == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "scores of this home also went to postgresql+psycopg2://scores.example/hbaf" in said
    assert "Set HBAF_SCORES_DATABASE" in said
    monkeypatch.setenv("HBAF_RETENTION", "90d")
    assert apply_retention() is None
    assert "nothing is forgotten now, scores also went to postgresql" in caplog.text


@pytest.mark.slow  # starts a PostgreSQL server
def test_a_database_keeps_no_name(
    tmp_path: Path, home: Path, database: str, registry: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HBAF_SCORES_DATABASE", database)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOWHERE)
    call(tmp_path / "calls", "markername", 200, word="markerword")
    score_source(SourceParameters(url=str(tmp_path / "calls")), purpose="research", workers=1)
    engine = sql.create_engine(database)

    def rows() -> str:
        with engine.begin() as connection:
            tables = sql.text(
                "select schemaname, tablename from pg_tables where tablename like 'hbaf%' or schemaname = 'hbaf'"
            )
            names = [f'"{schema}"."{table}"' for schema, table in connection.execute(tables)]
            assert len(names) >= 8
            return "\n".join(
                str(row) for name in names for row in connection.execute(sql.text(f"select * from {name}"))
            )

    assert "markerword" in rows()
    assert Inbox(Ledger.open()).counts()["published"] == 1  # type: ignore[index]
    assert json.loads((home / "inbox" / "databases.json").read_text())
    monkeypatch.delenv("HBAF_SCORES_DATABASE")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    with pytest.raises(ForgetError, match="HBAF_SCORES_DATABASE"):
        forget("calls/markername")
    monkeypatch.setenv("HBAF_SCORES_DATABASE", database)
    assert forget("calls/markername").published == 3
    assert "marker" not in rows().replace(str(tmp_path), "")
    assert held(home, MARKS) == {}
