"""A home that was moved or copied: runs, their files and models are found at the new place, and none at the old one."""

import shutil
from pathlib import Path

import pytest

from hbaf.registry import tracking
from hbaf.registry.embedded import database
from hbaf.registry.embedded.moved_home import follow


def use(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HBAF_HOME", str(home))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home}/mlflow/mlflow.db")
    database._follow_home.cache_clear()


@pytest.mark.parametrize("copied", [False, True])
def test_runs_go_on_from_the_new_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copied: bool) -> None:
    old, new = tmp_path / "old home", tmp_path / "new"
    use(old, monkeypatch)
    note = tmp_path / "note.txt"
    note.write_text("kept")
    with tracking.run("first", tags={"hbaf.key": "k"}) as log:
        log.log_file(note)
    before = tracking.home_digest()
    shutil.copytree(old, new)
    if not copied:
        shutil.rmtree(old)
    use(new, monkeypatch)
    found = tracking.MlflowClient().get_run(log.run_id)
    assert found.info.artifact_uri.startswith(new.as_uri())
    assert (new / "mlflow" / "artifacts" / "hbaf" / log.run_id / "artifacts" / "note.txt").read_text() == "kept"
    assert found.data.tags[tracking.HOME_TAG] == tracking.home_digest() != before
    with tracking.run("second", tags={"hbaf.key": "k"}) as log:
        log.log_file(note)
    assert log.client.get_run(log.run_id).info.artifact_uri.startswith(new.as_uri())
    if not copied:
        assert not old.exists()


def test_another_name_of_the_same_folder_is_no_move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, link = tmp_path / "home", tmp_path / "link"
    use(home, monkeypatch)
    with tracking.run("first", tags={}) as log:
        pass
    link.symlink_to(home)
    assert follow(link / "mlflow" / "mlflow.db", link, tracking.HOME_TAG) is None
    assert follow(home / "mlflow" / "mlflow.db", home, tracking.HOME_TAG) is None
    assert log.client.get_run(log.run_id).info.artifact_uri.startswith(home.as_uri())
