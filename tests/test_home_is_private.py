"""The home and what is secret in it are for its owner's eyes, whatever the umask."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from hbaf.home import home_folder
from hbaf.pseudonyms import pseudonym


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_home_that_is_made_is_private(umask: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HBAF_HOME", str(tmp_path / "above" / "home"))
    assert mode(home_folder()) == 0o700
    pseudonym("anna")
    assert mode(tmp_path / "above" / "home" / "pseudonyms.key") == 0o600


def test_a_home_that_somebody_shares_stays_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home").chmod(0o770)
    monkeypatch.setenv("HBAF_HOME", str(tmp_path / "home"))
    assert mode(home_folder()) == 0o770
