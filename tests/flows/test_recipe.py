"""A recipe and settings given in part, the ways that a flow gets them: as JSON of a deployment, and called directly."""

import sys
from typing import Any, get_args

import pytest
from prefect.logging import disable_run_logger
from prefect.utilities.callables import parameter_schema

from flows.recipe import Recipe, with_changes
from flows.train_hbaf import train_hbaf
from hbaf.parameters import RECIPES, FeatureParameters, ModelParameters, TrainingParameters, from_recipe
from tests.flows.conftest import Stack

pytestmark = pytest.mark.long


def settings(recipe: str, **given: Any) -> tuple[FeatureParameters, ModelParameters, TrainingParameters]:
    """What `train-hbaf` trains with, after Prefect has validated what it was given."""
    found = train_hbaf.validate_parameters({"recipe": recipe, **given})
    stages = {stage: found.get(stage) for stage in ("features", "model", "training")}
    with disable_run_logger():
        return with_changes(found["recipe"], **stages)


def test_the_form_takes_every_recipe() -> None:
    assert get_args(Recipe) == tuple(RECIPES)
    assert parameter_schema(train_hbaf).properties["recipe"]["enum"] == list(RECIPES)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("model", [{"variant": "text"}, ModelParameters(variant="text")], ids=["json", "direct"])
def test_a_part_changes_the_recipe_and_drops_nothing(recipe: str, model: Any) -> None:
    assert settings(recipe, model=model) == from_recipe(recipe, model={"variant": "text"})
    assert settings(recipe) == from_recipe(recipe)


def test_a_value_that_is_the_default_and_not_the_recipes_is_taken() -> None:
    _, model, training = settings("demo", model={"dim": 512}, training={"clip_norm": None})
    assert (model.dim, model.heads) == (512, 4)
    assert (training.clip_norm, training.max_epochs, training.recipe) == (None, 40, "demo")


def test_features_keep_what_the_recipe_says_of_them() -> None:
    assert settings("demo", features={"audio": "mfcc"})[0] == FeatureParameters(audio="mfcc", scale_text=True)


@pytest.mark.parametrize("stage", ["features", "model", "training"])
def test_the_form_fills_nothing_in(stage: str) -> None:
    """A form that sent the defaults back would put the paper's width over the recipe's."""
    shown, nothing = parameter_schema(train_hbaf).properties[stage]["anyOf"]
    assert nothing == {"type": "null"}
    assert shown["additionalProperties"] is False
    assert shown["properties"]
    assert not [name for name, field in shown["properties"].items() if "default" in field]


CALLED = """
from hbaf.home import prepare_environment
prepare_environment()
from prefect import flow
from flows.recipe import ModelChanges, Recipe, with_changes
from hbaf.parameters import ModelParameters
@flow
def asked(recipe: Recipe = "paper", model: ModelChanges | None = None) -> str:
    found = with_changes(recipe, model=model)[1]
    return f"{found.variant} {found.dim}"
print(asked(recipe="demo", model=ModelParameters(variant="text")), asked("demo", {"variant": "audio"}), asked("best"))
"""


def test_flow_runs_of_a_server_keep_what_was_set(stack: Stack) -> None:
    assert "text 96 audio 96 bimodal 512" in stack.run(sys.executable, "-c", CALLED)
