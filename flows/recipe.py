"""A recipe in the form of a flow, and the settings beside it: what is given of them changes the recipe's values."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from prefect import get_run_logger
from pydantic import GetJsonSchemaHandler
from pydantic_core import CoreSchema

from hbaf.parameters import (
    RECIPES,
    FeatureParameters,
    ModelParameters,
    Parameters,
    Settings,
    TrainingParameters,
    from_recipe,
)

if TYPE_CHECKING:
    Recipe = str
else:
    Recipe = Literal[tuple(RECIPES)]


class _WithoutDefaults:
    """Shows a model in a form without its defaults.

    They are the paper's, and a form that filled them in would put them over the recipe's values.
    """

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        shown = handler.resolve_ref_schema(handler(core))
        fields = {
            name: {key: value for key, value in field.items() if key != "default"}
            for name, field in shown["properties"].items()
        }
        return {**shown, "properties": fields}


FeatureChanges = Annotated[FeatureParameters, _WithoutDefaults()]
ModelChanges = Annotated[ModelParameters, _WithoutDefaults()]
TrainingChanges = Annotated[TrainingParameters, _WithoutDefaults()]


def with_changes(recipe: str, **given: Parameters | None) -> Settings:
    """The recipe's values with those changed that were given, whether or not they are the defaults.

    Args:
        given: by stage; pydantic remembers which fields were set.
    """
    changes = {
        stage: {name: getattr(values, name) for name in sorted(values.model_fields_set)}
        for stage, values in given.items()
        if values is not None
    }
    key = [f"{stage}.{name}={value}" for stage, values in changes.items() for name, value in values.items()]
    get_run_logger().info("Recipe %s%s", recipe, f", changed: {', '.join(key)}" if key else "")
    return from_recipe(recipe, **changes)
