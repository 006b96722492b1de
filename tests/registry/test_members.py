"""Several seeds in one run and one package: each is the run of its seed alone, and an interrupted one goes on."""

import multiprocessing
from pathlib import Path
from typing import Any

import pytest
import torch

from hbaf.corpus.schema import load_corpus
from hbaf.model.ensemble import Ensemble
from hbaf.model.label_chain import Chained
from hbaf.parameters import TrainingParameters
from hbaf.registry.runs import train_and_log, train_package
from hbaf.registry.tracking import MlflowClient
from hbaf.training import duration, members
from hbaf.training.package import ModelPackage
from hbaf.training.run_log import SilentRunLog
from tests.registry.conftest import Prepared


def trained(prepared: Prepared, folder: Path, **changes: object) -> ModelPackage:
    return train_package(
        load_corpus(prepared.reference), prepared.columns, prepared.features, prepared.model,
        prepared.training.model_copy(update={"max_epochs": 3, **changes}), folder=folder, log=SilentRunLog(), origin={},
    )  # fmt: skip


def test_members_are_runs_of_their_seed(prepared: Prepared, tmp_path: Path) -> None:
    whole = trained(prepared, tmp_path / "whole", members=2, label_chain="both")
    assert isinstance(whole.system, Chained)
    assert isinstance(whole.system.system, Ensemble)
    for number, member in enumerate(whole.system.system.members):
        alone = trained(prepared, tmp_path / f"alone-{number}", seed=prepared.training.seed + number)
        for name, value in alone.system.state_dict().items():
            assert torch.equal(value, member.state_dict()[name]), (number, name)
    again = ModelPackage.load(whole.save(tmp_path / "package"))
    for name, value in whole.system.state_dict().items():
        assert torch.equal(value, again.system.state_dict()[name]), name


def test_an_interrupted_run_goes_on_with_its_member(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = trained(prepared, tmp_path / "whole", members=2)
    with monkeypatch.context() as patch:
        patch.setattr(members, "ensemble", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            trained(prepared, tmp_path / "killed", members=2)
    histories = [(tmp_path / "killed" / name).read_text() for name in ("history.json", "member-1/history.json")]
    found = trained(prepared, tmp_path / "killed", members=2)
    assert histories == [
        (tmp_path / "killed" / name).read_text() for name in ("history.json", "member-1/history.json")
    ], "it was trained once more"
    for name, value in expected.system.state_dict().items():
        assert torch.equal(value, found.system.state_dict()[name]), name


@pytest.mark.long
@pytest.mark.parametrize("killed", [False, True], ids=["undisturbed", "a process is killed"])
def test_side_by_side_gives_the_same(
    killed: bool, prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = trained(prepared, tmp_path / "in turn", members=3, threads=1)
    begun: list[bool] = []
    fit = members.fit

    def watched(*arguments: Any, folder: Path, **named: Any) -> Any:
        begun.append((folder / "last.ckpt").exists())
        history = fit(*arguments, folder=folder, **named)
        if killed and len(begun) == 1:
            for process in multiprocessing.active_children():
                process.kill()
        return history

    monkeypatch.setattr(members, "fit", watched)
    found = trained(prepared, tmp_path / "side by side", members=3, threads=1, workers=2)
    assert len(begun) == 3
    assert begun[0] is False
    assert killed or begun[-1], "another process had trained one"
    for name, value in expected.system.state_dict().items():
        assert torch.equal(value, found.system.state_dict()[name]), name


@pytest.mark.parametrize(
    ("asked", "minutes", "expected"),
    [(None, 0.5, 1), (None, 5.0, 4), (2, 0.5, 2), (9, 5.0, 5), (1, 5.0, 1)],
)
def test_how_many_are_trained_at_a_time(
    asked: int | None, minutes: float, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duration, "cores", lambda: 4)
    training = TrainingParameters(members=5, workers=asked, device="cpu")
    assert duration.side_by_side(training, minutes) == expected
    said = duration.in_words(minutes, training, expected)
    assert ("at a time" in said) == (expected > 1)


def test_each_member_and_the_gain_are_logged(prepared: Prepared) -> None:
    training = prepared.training.model_copy(update={"max_epochs": 2, "members": 2})
    run = train_and_log(prepared.reference, prepared.columns, prepared.features, prepared.model, training)
    logged = MlflowClient().get_run(run.run_id).data.metrics
    scores = [logged["member/0/weighted_f1"], logged["member/1/weighted_f1"]]
    assert logged["best/weighted_f1"] == pytest.approx(run.weighted_f1)
    assert logged["members/gain"] == pytest.approx(run.weighted_f1 - sum(scores) / 2)
    assert "member/1/dev/loss" in logged
    assert not list(run.package.parents[1].glob("**/*.ckpt")), "checkpoints are left"
