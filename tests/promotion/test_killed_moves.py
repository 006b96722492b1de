"""Kills between the steps of a move of aliases: whoever comes next finishes it, once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hbaf.promotion.aliases import CHALLENGER, JOURNAL, PREVIOUS, make_champion, rollback, turn, version_with
from hbaf.registry.models import CHAMPION
from hbaf.registry.tracking import MlflowClient
from tests.registry.conftest import use

NAME = "hbaf-moved"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("moves")


@pytest.fixture(autouse=True)
def home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A database of its own, made once."""
    use(folder, monkeypatch)
    yield folder / "home"
    MlflowClient().delete_registered_model(NAME)


def register(versions: int) -> None:
    MlflowClient().create_registered_model(NAME)
    for number in range(versions):
        MlflowClient().create_model_version(NAME, source=f"/nowhere/{number}")


def held() -> dict[str, str | None]:
    return {alias: version_with(NAME, alias) for alias in (CHAMPION, CHALLENGER, PREVIOUS)}


class Killed(BaseException):
    """In place of a kill: nothing of the process runs after it."""


def kill_at_call(number: int, patch: pytest.MonkeyPatch) -> None:
    """The process ends at its n-th change of the registry."""
    done = 0
    for name in (
        "set_registered_model_tag", "set_registered_model_alias", "delete_registered_model_alias",
        "set_model_version_tag", "delete_registered_model_tag",
    ):  # fmt: skip
        method = getattr(MlflowClient, name)

        def counted(self: MlflowClient, *arguments: object, method: Any = method, **named: object) -> object:
            nonlocal done
            done += 1
            if done == number:
                raise Killed
            return method(self, *arguments, **named)

        patch.setattr(MlflowClient, name, counted)


@pytest.mark.parametrize("number", range(1, 9))
def test_a_move_that_was_killed_is_finished_by_whoever_comes_next(
    home: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(3)
    with turn(NAME) as mine:
        make_champion(NAME, "1", None, mine, "first")
        make_champion(NAME, "2", "1", mine, "second")
    lines = (home / "promotions.jsonl").read_text().count("\n")
    killed = True
    with monkeypatch.context() as patch, turn(NAME) as mine:
        kill_at_call(number, patch)
        try:
            make_champion(NAME, "3", "2", mine, "third")
            killed = False
        except Killed:
            pass
    with turn(NAME):
        pass
    if number == 1:  # before anything was noted: as if it had not begun
        assert held() == {CHAMPION: "2", CHALLENGER: None, PREVIOUS: "1"}
        return
    assert killed == (number < 7)
    assert held() == {CHAMPION: "3", CHALLENGER: None, PREVIOUS: "2"}
    assert (home / "promotions.jsonl").read_text().count("\n") == lines + 1
    assert JOURNAL not in MlflowClient().get_registered_model(NAME).tags


@pytest.mark.parametrize("number", [2, 3, 4])
def test_a_way_back_that_was_killed_too(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    register(2)
    with turn(NAME) as mine:
        make_champion(NAME, "1", None, mine, "first")
        make_champion(NAME, "2", "1", mine, "second")
    with monkeypatch.context() as patch:
        kill_at_call(number, patch)
        with pytest.raises(Killed):
            rollback(NAME)
    assert rollback(NAME).after == "2"  # back to the state before the first one
    assert held() == {CHAMPION: "2", CHALLENGER: None, PREVIOUS: "1"}


def test_a_move_to_a_version_that_is_gone_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    register(2)
    with turn(NAME) as mine:
        make_champion(NAME, "1", None, mine, "first")
        with monkeypatch.context() as patch:
            kill_at_call(2, patch)
            with pytest.raises(Killed):
                make_champion(NAME, "2", "1", mine, "second")
    MlflowClient().delete_model_version(NAME, "2")
    with turn(NAME):
        pass
    assert held() == {CHAMPION: "1", CHALLENGER: None, PREVIOUS: None}
