"""Any label becomes a name that MLflow takes, and comes back as it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_metric_name

from hbaf.corpus.schema import CorpusError
from hbaf.registry.metric_names import LONGEST, check_labels, metric_name, own_name

LABELS = [
    "anger (hot)", "😡", "happy/excited", "sad//low", "/", "//", ".", "..", "a/../b", "/joy", "joy/", "", " ", "a\nb",
    "non-xyz", "-x28-", "-x", "-x2(", "50%", "joy:high", "wütend", "喜び", "a\\b", '"', "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("label", LABELS)
def test_labels_of_any_letters(label: str) -> None:
    for name in (label, f"best/f1/{label}"):
        _validate_metric_name(metric_name(name))
        assert own_name(metric_name(name)) == name


@given(st.text())
def test_every_name_comes_back(label: str) -> None:
    written = metric_name(f"dev/f1/{label}")
    _validate_metric_name(written)
    assert own_name(written) == f"dev/f1/{label}"


@pytest.mark.parametrize("name", ["dev/weighted_f1", "best/f1/joy", "parameters", "train/no agreement"])
def test_ordinary_names_stay(name: str) -> None:
    assert metric_name(name) == name


def test_a_label_that_is_too_long_is_refused_beforehand() -> None:
    check_labels(LABELS)
    with pytest.raises(CorpusError, match="Shorten it"):
        check_labels(["joy", "j" * LONGEST])
