"""Weights by id through the real hub client, from a hub of our own on this machine."""

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hbaf.features.fetch import FetchedModel, list_weights, read_lock, verify_weights, write_lock

COMMIT = "0123456789abcdef0123456789abcdef01234567"
MODEL = "someone/tiny-wavlm"


class Hub(http.server.BaseHTTPRequestHandler):
    """The three answers that a download needs: what a revision holds, a file's head, a file."""

    folder: Path

    def do_GET(self) -> None:
        self.answer(body=True)

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def answer(self, *, body: bool) -> None:
        path = self.path.partition("?")[0]
        if path.startswith(f"/api/models/{MODEL}"):
            files = [{"rfilename": file.name} for file in sorted(self.folder.iterdir())]
            if "/tree/" in path:
                content = json.dumps(
                    [
                        {"type": "file", "path": f.name, "size": f.stat().st_size, "oid": "0"}
                        for f in self.folder.iterdir()
                    ]
                ).encode()
            else:
                content = json.dumps({"id": MODEL, "sha": COMMIT, "siblings": files}).encode()
        elif path.startswith(f"/{MODEL}/resolve/") and (self.folder / path.rpartition("/")[2]).is_file():
            content = (self.folder / path.rpartition("/")[2]).read_bytes()
        else:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub(wavlm: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Served", (Hub,), {"folder": wavlm}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def hbaf(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own: the hub client reads its settings when it is imported."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HBAF_"))}
    settings = {**kept, "HBAF_HOME": str(home), "HF_HOME": str(home / "hf"), "HF_HUB_DISABLE_XET": "1", **environment}
    command = [sys.executable, "-m", "hbaf.cli", "models", *arguments]
    return subprocess.run(command, env=settings, capture_output=True, text=True, check=False, timeout=200)


@pytest.mark.long
def test_fetched_by_id_verified_and_used_without_network(hub: str, wavlm: Path, tmp_path: Path) -> None:
    absent = hbaf(tmp_path, "check", f"speech:{MODEL}", HF_HUB_OFFLINE="1")
    assert absent.returncode == 2
    assert "are not on this machine" in absent.stderr
    fetched = hbaf(tmp_path, "fetch", f"speech:{MODEL}", "mfcc", HF_ENDPOINT=hub)
    assert fetched.returncode == 0, fetched.stderr
    assert f"{MODEL} {COMMIT[:12]}" in fetched.stdout
    assert "mfcc                     needs no weights" in fetched.stdout
    (locked,) = json.loads((tmp_path / "models.lock.json").read_text()).values()
    expected = hashlib.sha256((wavlm / "model.safetensors").read_bytes()).hexdigest()
    assert locked["files"]["model.safetensors"] == expected
    assert locked["revision"] == COMMIT
    # From here on there is no hub.
    used = hbaf(tmp_path, "check", f"speech:{MODEL}", HF_HUB_OFFLINE="1")
    assert used.returncode == 0, used.stderr
    assert "keeps the contract" in used.stdout
    weights = Path(locked["folder"]) / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    changed = hbaf(tmp_path, "verify", HF_HUB_OFFLINE="1")
    assert changed.returncode == 1
    assert "model.safetensors was changed since it was fetched" in changed.stdout


def test_a_lock_names_what_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HBAF_HOME", str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    digest = hashlib.sha256(b"{}").hexdigest()
    files = {"config.json": digest, "model.safetensors": digest}
    write_lock({"a/b@1": FetchedModel("a/b", "1", str(tmp_path), files, 2_000_000, "MIT")})
    (problem,) = verify_weights()
    assert "model.safetensors is gone" in problem
    assert read_lock()["a/b@1"].files == files
    listed = "\n".join(list_weights())
    assert "a/b 1" in listed
    assert "FacebookAI/roberta-large not fetched: `hbaf models fetch roberta-large`; MIT" in listed
