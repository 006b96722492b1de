"""The search space follows the parameter models; what is asked for wrongly is reported."""

import pytest

from hbaf.parameters import ModelParameters, TrainingParameters, from_recipe
from hbaf.search.space import Range, SearchError, search_space

SEARCHED = {"model.mu", "model.lambda1", "model.lambda2", "model.lambda3", "model.tau", "training.learning_rate"}


def space(changes=None, **model):
    return search_space(ModelParameters(**model), TrainingParameters(), changes or {})


def test_ranges_come_from_the_metadata():
    found = space().ranges
    assert set(found) == SEARCHED
    assert found["training.learning_rate"] == Range(1e-5, 1e-3, log=True)
    assert found["model.tau"] == Range(0.02, 1.0, log=True)
    assert found["model.lambda2"] == Range(0.0, 2.0)


def test_the_start_is_the_papers():
    assert space().start() == {
        "model.mu": 0.2, "model.lambda1": 1, "model.lambda2": 1, "model.lambda3": 1, "model.tau": 0.1,
        "training.learning_rate": 1e-4,
    }  # fmt: skip


def test_a_range_can_be_changed_and_stays_logarithmic():
    assert space({"tau": (0.05, 0.5)}).ranges["model.tau"] == Range(0.05, 0.5, log=True)


def test_a_number_freezes():
    frozen = space({"model.mu": 0.4})
    assert "model.mu" not in frozen.ranges
    assert frozen.settings({})[0].mu == 0.4


def test_another_parameter_can_be_added():
    model, _ = space({"dropout": (0.0, 0.5)}).settings({"model.dropout": 0.3})
    assert model.dropout == 0.3


def test_values_become_settings():
    model, training = space().settings({"model.tau": 0.5, "training.learning_rate": 3e-4})
    assert (model.tau, training.learning_rate, training.patience) == (0.5, 3e-4, 15)


def test_a_single_modality_has_no_contrastive_loss_to_search():
    assert set(space(variant="text").ranges) == {"training.learning_rate"}


def test_the_demo_recipe_starts_inside_the_ranges():
    _, model, training = from_recipe("demo")
    assert search_space(model, training, {}).start()["training.learning_rate"] == 1e-3


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tua": 0.1}, "tua: not a parameter"),
        ({"heads": (1, 8)}, "heads: not a parameter"),
        ({"tau": (0.5, 0.9)}, r"starting value 0\.1 is outside"),
        ({"mu": (1.0, 0.0)}, "is empty"),
        (dict.fromkeys(SEARCHED, 0.1), "nothing to search"),
    ],
)
def test_what_cannot_be_searched_is_said(changes, said):
    with pytest.raises(SearchError, match=said):
        space(changes)
