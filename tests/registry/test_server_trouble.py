"""An MLflow server that refuses, or is not there, is one message that says what to do."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from hbaf.cli import expected
from hbaf.home import parted
from hbaf.registry.cached_champion import unreachable
from hbaf.registry.tracking import MlflowClient, mlflow


@pytest.fixture
def guarded() -> Iterator[int]:
    """A port at which a server lets nobody in."""

    class Guard(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_GET  # noqa: N815  # the names that http.server calls

        def log_message(self, *said: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Guard)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def asked(monkeypatch: pytest.MonkeyPatch, port: int) -> str | None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://somebody:a-secret@127.0.0.1:{port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(mlflow.exceptions.MlflowException) as caught:
        MlflowClient().search_experiments()
    return expected(caught.value)


def test_a_server_that_wants_a_password_says_which_variables(guarded: int, monkeypatch: pytest.MonkeyPatch) -> None:
    said = asked(monkeypatch, guarded)
    assert said is not None
    assert f"http://127.0.0.1:{guarded} does not let this user in. Set MLFLOW_TRACKING_USERNAME" in said
    assert "a-secret" not in said


def test_a_server_that_is_gone_is_named(guarded: int, monkeypatch: pytest.MonkeyPatch) -> None:
    said = asked(monkeypatch, 9)  # the port of `discard`, which nobody serves
    assert said is not None
    assert "http://127.0.0.1:9 does not answer" in said


def test_other_errors_of_mlflow_stay_what_they_are() -> None:
    assert expected(mlflow.exceptions.MlflowException("a column is missing")) is None


def test_a_server_is_found_behind_an_address_with_a_password(guarded: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://some%40body:a-secret@127.0.0.1:{guarded}")
    assert unreachable() is None, "it asks for a password, so it is there"
    assert parted("http://some%40body:a%2Fsecret@127.0.0.1:80/x") == ("http://127.0.0.1:80/x", "some@body:a/secret")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://somebody:a-secret@127.0.0.1:9")
    trouble = unreachable()
    assert trouble
    assert "a-secret" not in trouble
