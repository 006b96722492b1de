"""Each turn gets its emotion as it comes; what is kept for it is forgotten."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from hbaf.registry.cached_champion import Champion
from tests.serving.conftest import Client, half_sent, served
from tests.serving.test_score import TURNS, check_equal, scored

BATCH = [{**turn, "text": turn["text"] and f"{turn['text']} {number}"} for number in range(3) for turn in TURNS]


def begin(client: Client) -> str:
    reply = client.ask("POST", "/conversations")
    assert reply.status == 201
    return str(reply.json["conversation"])


def test_each_turn_is_scored_as_in_the_whole_conversation(client: Client) -> None:
    name, rows = begin(client), []
    for number, turn in enumerate(BATCH):
        found = client.post(f"/conversations/{name}/turns", [turn]).json["rows"]
        assert [row["turn"] for row in found] == [number]
        rows += found
    check_same(rows, client.post("/score", BATCH).json["rows"])


def test_with_recordings_and_several_turns_at_once(client: Client, champion: Champion, trained: Path) -> None:
    lines = ["dialogue,turn,speaker,text,audio"]
    turns, sounds = [], {}
    corpus = trained / "streamed"
    corpus.mkdir(exist_ok=True)
    for number in range(6):
        sounds[f"{number}.wav"] = (trained / "calls" / f"d{number}_{number % 3}.wav").read_bytes()
        (corpus / f"{number}.wav").write_bytes(sounds[f"{number}.wav"])
        turns.append({"speaker": "AB"[number % 2], "text": f"We won {number}", "audio": f"{number}.wav"})
        lines.append(f"d,{number},{'AB'[number % 2]},We won {number},{number}.wav")
    (corpus / "calls.csv").write_text("\n".join(lines) + "\n")
    name, rows = begin(client), []
    for first, end in ((0, 1), (1, 4), (4, 6)):
        sent = {turn["audio"]: sounds[turn["audio"]] for turn in turns[first:end]}
        rows += client.post(f"/conversations/{name}/turns", turns[first:end], sent).json["rows"]
    check_equal(rows, scored(corpus, champion), champion)
    assert all(row["audio_label"] for row in rows)


def test_an_encoder_that_reads_turns_before_gets_them(reads_turns_before: Champion, trained: Path) -> None:
    sounds = {"a.wav": (trained / "calls" / "d0_0.wav").read_bytes()}
    turns = [{**turn, "audio": "a.wav"} if number % 2 else turn for number, turn in enumerate(BATCH[:8])]
    with served(reads_turns_before) as client:
        name, rows = begin(client), []
        for turn in turns:
            rows += client.post(f"/conversations/{name}/turns", [turn], sounds).json["rows"]
        check_same(rows, client.post("/score", turns, sounds).json["rows"])
        assert {row["status"] for row in rows} == {"scored", "unscored"}


def test_conversations_do_not_mix(client: Client) -> None:
    one, other = begin(client), begin(client)
    rows = []
    for turn in BATCH[:4]:
        rows += client.post(f"/conversations/{one}/turns", [turn]).json["rows"]
        client.post(f"/conversations/{other}/turns", [{"speaker": "C", "text": "Stop shouting at me"}])
    check_same(rows, client.post("/score", BATCH[:4]).json["rows"])


def test_it_is_forgotten_when_deleted(client: Client) -> None:
    name = begin(client)
    assert client.post(f"/conversations/{name}/turns", BATCH[:1]).status == 200
    assert client.ask("DELETE", f"/conversations/{name}").status == 204
    for reply in (
        client.post(f"/conversations/{name}/turns", BATCH[:1]),
        client.ask("DELETE", f"/conversations/{name}"),
        client.post("/conversations/never/turns", BATCH[:1]),
    ):
        assert reply.status == 404
        assert "POST /conversations" in reply.json["error"]


def test_a_turn_that_a_deletion_overtakes_leaves_nothing(client: Client) -> None:
    name = begin(client)
    body = json.dumps({"turns": BATCH[:1]})
    connection = half_sent(client, f"/conversations/{name}/turns", body, 20)
    while "hbaf_requests_under_way 2.0" not in client.ask("GET", "/metrics").body.decode():
        time.sleep(0.05)
    assert client.ask("DELETE", f"/conversations/{name}").status == 204
    connection.send(body[20:].encode())
    assert connection.getresponse().status == 404
    connection.close()
    assert client.post(f"/conversations/{name}/turns", BATCH[:1]).status == 404


def test_it_is_forgotten_when_idle(champion: Champion) -> None:
    with served(champion, idle_seconds=0.4, conversations=2) as client:
        client.post("/score", BATCH[:1])  # weights are loaded
        name = begin(client)
        assert "hbaf_open_conversations 1.0" in client.ask("GET", "/metrics").body.decode()
        time.sleep(1)
        assert "hbaf_open_conversations 0.0" in client.ask("GET", "/metrics").body.decode()
        assert client.post(f"/conversations/{name}/turns", BATCH[:1]).status == 404


def test_turns_and_open_conversations_have_limits(champion: Champion) -> None:
    with served(champion, turns=2, conversations=2) as client:
        name = begin(client)
        begin(client)
        reply = client.ask("POST", "/conversations")
        assert (reply.status, "serve.conversations" in reply.json["error"]) == (503, True)
        assert client.post(f"/conversations/{name}/turns", BATCH[:2]).status == 200
        reply = client.post(f"/conversations/{name}/turns", BATCH[:1])
        assert (reply.status, "serve.turns" in reply.json["error"]) == (422, True)


def test_a_refused_turn_leaves_the_conversation_as_it_was(client: Client) -> None:
    name = begin(client)
    rows = client.post(f"/conversations/{name}/turns", BATCH[:1]).json["rows"]
    assert client.ask("POST", f"/conversations/{name}/turns", b"{").status == 422
    rows += client.post(f"/conversations/{name}/turns", BATCH[1:3]).json["rows"]
    check_same(rows, client.post("/score", BATCH[:3]).json["rows"])


def test_a_model_that_reads_later_turns_scores_whole_conversations_alone(not_causal: Champion) -> None:
    with served(not_causal) as client:
        reply = client.ask("POST", "/conversations")
        assert reply.status == 409
        assert "training.label_chain=both" in reply.json["error"]
        assert "hbaf train SOURCE --set model.text_direction=causal" in reply.json["error"]
        assert client.ask("GET", "/model").json["reads_later_turns"] == ["training.label_chain=both"]
        assert client.post("/score", BATCH).status == 200


def check_same(rows: list[dict[str, Any]], others: list[dict[str, Any]]) -> None:
    assert len(rows) == len(others)
    for row, other in zip(rows, others, strict=True):
        for name in row.keys() - {"scored_at"}:
            expected = other[name]  # an encoder rounds a text beside others differently than alone
            near = pytest.approx(expected, abs=1e-4) if isinstance(expected, float | dict) else expected
            assert row[name] == near, name
