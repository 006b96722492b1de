"""Long work says how far it is, to a listener and at a terminal."""

import pytest

from hbaf.progress import heard_by, under_way


def work(shown: bool = False) -> None:
    with under_way("counting", 4, shown=shown, done=1) as advance:
        advance()
        advance(2, "a message")


def test_a_listener_hears_of_work_that_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    heard: list[tuple[str, float]] = []
    with heard_by(lambda *what: heard.append(what)):
        work()
    work()
    assert heard == [("counting", 50.0), ("counting", 100.0)]
    assert capsys.readouterr() == ("", "")


def test_a_bar_names_the_work_and_leaves_stdout_to_results(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as at a terminal
    work(shown=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "counting" in err
    assert "4/4" in err
    assert "a message" in err


def test_nothing_to_do_is_no_work() -> None:
    heard: list[tuple[str, float]] = []
    with (
        heard_by(lambda *what: heard.append(what)),
        under_way("nothing", 0, shown=True) as advance,
    ):
        advance(0)
    assert heard == []
