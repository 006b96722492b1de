"""Two models side by side, each with a champion: work asks which one is meant, a look at all does not."""

import json
from pathlib import Path

import pytest

from hbaf.monitoring.status import Limits, examine
from hbaf.registry.models import CHAMPION, SeveralModelsError, find_model, register
from hbaf.registry.runs import train_and_log
from hbaf.registry.tracking import MlflowClient
from hbaf.verbs.monitor import status
from tests.registry.conftest import Prepared


@pytest.fixture
def champions(prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    # A registry of its own: the other tests here ask for the only champion.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    run = train_and_log(prepared.reference, prepared.columns, prepared.features, prepared.model, prepared.training)
    names = ("hbaf-calls", "hbaf-meetings")
    for name in names:
        MlflowClient().set_registered_model_alias(name, CHAMPION, register(run.model_uri, name, {}))
    return names


def test_status_shows_all_and_is_well(champions: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    found = examine(Limits(disk=0))
    assert found.problems == ()
    assert [label.rpartition("/")[0] for label in found.champion.split(", ")] == list(champions)
    assert status(disk=0, json=True) == 0
    assert json.loads(capsys.readouterr().out)["ok"]
    assert examine(Limits(disk=0), champions[1]).champion.startswith(champions[1])
    with pytest.raises(SeveralModelsError, match="Name one"):
        find_model()
