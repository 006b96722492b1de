"""Copies of models in the home: one of each version that a registry names, never another registry's of that name."""

import json
from pathlib import Path

import pytest

from hbaf.registry.cached_champion import champion, kept, model_that_scored
from hbaf.registry.models import NoModelError, RegisteredModel

RUNS = ("a" * 32, "b" * 32)


@pytest.fixture
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[RegisteredModel]:
    """Two registries, one after the other, whose first version has the same name; one home."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HBAF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    for run in RUNS:
        (tmp_path / run).mkdir()
        (tmp_path / run / "package.json").write_text(run)
    return [kept(RegisteredModel("hbaf-copies", "1", tmp_path / run, run)) for run in RUNS]


def test_another_registry_with_the_same_name_and_number_has_its_own_copy(copies: list[RegisteredModel]) -> None:
    assert [(model.folder / "package.json").read_text() for model in copies] == list(RUNS)
    assert len({model.folder for model in copies}) == 2


def test_a_kept_copy_is_found_again(copies: list[RegisteredModel], tmp_path: Path) -> None:
    (tmp_path / RUNS[0] / "package.json").unlink()  # what the registry gave is gone
    again = kept(RegisteredModel("hbaf-copies", "1", tmp_path / RUNS[0], RUNS[0]))
    assert again == copies[0]


def test_a_model_is_known_by_its_run_and_not_by_its_number(copies: list[RegisteredModel]) -> None:
    assert [model_that_scored("hbaf-copies/1", run) for run in RUNS] == copies


def test_a_copy_that_was_changed_is_copied_anew_and_said(
    copies: list[RegisteredModel], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (copies[0].folder / "package.json").write_text("another model")
    again = kept(RegisteredModel("hbaf-copies", "1", tmp_path / RUNS[0], RUNS[0]))
    assert (again.folder / "package.json").read_text() == RUNS[0]
    assert "copied anew" in caplog.text


@pytest.mark.parametrize("change", ["another file", "a changed file", "a lost file"])
def test_a_changed_champion_is_not_scored_with_while_mlflow_is_away(
    copies: list[RegisteredModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr("hbaf.registry.cached_champion.unreachable", lambda: "it is away")
    noted = tmp_path / "home" / "champions" / "only.json"
    noted.write_text(json.dumps({"name": "hbaf-copies", "version": "1", "run_id": RUNS[0]}))
    assert champion().champion_from == "cache"
    file = copies[0].folder / "package.json"
    if change == "another file":
        (copies[0].folder / "more.json").write_text("{}")
    elif change == "a changed file":
        file.write_text(RUNS[1])
    else:
        file.unlink()
    with pytest.raises(NoModelError, match="is not the model that was kept here"):
        champion()


def test_a_copy_from_before_digests_were_kept_is_used_while_mlflow_is_away(
    copies: list[RegisteredModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hbaf.registry.cached_champion.unreachable", lambda: "it is away")
    copies[0].folder.with_name(f"{RUNS[0]}.sha256").unlink()
    noted = tmp_path / "home" / "champions" / "only.json"
    noted.write_text(json.dumps({"name": "hbaf-copies", "version": "1", "run_id": RUNS[0]}))
    assert champion().model == copies[0]


def test_copies_of_an_older_home_are_found(copies: list[RegisteredModel], tmp_path: Path) -> None:
    old = tmp_path / "home" / "champions" / "versions" / "hbaf-copies-v7" / ("c" * 32)
    old.mkdir(parents=True)
    (old / "package.json").write_text("c")
    assert model_that_scored("hbaf-copies/7", "c" * 32).folder == old


def test_a_run_that_nobody_knows_is_not_guessed(copies: list[RegisteredModel]) -> None:
    with pytest.raises(NoModelError, match=f"hbaf-copies/1, run {'d' * 32}: not in .*, nor kept in the home"):
        model_that_scored("hbaf-copies/1", "d" * 32)
