"""`hbaf serve` itself: a process with a token, an address and an orderly end."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hbaf.cli import main
from tests.inbox.conftest import NOWHERE, Cached
from tests.serving.conftest import RUN, TOKEN, Client, half_sent


@pytest.fixture
def home_with_champion(home: Path, trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOWHERE)
    Cached(trained / "package", trained / "home" / "features").put_into(home, run_id=RUN)
    return home


@contextlib.contextmanager
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


@pytest.mark.long
def test_a_token_is_made_printed_once_and_asked_for(home_with_champion: Path) -> None:
    with started(token=None) as (process, client, printed):
        assert "hbaf-calls/1 answers at http://127.0.0.1:" in printed
        assert len(client.token or "") >= 32
        assert client.post("/score", [{"text": "We won"}]).json["model"]["champion_from"] == "cache"
        assert replace(client, token=TOKEN).post("/score", [{"text": "We won"}]).status == 401
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=60)
        assert (client.token or "x") not in output + errors


@pytest.mark.long
@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_what_was_taken_in_is_answered_before_the_end(home_with_champion: Path, sign: signal.Signals) -> None:
    bodies = [json.dumps({"turns": [{"text": f"We won {number} {turn}"} for turn in range(20)]}) for number in range(8)]
    with started() as (process, client, _):
        name = client.ask("POST", "/conversations").json["conversation"]
        paths = ["/score"] * 7 + [f"/conversations/{name}/turns"]
        asked = [half_sent(client, path, body, 20) for path, body in zip(paths, bodies, strict=True)]
        while "hbaf_requests_under_way 9.0" not in client.ask("GET", "/metrics").body.decode():
            time.sleep(0.05)
        process.send_signal(sign)
        refused = False
        while not refused:
            with contextlib.suppress(ConnectionResetError, http.client.RemoteDisconnected):
                refused = is_refused(client)
        for connection, body in zip(asked, bodies, strict=True):
            connection.send(body[20:].encode())
        for number, connection in enumerate(asked):
            answer = connection.getresponse()
            rows = json.loads(answer.read())["rows"]
            assert answer.status == 200
            assert [row["text"] for row in rows] == [f"We won {number} {turn}" for turn in range(20)]
        assert process.wait(60) in (0, -sign, 128 + sign)  # 0: whoever started it has it ignore the signal


def is_refused(client: Client) -> bool:
    try:
        client.ask("GET", "/health")
    except urllib.error.URLError as error:
        return isinstance(error.reason, ConnectionRefusedError)
    return False


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
