"""Which ids may be shown, and that the others cannot be guessed back."""

import hashlib
import threading
from pathlib import Path

import pytest

from hbaf.home import HomeError, home_folder
from hbaf.pseudonyms import is_plain, pseudonym, shown_id, shown_name


@pytest.mark.parametrize(
    "name", ["d012", "train-110", "Ses05F_impro03", "2026-03-14-1007", "20260314_1007", "17", "dia3_utt5", "call"]
)
def test_ids_of_numbers_and_the_fields_words_stay(name: str) -> None:
    assert shown_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["anna_smith", "anna1", "call-anna-3", "0170-1234567", "+49 170 12", "Müller", "a_n_n_a", "smith.wav"],
)
def test_everything_else_becomes_a_digest(name: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = shown_id(f"calls/{name}/3")
    assert shown == f"calls/{pseudonym(name)}/3"
    assert name not in shown
    assert not is_plain(name)
    assert hashlib.sha256(name.encode()).hexdigest()[:10] not in shown, "a plain digest would be found by trying names"
    assert (home / "pseudonyms.key").stat().st_mode & 0o077 == 0
    monkeypatch.setenv("HBAF_SHOW_NAMES", "1")
    assert shown_id(f"calls/{name}/3") == f"calls/{name}/3"


def test_another_home_has_other_pseudonyms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = pseudonym("anna")
    assert pseudonym("anna") == here
    monkeypatch.setenv("HBAF_HOME", str(tmp_path / "other"))
    assert pseudonym("anna") != here


@pytest.mark.parametrize("content", [b"", b"short"])
def test_a_key_that_hides_nobody_is_refused(content: bytes) -> None:
    (home_folder() / "pseudonyms.key").write_bytes(content)
    with pytest.raises(HomeError, match=r"pseudonyms\.key: holds \d bytes in place of 32"):
        pseudonym("anna")


def test_many_that_make_the_key_at_once_have_one() -> None:
    from hbaf import pseudonyms

    found: list[bytes] = []

    def make() -> None:
        found.append(pseudonyms._secret.__wrapped__(home_folder()))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
