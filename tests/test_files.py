"""Files whole or absent, lists of lines that were torn, folders that two processes publish at once."""

import json
import os
import stat
import threading
from pathlib import Path

import pytest

from hbaf import files


def test_a_file_is_replaced_whole_and_its_name_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    synced: list[Path] = []
    monkeypatch.setattr(files, "sync", synced.append)
    files.write_atomically(tmp_path / "x.json", b"1")
    assert (tmp_path / "x.json").read_bytes() == b"1"
    assert synced[-1] == tmp_path
    assert len(synced) == 2
    assert sorted(tmp_path.iterdir()) == [tmp_path / "x.json"]


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_what_fails_leaves_what_was_there(tmp_path: Path, kind: type[BaseException]):
    place = tmp_path / "x"
    place.write_text("old")

    def fails() -> None:
        with files.published(place) as beside:
            beside.write_text("half")
            raise kind

    with pytest.raises(kind):
        fails()
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert place.read_text() == "old"


def test_a_clean_up_that_fails_does_not_hide_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def forbidden(*arguments: object, **named: object) -> None:
        raise PermissionError("no")

    def stopped() -> None:
        with files.published(tmp_path / "x") as beside:
            beside.touch()
            monkeypatch.setattr(Path, "unlink", forbidden)
            raise SystemExit(143)

    with pytest.raises(SystemExit):
        stopped()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_what_is_private_is_so_whatever_the_umask(tmp_path: Path, umask: int):
    before = os.umask(umask if umask != 0o777 else 0o077)
    try:
        files.write_atomically(tmp_path / "key", b"secret", private=True)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_lines_are_appended_and_read(tmp_path: Path):
    ledger = tmp_path / "looks.jsonl"
    assert files.read_lines(ledger) == []
    files.append_line(ledger, {"a": 1})
    files.append_line(ledger, {"a": 2})
    assert files.read_lines(ledger) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("torn", [b'{"a": 2, "b', b'{"a": 2', b"{", b"\x00\x00\x00", b"\xff\xfe"])
def test_a_torn_last_line_is_left_out_and_taken_away_by_the_next(
    tmp_path: Path, torn: bytes, caplog: pytest.LogCaptureFixture
):
    ledger = tmp_path / "looks.jsonl"
    ledger.write_bytes(b'{"a": 1}\n' + torn)
    assert files.read_lines(ledger) == [{"a": 1}]
    assert "torn" in caplog.text
    files.append_line(ledger, {"a": 3})
    assert ledger.read_bytes() == b'{"a": 1}\n{"a": 3}\n'


def test_a_whole_line_without_its_end_stays(tmp_path: Path):
    ledger = tmp_path / "looks.jsonl"
    ledger.write_text('{"a": 1}')
    files.append_line(ledger, {"a": 2})
    assert files.read_lines(ledger) == [{"a": 1}, {"a": 2}]


def test_a_line_torn_by_an_older_version_in_the_middle_is_left_out(tmp_path: Path):
    ledger = tmp_path / "looks.jsonl"
    ledger.write_text('{"a": 1}\n{"a": {"a": 2}\n{"a": 3}\n')
    assert files.read_lines(ledger) == [{"a": 1}, {"a": 3}]


def test_many_append_at_once(tmp_path: Path):
    ledger = tmp_path / "looks.jsonl"

    def add(who: int) -> None:
        for number in range(20):
            files.append_line(ledger, {"who": who, "number": number, "text": "x" * 5000})

    threads = [threading.Thread(target=add, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [json.loads(line) for line in ledger.read_text().splitlines()]
    assert len({(line["who"], line["number"]) for line in found}) == 80


def test_of_two_that_publish_a_folder_one_stays_whole(tmp_path: Path):
    place = tmp_path / "encoder"
    with files.published_folder(place) as slow:
        (slow / "weights").write_text("slow")
        with files.published_folder(place) as quick:
            (quick / "weights").write_text("quick")
            (quick / "more").mkdir()
    assert (place / "weights").read_text() == "quick"
    assert [path.name for path in tmp_path.iterdir()] == ["encoder"]


def test_a_folder_that_is_interrupted_is_not_there(tmp_path: Path):
    def stopped() -> None:
        with files.published_folder(tmp_path / "encoder") as beside:
            (beside / "weights").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert list(tmp_path.iterdir()) == []
