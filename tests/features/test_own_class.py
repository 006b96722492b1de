"""Whose code is run: what this user named, with the content that a model was trained with."""

import stat
from pathlib import Path

import pytest

from hbaf.features import own_class
from hbaf.features.own_class import NotNamedError, OwnClassError, check_named, own_digests

CODE = """
from pathlib import Path

Path(__file__).with_name("was run").touch()


class E:
    pass
"""


@pytest.fixture
def name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("HBAF_HOME", str(tmp_path / "home"))
    monkeypatch.delenv(own_class.NAMED, raising=False)
    (tmp_path / "mine.py").write_text(CODE + f"# {tmp_path}")
    return f"{tmp_path}/mine.py:E"


def test_what_a_package_names_is_not_run(name: str, tmp_path: Path):
    with pytest.raises(NotNamedError, match="nobody named it here"):
        check_named([name], own_digests([name]), "the model")
    assert not (tmp_path / "was run").exists()


def test_what_this_user_ran_before_is_run_with_that_content_alone(name: str, tmp_path: Path):
    own_class.own_class(name)
    trained = own_digests([name])
    check_named([name], trained, "the model")
    (tmp_path / "mine.py").write_text(CODE.replace("pass", "changed = True"))
    with pytest.raises(NotNamedError, match="is not the file that the model was made with"):
        check_named([name], trained, "the model")
    with pytest.raises(NotNamedError, match="nobody named it"):
        check_named([name], None, "the plan")  # no digest of its own: what is there now was never named


def test_a_setting_names_it(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(own_class.NAMED, f"./other.py:X, {name}")
    check_named([name], own_digests([name]), "the model")
    check_named([name], {}, "a model from before digests were kept")
    with pytest.raises(NotNamedError, match="is not the file"):
        check_named([name], {name: "0" * 64}, "the model")


def test_a_model_from_before_digests_were_kept_is_named_in_a_setting_alone(name: str):
    own_class.own_class(name)
    with pytest.raises(NotNamedError, match=own_class.NAMED):
        check_named([name], {}, "the model")


def test_other_names_are_nobodys_code(name: str):
    check_named(["mfcc", "encoder:roberta-base", "imported:x"], {}, "the model")
    with pytest.raises(OwnClassError, match="no such file"):
        check_named(["./nowhere.py:E"], {}, "the model")


def test_the_note_is_private(name: str, tmp_path: Path):
    own_class.own_class(name)
    file = tmp_path / "home" / own_class.NOTED
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
