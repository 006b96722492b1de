"""Copies of models in the home: one of each version that a registry names, never another registry's of that name."""

from pathlib import Path

import pytest

from hbaf.registry.cached_champion import kept, model_that_scored
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


def test_copies_of_an_older_home_are_found(copies: list[RegisteredModel], tmp_path: Path) -> None:
    old = tmp_path / "home" / "champions" / "versions" / "hbaf-copies-v7" / ("c" * 32)
    old.mkdir(parents=True)
    (old / "package.json").write_text("c")
    assert model_that_scored("hbaf-copies/7", "c" * 32).folder == old


def test_a_run_that_nobody_knows_is_not_guessed(copies: list[RegisteredModel]) -> None:
    with pytest.raises(NoModelError, match=f"hbaf-copies/1, run {'d' * 32}: not in .*, nor kept in the home"):
        model_that_scored("hbaf-copies/1", "d" * 32)
