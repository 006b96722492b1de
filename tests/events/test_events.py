"""What moved reaches a webhook that verifies it, is tried again, and waits while nobody answers."""

import base64
import hashlib
import hmac
import json
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hbaf.events import outbox
from hbaf.events.event import Event, Kind
from hbaf.events.outbox import deliver, events, note, publish, waiting
from hbaf.events.webhook import ADDRESSES, SECRET, WebhookError, addresses, secret_file, signing_secret
from hbaf.verbs.scheduling.events import events as verb

MOVED = Event(
    Kind.PROMOTED, "hbaf-calls", "hbaf-calls: version 2 is the champion in place of version 1", {"version": "2"}
)


@dataclass
class Receiver:
    """A real server on loopback that answers with the statuses it was given, then with 200."""

    server: ThreadingHTTPServer
    statuses: list[int] = field(default_factory=list)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/hook/token"

    def verified(self, at: int, secret: str) -> dict[str, object]:
        """The body of a request whose signature is right, computed here as the specification says."""
        headers, body = self.got[at]
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{body.decode()}".encode()
        mac = hmac.new(base64.b64decode(secret.removeprefix("whsec_")), signed, hashlib.sha256).digest()
        assert headers["webhook-signature"] == f"v1,{base64.b64encode(mac).decode()}"
        assert abs(time.time() - int(headers["webhook-timestamp"])) < 60
        return dict(json.loads(body))


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch, home: Path) -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name that http.server calls
            body = self.rfile.read(int(self.headers["content-length"]))
            made.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            status = made.statuses.pop(0) if made.statuses else 200
            self.send_response(status)
            if status == 302:
                self.send_header("location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    made = Receiver(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv(ADDRESSES, made.address)
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("HBAF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    for name in (ADDRESSES, SECRET, "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


def test_an_event_is_signed_and_says_what_moved(receiver: Receiver) -> None:
    publish(MOVED)
    said = receiver.verified(0, signing_secret())
    assert said["type"] == "hbaf.model.promoted"
    assert said["data"] == {"version": "2", "subject": "hbaf-calls", "message": MOVED.message}
    assert secret_file().stat().st_mode & 0o777 == 0o600
    assert waiting() == []
    assert [event.message for event in events()] == [MOVED.message]


def test_a_busy_receiver_is_asked_again_with_the_same_id(receiver: Receiver) -> None:
    receiver.statuses = [503, 429]
    publish(MOVED)
    assert [headers["webhook-id"] for headers, _ in receiver.got] == [MOVED.id] * 3
    assert waiting() == []


@pytest.mark.parametrize("status", [404, 302])
def test_what_is_refused_waits_for_the_next_occasion(receiver: Receiver, status: int) -> None:
    receiver.statuses = [status]
    publish(MOVED)
    assert len(receiver.got) == 1, "neither tried again at once nor redirected"
    assert waiting() == [MOVED]
    later = Event(Kind.REFUSED, "hbaf-calls", "version 3 is not promoted", at=MOVED.at + 1)
    publish(later)
    assert [headers["webhook-id"] for headers, _ in receiver.got[1:]] == [MOVED.id, later.id], "oldest first"
    assert waiting() == []


def test_of_two_receivers_one_away_each_gets_it_once(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(outbox, "PATIENCE", 0.0)
    monkeypatch.setenv(ADDRESSES, f"http://user:secret@127.0.0.1:9/hook/token,{receiver.address}")
    with caplog.at_level(logging.WARNING):
        publish(MOVED)
    assert "http://127.0.0.1:9: ConnectError" in caplog.text
    assert "token" not in caplog.text + "".join(path.read_text() for path in outbox._waiting_files())
    assert len(deliver()) == 1
    assert (len(receiver.got), waiting()) == (1, [MOVED])
    monkeypatch.setattr(outbox, "LONGEST", -1.0)
    deliver()
    assert waiting() == [], "after three days nobody is waited for"


def test_a_killed_process_leaves_what_the_next_one_sends(receiver: Receiver) -> None:
    note(MOVED)
    note(MOVED)  # the one that finishes a promotion notes it again
    assert deliver() == []
    assert len(receiver.got) == len(events()) == 1


def test_prefect_is_no_target_where_none_is_named(home: Path) -> None:
    publish(MOVED)
    assert waiting() == []


@pytest.mark.parametrize("address", ["http://example.org/hook", "ftp://example.org", "example.org/hook"])
def test_events_go_by_https(home: Path, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv(ADDRESSES, address)
    with pytest.raises(WebhookError, match="is no https address"):
        addresses()
    publish(MOVED)
    assert waiting() == [MOVED], "what moved has moved; the event goes when the setting is mended"


@pytest.mark.parametrize("secret", ["whsec_c2hvcnQ=", "no base64!"])
def test_a_weak_secret_is_refused(receiver: Receiver, monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    monkeypatch.setenv(SECRET, secret)
    with pytest.raises(WebhookError, match="24 bytes or more"):
        signing_secret()
    note(MOVED)
    assert [SECRET in problem for problem in deliver()] == [True]
    assert receiver.got == []


def test_the_verb(receiver: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    assert verb() == 0
    assert "nothing has moved yet" in capsys.readouterr().out
    assert verb("test") == 0
    receiver.statuses = [500] * 50
    note(MOVED)
    assert verb() == 0
    shown = capsys.readouterr().out
    assert "hbaf.model.promoted" in shown
    assert "(waits to be sent)" in shown
    assert "1 wait to be sent" in shown
    assert receiver.address.removesuffix("/hook/token") in shown
    assert "token" not in shown
    assert verb(json_=True) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(one["kind"], one["waits"]) for one in listed] == [("hbaf.test", False), ("hbaf.model.promoted", True)]
