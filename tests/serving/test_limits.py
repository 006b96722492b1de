"""Who may ask, how much, and what is answered where that is broken."""

import contextlib
import http.client
import json
import select
import shutil
import socket
import threading
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from hbaf.parameters import ServeParameters
from hbaf.registry.cached_champion import Champion
from hbaf.registry.models import RegisteredModel
from hbaf.serving.conversation import Part, Received, RequestError, Turn
from hbaf.serving.guard import ServeError, listening
from hbaf.serving.scorer import Scorer
from tests.serving.conftest import Client, half_sent, served

HELLO = [{"speaker": "A", "text": "We won"}]


@pytest.mark.parametrize("token", [None, "", "0123456789abcdef-test", "0123456789abcdef-testsX", "ä", "x" * 10_000])
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/score"), ("POST", "/conversations"), ("GET", "/metrics"), ("GET", "/model")]
)
def test_without_the_token_nothing_is_answered(client: Client, token: str | None, method: str, path: str) -> None:
    token = token if token is None else token.encode().decode("latin-1")
    reply = replace(client, token=token).ask(method, path, b"{}" if method == "POST" else None)
    assert reply.status == 401
    assert "HBAF_SERVE_TOKEN" in reply.json["error"]


def test_no_packet_of_an_answer_waits_for_an_acknowledgement() -> None:
    place, _ = listening(ServeParameters(port=0))
    with place, socket.create_connection(place.getsockname()):
        connection, _ = place.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_health_needs_none(client: Client) -> None:
    reply = replace(client, token=None).ask("GET", "/health")
    assert (reply.status, reply.json) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body"),
        (b"{", "the body"),
        (b"[]", "the body"),
        (b"{}", "turns: Field required"),
        (b'{"turns": []}', "turns"),
        (b'{"turns": [{"text": 1}]}', "turns.0.text"),
        (b'{"turns": [{"words": "x"}]}', "turns.0.words"),
        (b'{"turns": [{"text": "x", "start": NaN}]}', "turns.0.start"),
        (b'{"turns": [{"text": "x", "start": Infinity}]}', "turns.0.start"),
        (b'{"turns": [{"text": "x", "start": 2, "end": 1}]}', "end must be after start"),
        (b'{"turns": [{"text": "x", "channel": -1}]}', "turns.0.channel"),
        (b'{"turns": [{"text": "\\ud800"}]}', "the body"),
        (b"\xff\xfe", "the body"),
        (b'{"turns":' + b"[" * 100_000, "the body"),
    ],
)
def test_what_is_no_conversation_is_refused_with_the_rule(client: Client, body: bytes, message: str) -> None:
    reply = client.ask("POST", "/score", body)
    assert reply.status == 422
    assert message in reply.json["error"]


@pytest.mark.parametrize(
    ("kind", "status"),
    [("text/plain", 415), ("", 415), ("multipart/form-data", 422), ("multipart/form-data; boundary=x", 422)],
)
def test_other_content_is_refused(client: Client, kind: str, status: int) -> None:
    reply = client.ask("POST", "/score", b'{"turns": [{"text": "x"}]}', kind)
    assert reply.status == status
    assert "send" in reply.json["error"].lower()


def test_odd_words_are_scored_or_a_problem(client: Client) -> None:
    texts = ["\x00\x01", "\u200b", "=1+1", "nan", "None", "💥" * 50, "\u202eabc", "<script>", "a\nb\r\n"]
    rows = client.post("/score", [{"speaker": "nan", "text": text} for text in texts]).json["rows"]
    assert [row["text_problem"] for row in rows[:2]] == ["no text", "no text"]
    assert {row["status"] for row in rows[2:]} == {"scored"}


def test_turns_characters_and_bytes_have_limits(champion: Champion) -> None:
    with served(champion, turns=3, turn_characters=20, request_bytes=2_000) as client:
        assert client.post("/score", HELLO * 3).status == 200
        reply = client.post("/score", HELLO * 4)
        assert (reply.status, "serve.turns" in reply.json["error"]) == (422, True)
        reply = client.post("/score", [{"text": "x" * 21}])
        assert (reply.status, "serve.turn_characters" in reply.json["error"]) == (422, True)
        reply = client.post("/score", HELLO, {"a.wav": b"x" * 3_000})
        assert (reply.status, "serve.request_bytes" in reply.json["error"]) == (413, True)
        reply = client.post("/score", HELLO, {f"{n}": b"x" for n in range(4)})
        assert (reply.status, "4 parts" in reply.json["error"]) == (422, True)
        assert unannounced(client, 40) == 413
        assert client.post("/score", HELLO).status == 200


def unannounced(client: Client, pieces: int) -> int:
    """The status of a body whose length no header says."""
    connection = http.client.HTTPConnection(urlsplit(client.address).netloc, timeout=60)
    headers = {"Authorization": f"Bearer {client.token}", "Content-Type": "application/json"}
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it has answered already
        connection.request("POST", "/score", iter([b" " * 1000] * pieces), headers, encode_chunked=True)
    status = connection.getresponse().status
    connection.close()
    return status


def test_a_request_that_does_not_arrive_is_not_waited_for(champion: Champion) -> None:
    with served(champion, request_seconds=0.3) as client:
        connection = http.client.HTTPConnection(urlsplit(client.address).netloc, timeout=60)
        connection.putrequest("POST", "/score")
        for name, value in (("Authorization", f"Bearer {client.token}"), ("Content-Type", "application/json")):
            connection.putheader(name, value)
        connection.putheader("Content-Length", "100")
        connection.endheaders(b'{"turns"')
        answer = connection.getresponse()
        assert answer.status == 408
        assert "serve.request_seconds" in json.loads(answer.read())["error"]
        connection.close()


def test_requests_together_have_a_limit_of_bytes(champion: Champion) -> None:
    with served(champion, request_bytes=2_000, together_bytes=3_000, request_seconds=60) as client:
        body = json.dumps({"turns": [{"text": "We won"}], "x": "y" * 1_800})
        waiting = [half_sent(client, "/score", body, 1_700), half_sent(client, "/score", body, 1_700)]
        ready, _, _ = select.select([one.sock for one in waiting], [], [], 60)
        first = next(one for one in waiting if one.sock in ready)
        answer = first.getresponse()
        assert answer.status == 503
        assert "serve.together_bytes" in json.loads(answer.read())["error"]
        other = next(one for one in waiting if one is not first)
        other.send(body[1_700:].encode())
        assert other.getresponse().status == 422  # for its own fault: `x`
        for one in waiting:
            one.close()
        assert client.post("/score", [{"text": "We won", "speaker": "A" * 150}] * 4).status == 200


def test_too_many_waiting_are_refused_and_come_back(champion: Champion) -> None:
    scorer = Scorer(champion, "research", ServeParameters(waiting=2))
    parts = [Part(f"c{number}", Received((Turn(text="We won"),))) for number in range(3)]
    answers = [scorer.submit(part) for part in parts[:2]]  # it does not score yet
    with pytest.raises(RequestError, match=r"serve\.waiting") as refused:
        scorer.submit(parts[2])
    assert refused.value.status == 503
    scorer.start()
    assert [len(answer.result(120).rows) for answer in answers] == [1, 1]
    scorer.close()
    assert not scorer.alive


def test_metrics_count_requests_turns_and_problems(champion: Champion) -> None:
    with served(champion) as client:
        client.post("/score", [*HELLO, {"text": "", "audio": "absent.wav"}])
        client.post("/score", [])
        client.ask("GET", "/no/such/place")
        reply = client.ask("GET", "/metrics")
        assert reply.status == 200
        lines = reply.body.decode().splitlines()
    for line in (
        'hbaf_requests_total{path="/score",status="200"} 1.0',
        'hbaf_requests_total{path="/score",status="422"} 1.0',
        'hbaf_requests_total{path="other",status="404"} 1.0',
        'hbaf_turns_total{status="scored"} 1.0',
        'hbaf_turns_total{status="unscored"} 1.0',
        'hbaf_turn_problems_total{modality="audio"} 2.0',
        'hbaf_turn_problems_total{modality="text"} 1.0',
        'hbaf_request_seconds_count{path="/score"} 2.0',
    ):
        assert line in lines, line


def test_many_at_once_are_each_answered_with_their_own(client: Client) -> None:
    texts = [f"What a wonderful day number {number}" for number in range(24)]
    alone = client.post("/score", [{"text": texts[7]}]).json["rows"][0]["probabilities"]
    found: dict[int, list[dict[str, object]]] = {}

    def ask(number: int) -> None:
        found[number] = client.post("/score", [{"text": texts[number]}] * (1 + number % 3)).json["rows"]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, rows in found.items():
        assert [row["text"] for row in rows] == [texts[number]] * (1 + number % 3)
    assert len(found) == 24
    assert found[7][0]["probabilities"] == pytest.approx(alone, abs=1e-5)  # the model is causal


def test_a_model_of_imported_features_is_not_served(trained: Path, tmp_path: Path, champion: Champion) -> None:
    place = shutil.copytree(trained / "package", tmp_path / "package")
    facts = json.loads((place / "package.json").read_text())
    facts["features"]["text"] = "imported:meld"
    (place / "package.json").write_text(json.dumps(facts))
    with pytest.raises(ServeError, match="imported features"):
        Scorer(
            Champion(RegisteredModel("hbaf-calls", "3", place, champion.model.run_id)), "research", ServeParameters()
        )
