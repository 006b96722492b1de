"""A package whose JSON names code: nothing of it is run by loading."""

import json
from pathlib import Path

import pytest

from hbaf.features.own_class import NotNamedError
from hbaf.training.package import ModelPackage

EVIL = "from pathlib import Path\nPath(__file__).with_name('was run').touch()\nclass E: pass\n"


def test_a_package_that_names_a_file_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HBAF_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text(EVIL)
    package = tmp_path / "package"
    package.mkdir()
    facts = {
        "format": 2, "emotions": ["anger", "joy"], "audio_dim": 4, "text_dim": 4, "commonsense_dim": None,
        "model": {}, "training": {},
        "features": {"audio": "./evil.py:E", "text": "minilm"},
    }  # fmt: skip
    (package / "package.json").write_text(json.dumps(facts))
    with pytest.raises(NotNamedError, match=r"names \./evil\.py:E"):
        ModelPackage.load(package)
    assert not (tmp_path / "was run").exists()
