"""What scheduled scoring published goes by itself when it is as old as HBAF_RETENTION says, and stays out."""

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from hbaf.inbox.publish.parquet import ParquetDataset
from hbaf.inbox.scheduled import score_source
from hbaf.inbox.source import SourceParameters
from hbaf.privacy.retention import AgeError, apply_retention
from hbaf.registry.models import NoModelError
from tests.inbox.conftest import NOWHERE, call

DAY = 86_400


@pytest.mark.slow
def test_old_scores_go_and_are_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source = SourceParameters(url=str(tmp_path / "calls"))

    def run() -> set[str]:
        apply_retention()
        scored = score_source(source, purpose="research", workers=1)
        return set(ParquetDataset(scored.published).read()["dialogue_id"].to_pylist())

    (tmp_path / "calls").mkdir()
    call(tmp_path / "calls", "old", 200)
    assert run() == {"old"}

    later = SimpleNamespace(time=lambda: time.time() + 100 * DAY)
    for module in ("forget", "retention"):
        monkeypatch.setattr(f"hbaf.privacy.{module}.time", later)
    monkeypatch.setenv("HBAF_RETENTION", "90 days")
    with pytest.raises(AgeError, match="HBAF_RETENTION"):
        run()
    monkeypatch.setenv("HBAF_RETENTION", "101d")
    assert run() == {"old"}
    monkeypatch.setenv("HBAF_RETENTION", "90d")
    assert run() == {"old"}
    assert "MLflow cannot be reached" in caplog.text, "models that learned from it could not be named"

    call(tmp_path / "calls", "young", 220)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    with pytest.raises(NoModelError):  # this registry is empty; what is old has gone before
        run()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOWHERE)
    assert run() == {"young"}
    assert (tmp_path / "calls" / "old.wav").exists(), "the source is its owner's"
