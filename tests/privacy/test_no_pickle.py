"""No pickle that somebody hands over is ever run: in each place where a user's file is read, and in no line of code."""

import ast
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hbaf.corpus.published.load import load_published
from hbaf.corpus.schema import load_corpus
from hbaf.registry.runs import train_package
from hbaf.training.package import ModelPackage
from hbaf.training.run_log import SilentRunLog
from tests.registry.conftest import Prepared, prepared

__all__ = ["prepared"]  # the fixture

ROOT = Path(__file__).parents[2]
PACKAGE_FILES = ("model.safetensors", "audio_selection.safetensors", "text_scaling.safetensors", "package.json")


class Hostile:
    """Makes a file when it is unpickled."""

    def __init__(self, trap: Path) -> None:
        self.trap = trap

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (Path.touch, (self.trap,))


def hostile(file: Path, trap: Path, protocol: int = 2) -> None:
    file.write_bytes(pickle.dumps({"state_dict": Hostile(trap)}, protocol=protocol))


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """Is there when something was run; shown here to work."""
    file = tmp_path / "trap"
    pickle.loads(pickle.dumps(Hostile(file)))  # noqa: S301  # the trap itself
    assert file.exists()
    file.unlink()
    return file


@pytest.mark.parametrize("like", ["sdt", "mmgcn", "cosmic", "cosmic-comet", "npz", "parquet"])
def test_imported_files(like: Any, trap: Path, tmp_path: Path) -> None:
    hostile(tmp_path / "features.pkl", trap)
    with pytest.raises(ValueError):  # noqa: PT011  # whichever of its reasons: what counts is the trap
        load_published(tmp_path / "features.pkl", like)
    assert not trap.exists()


def test_objects_in_an_npz(trap: Path, tmp_path: Path) -> None:
    objects = np.array([Hostile(trap)], dtype=object)
    np.savez(tmp_path / "features.npz", utterance_id=np.array(["c/d/0"]), audio=objects, allow_pickle=True)
    with pytest.raises(ValueError):  # noqa: PT011
        load_published(tmp_path / "features.npz", "npz")
    assert not trap.exists()


@pytest.fixture(scope="module")
def package(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with prepared.in_use():
        return train(prepared, tmp_path_factory.mktemp("package")).save(tmp_path_factory.mktemp("saved") / "package")


def train(prepared: Prepared, folder: Path) -> ModelPackage:
    training = prepared.training.model_copy(update={"max_epochs": 1})
    return train_package(
        load_corpus(prepared.reference), prepared.columns, prepared.features, prepared.model, training,
        folder=folder, log=SilentRunLog(), origin={},
    )  # fmt: skip


@pytest.mark.parametrize("name", PACKAGE_FILES)
def test_files_of_a_model_package(name: str, package: Path, trap: Path, tmp_path: Path) -> None:
    shutil.copytree(package, tmp_path / "package")
    assert (tmp_path / "package" / name).exists()
    hostile(tmp_path / "package" / name, trap)
    with pytest.raises(Exception):  # noqa: B017, PT011  # whichever library meets it first
        ModelPackage.load(tmp_path / "package")
    assert not trap.exists()


@pytest.mark.parametrize("name", ["last.ckpt"])
def test_checkpoints(name: str, prepared: Prepared, trap: Path, tmp_path: Path) -> None:
    """Of a run that goes on; in torch's own form and as a bare pickle."""
    import torch

    hostile(tmp_path / name, trap)
    with pytest.raises(Exception):  # noqa: B017, PT011
        train(prepared, tmp_path)
    torch.save({"state_dict": Hostile(trap)}, tmp_path / name)
    with pytest.raises(Exception):  # noqa: B017, PT011
        train(prepared, tmp_path)
    assert not trap.exists()


@pytest.mark.parametrize("kind", ["encoder", "speech"])
@pytest.mark.parametrize("form", ["torch", "pickle"])
def test_weights_in_a_models_folder(kind: str, form: str, trap: Path, tmp_path: Path) -> None:
    import torch
    from transformers import RobertaConfig, RobertaModel, Wav2Vec2Config, Wav2Vec2Model

    from hbaf.features.registry import make_extractor

    small: dict[str, Any] = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    convolution = {"conv_dim": (8, 8), "conv_stride": (5, 2), "conv_kernel": (10, 3), "num_conv_pos_embeddings": 4,
                   "num_conv_pos_embedding_groups": 1}  # fmt: skip
    config: Any = RobertaConfig(vocab_size=20, **small) if kind == "encoder" else Wav2Vec2Config(**small, **convolution)
    made: Any = RobertaModel(config) if kind == "encoder" else Wav2Vec2Model(config)
    made.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").unlink()
    weights = tmp_path / "model" / "pytorch_model.bin"
    if form == "torch":
        torch.save({"embeddings.word_embeddings.weight": Hostile(trap)}, weights)
    else:
        hostile(weights, trap)
    items: Any = ["words"] if kind == "encoder" else [np.ones(16_000, np.float32)]
    with pytest.raises(Exception):  # noqa: B017, PT011
        make_extractor(f"{kind}:{tmp_path / 'model'}").extract(items)
    assert not trap.exists()


# call -> the keyword that makes it safe, None where nothing does
UNSAFE = {
    "pickle.load": None, "pickle.loads": None, "pickle.Unpickler": None, "joblib.load": None, "pd.read_pickle": None,
    "pandas.read_pickle": None, "dill.load": None, "cloudpickle.load": None, "yaml.load": None, "shelve.open": None,
    "torch.load": "weights_only=True", "np.load": "allow_pickle=False", "numpy.load": "allow_pickle=False",
}  # fmt: skip


def test_no_line_of_code_loads_a_pickle() -> None:
    found = []
    for file in (file for name in ("hbaf", "feature_store", "flows", "infra") for file in (ROOT / name).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and (called := ast.unparse(node.func)) in UNSAFE:
                safe = UNSAFE[called]
                if safe is None or safe not in [ast.unparse(keyword) for keyword in node.keywords]:
                    found.append(f"{file.relative_to(ROOT)}:{node.lineno}: {called}")
    assert [line for line in found if not line.startswith("hbaf/corpus/published/restricted_pickle.py")] == []
