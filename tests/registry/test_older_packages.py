"""Packages of other formats: those from before calibration predict as they did, newer ones are refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from hbaf.corpus.schema import load_corpus
from hbaf.inference.predictor import Predictor
from hbaf.parameters import ModelParameters
from hbaf.registry.runs import train_package
from hbaf.training.data import read_vectors
from hbaf.training.package import ModelPackage, PackageError
from hbaf.training.run_log import SilentRunLog
from tests.registry.conftest import Prepared

SINCE_FORMAT_2 = ("calibration", "missing", "trained_to_miss")


@pytest.fixture(scope="module")
def now(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    with prepared.in_use():
        package = train_package(
            load_corpus(prepared.reference), prepared.columns, prepared.features, prepared.model, prepared.training,
            folder=folder, log=SilentRunLog(), origin={},
        )  # fmt: skip
        return package.save(folder / "now")


def rewritten(package: Path, folder: Path, **changes: object) -> Path:
    shutil.copytree(package, folder)
    facts = json.loads((folder / "package.json").read_text())
    (folder / "package.json").write_text(json.dumps({**facts, **changes}))
    return folder


def test_a_package_from_before_calibration_predicts_without_it(prepared: Prepared, now: Path, tmp_path: Path) -> None:
    old = rewritten(now, tmp_path / "old", format=1)
    facts = json.loads((old / "package.json").read_text())
    (old / "package.json").write_text(json.dumps({k: v for k, v in facts.items() if k not in SINCE_FORMAT_2}))
    shutil.rmtree(old / "reference", ignore_errors=True)  # for the monitor; younger still
    package = ModelPackage.load(old)
    assert package.facts.calibration.temperature == 1
    dropped = prepared.model.modality_dropout > 0
    assert package.facts.trained_to_miss == {"audio": dropped, "text": dropped}
    corpus = load_corpus(prepared.reference)
    vectors = read_vectors(corpus, prepared.columns)
    before, after = Predictor(package).predict(corpus, vectors), Predictor.load(now, "cpu").predict(corpus, vectors)
    assert not before["uncertain"].any()
    assert before["label"].tolist() == after["label"].tolist()
    temperature = ModelPackage.load(now).facts.calibration.temperature
    assert abs(temperature - 1) > 1e-3  # else the next line shows nothing
    logits = np.log(before[["p_anger", "p_joy"]].to_numpy(float)) / temperature
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(after[["p_anger", "p_joy"]], expected, atol=1e-5)
    # Written again it is a package of today's format that says the same.
    assert json.loads((package.save(tmp_path / "again") / "package.json").read_text())["format"] == 2


def test_settings_tell_what_an_older_model_can_miss(now: Path, tmp_path: Path) -> None:
    for name, settings, expected in (
        ("dropped", {"modality_dropout": 0.2}, {"audio": True, "text": True}),
        ("kept", {"modality_dropout": 0.0}, {"audio": False, "text": False}),
    ):
        facts = json.loads((now / "package.json").read_text())
        model = ModelParameters(**{**facts["model"], **settings}).model_dump(mode="json")
        old = rewritten(now, tmp_path / name, format=1, model=model)
        kept = json.loads((old / "package.json").read_text())
        del kept["trained_to_miss"]
        (old / "package.json").write_text(json.dumps(kept))
        assert ModelPackage.load(old).facts.trained_to_miss == expected


def test_a_newer_package_is_refused(now: Path, tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="newer hbaf"):
        ModelPackage.load(rewritten(now, tmp_path / "new", format=99))
