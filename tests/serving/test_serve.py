"""`hbaf serve` itself: a process with a token, an address and an orderly end."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from hbaf.cli import main
from tests.inbox.conftest import NOWHERE, Cached
from tests.serving.conftest import RUN, TOKEN, Client, Reply


@pytest.fixture
def home_with_champion(home: Path, trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOWHERE)
    Cached(trained / "package", trained / "home" / "features").put_into(home, run_id=RUN)
    return home


@contextmanager
def started(*changes: str, token: str | None = TOKEN) -> Iterator[tuple["subprocess.Popen[str]", Client, str]]:
    """The process, a client with its token, and what it printed at its start."""
    environment = {name: value for name, value in os.environ.items() if name != "HBAF_SERVE_TOKEN"}
    environment |= {} if token is None else {"HBAF_SERVE_TOKEN": token}
    command = [sys.executable, "-m", "hbaf.cli", "serve", "--purpose", "research", "--set", "serve.port=0"]
    process = subprocess.Popen(
        [*command, *(part for change in changes for part in ("--set", change))],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    printed = ""
    try:
        while "token:" not in printed:
            line = process.stdout.readline()
            assert line, process.stderr and process.stderr.read()
            printed += line
        address = re.search(r"http://[\d.]+:\d+", printed)
        assert address
        yield process, Client(address[0], token or printed.rpartition("token: ")[2].strip()), printed
    finally:
        process.kill()
        process.communicate()


def test_a_token_is_made_printed_once_and_asked_for(home_with_champion: Path) -> None:
    with started(token=None) as (process, client, printed):
        assert "hbaf-calls/1 answers at http://127.0.0.1:" in printed
        assert len(client.token or "") >= 32
        assert client.post("/score", [{"text": "We won"}]).json["model"]["champion_from"] == "cache"
        assert replace(client, token=TOKEN).post("/score", [{"text": "We won"}]).status == 401
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=60)
        assert (client.token or "x") not in output + errors


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_what_was_taken_in_is_answered_before_the_end(home_with_champion: Path, sign: signal.Signals) -> None:
    with started() as (process, client, _):
        replies: list[Reply] = []
        refused: list[OSError] = []
        sent = threading.Barrier(13)

        def ask(number: int) -> None:
            sent.wait()
            try:
                replies.append(client.post("/score", [{"text": f"We won {number} {turn}"} for turn in range(20)]))
            except OSError as error:  # not taken in
                refused.append(error)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        sent.wait()
        taken = 0
        while taken < 4:  # some are under way: the server counts what it answered
            taken = len(replies) + sum(thread.is_alive() for thread in threads)
        first = client.post("/score", [{"text": "We won"}])
        process.send_signal(sign)
        for thread in threads:
            thread.join(120)
        process.wait(60)
        assert first.status == 200
        assert len(replies) + len(refused) == 12
        assert len(replies) >= 1
        assert all(reply.status == 200 and len(reply.json["rows"]) == 20 for reply in replies)
        assert process.returncode in (-sign, 128 + sign)
        with pytest.raises(OSError, match="refused"):
            client.post("/score", [{"text": "We won"}])


def test_a_short_token_and_a_taken_port_are_messages(
    home_with_champion: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HBAF_SERVE_TOKEN", "short")
    assert "shorter than 16 characters" in message(capsys)
    monkeypatch.setenv("HBAF_SERVE_TOKEN", TOKEN)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"127.0.0.1:{port} cannot be listened at" in message(capsys, f"serve.port={port}")
    assert "serve.turns" in message(capsys, "serve.turns=0")
    assert "serve.port" in message(capsys, "serve.prot=1")


def message(capsys: pytest.CaptureFixture[str], *changes: str) -> str:
    """What `hbaf serve` ends with; it must not begin to answer."""
    with pytest.raises(SystemExit) as end:
        main(["serve", "--purpose", "research", *(part for change in changes for part in ("--set", change))])
    assert end.value.code == 2
    return capsys.readouterr().err


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    assert "hbaf serve --purpose research" in capsys.readouterr().out
