"""`hbaf doctor` as a user runs it: on a healthy set-up and on broken ones, with real servers that want passwords."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hbaf.doctor import gpu, versions, weights
from hbaf.doctor.finding import Finding
from hbaf.parameters import FeatureParameters
from tests.flows.conftest import BIN, ROOT, free_port
from tests.infra.test_existing_servers import SECRET, existing

__all__ = ["existing"]  # the fixture: a Prefect and an MLflow server, both with a password
PASSWORD = SECRET.partition(":")[2]


def doctor(environment: dict[str, str], folder: Path, *arguments: str) -> tuple[int, list[dict[str, str]], str]:
    """Exit code, findings, and everything that was printed."""
    done = subprocess.run(
        [BIN / "hbaf", "doctor", "--json", "--set", "features.audio=mfcc", *arguments],
        env={**environment, "PYTHONPATH": os.pathsep.join([environment.get("PYTHONPATH", ""), str(ROOT)]).strip(":")},
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found: list[dict[str, str]] = json.loads(done.stdout)
    return done.returncode, found, done.stdout + done.stderr


def about(found: list[dict[str, str]], subject: str, verdict: str) -> dict[str, str]:
    (one,) = [finding for finding in found if finding["subject"] == subject and finding["verdict"] == verdict][:1] or [
        {}
    ]
    assert one, f"nothing {verdict} about {subject}: {found}"
    return one


@pytest.fixture
def alone(tmp_path: Path) -> dict[str, str]:
    """A set-up without servers."""
    named = ("PREFECT_", "MLFLOW_", "HBAF_", "CUDA_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(named)}
    return {**kept, "HOME": str(tmp_path), "HBAF_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_healthy_set_up_with_servers(existing: dict[str, str], tmp_path: Path) -> None:
    code, found, said = doctor(existing, tmp_path)
    assert code == 0, found
    assert not [finding for finding in found if finding["verdict"] == "bad"]
    for subject in ("Prefect", "MLflow"):
        assert "a trial write was taken and removed" in about(found, subject, "ok")["message"]
    assert {"home", "disk", "versions", "audio features", "text features", "gpu"} <= {one["subject"] for one in found}
    assert "NOT for commercial use" in about(found, "licence of compare2016", "note")["message"]
    assert PASSWORD not in said
    asked = ["-c", "from mlflow import MlflowClient as C; print(len(C().search_registered_models()))"]
    left = subprocess.run([sys.executable, *asked], env=existing, capture_output=True, text=True, check=True)
    assert left.stdout.strip() == "0", "the trial write was left behind"
    flows = subprocess.run([BIN / "prefect", "flow", "ls"], env=existing, capture_output=True, text=True, check=True)
    assert "hbaf-doctor" not in flows.stdout


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_wrong_passwords(existing: dict[str, str], tmp_path: Path) -> None:
    wrong = {"PREFECT_API_AUTH_STRING": "somebody:wrong-one", "MLFLOW_TRACKING_PASSWORD": "wrong-one"}
    code, found, said = doctor({**existing, **wrong}, tmp_path)
    assert code == 1
    assert "PREFECT_API_AUTH_STRING" in about(found, "Prefect", "bad")["fix"]
    assert "401" in about(found, "MLflow", "bad")["message"]
    assert "MLFLOW_TRACKING_PASSWORD" in about(found, "MLflow", "bad")["fix"]
    assert "wrong-one" not in said


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_servers_away_and_a_library_outside_of_its_range(alone: dict[str, str], tmp_path: Path) -> None:
    other = tmp_path / "site" / "fastapi-0.151.0.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: fastapi\nVersion: 0.151.0\n")
    port = free_port()
    broken = {
        "PYTHONPATH": str(tmp_path / "site"),
        "PREFECT_API_URL": f"http://somebody:a-password@127.0.0.1:{port}/api",
        "MLFLOW_TRACKING_URI": f"http://somebody:a-password@127.0.0.1:{port}",
        "HBAF_SEARCH_STORAGE": f"postgresql+psycopg2://hbaf:a-password@127.0.0.1:{port}/hbaf",
    }
    code, found, said = doctor({**alone, **broken}, tmp_path)
    assert code == 1
    assert "fastapi 0.151.0" in about(found, "versions", "bad")["message"]
    for subject in ("Prefect", "MLflow", "search storage"):
        assert about(found, subject, "bad")["fix"]
    assert "a-password" not in said


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_home_that_cannot_be_written(alone: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file where the folder should be")
    code, found, _ = doctor(alone, tmp_path)
    assert code == 1
    assert "HBAF_HOME" in about(found, "home", "bad")["fix"]
    assert about(found, "versions", "ok"), "what does not need the home is looked at all the same"


def test_weights_that_are_missing_and_weights_that_are_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import RobertaConfig, RobertaModel

    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    config: Any = RobertaConfig(vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
                                intermediate_size=8)  # fmt: skip
    RobertaModel(config).save_pretrained(tmp_path / "model")
    features = FeatureParameters(audio="mfcc", text=f"encoder:{tmp_path / 'model'}")
    assert verdicts(features)["text features"].verdict == "ok"
    file = tmp_path / "model" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    assert "damaged" in verdicts(features)["text features"].message
    file.unlink()
    assert "model.safetensors" in verdicts(features)["text features"].message
    absent = verdicts(FeatureParameters(audio="mfcc", text="roberta-large"))["text features"]
    assert absent.verdict == "bad"
    assert "hbaf models fetch roberta-large" in absent.fix


def verdicts(features: FeatureParameters) -> dict[str, Finding]:
    return {finding.subject: finding for finding in weights.look(features)}


def test_a_gpu_that_torch_does_not_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("torch sees a GPU here")
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho 'NVIDIA H200'\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    (finding,) = gpu.look()
    assert finding.verdict == "bad"
    assert "NVIDIA H200 lies idle" in finding.message
    assert "install torch" in finding.fix


def test_the_tested_set_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("numpy==1.0.0\nnobody-has-this==1.0\n")
    monkeypatch.setattr(versions, "CONSTRAINTS", constraints)
    notes = [finding for finding in versions.look() if finding.subject == "tested set"]
    assert [finding.verdict for finding in notes] == ["note"]
    assert "numpy" in notes[0].message
    assert "nobody" not in notes[0].message
