"""The search space, read from the parameter models' field metadata: `{"search": [low, high], "log": True}`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from hbaf.parameters import ModelParameters, Parameters, TrainingParameters

P = TypeVar("P", bound=Parameters)


class SearchError(ValueError):
    """A search cannot be done as it was asked for."""


@dataclass(frozen=True)
class Range:
    """Closed interval; `log`: searched on a logarithmic scale."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class SearchSpace:
    """What is searched, around which settings.

    Attributes:
        ranges: `model.tau` -> its range.
        model, training: the settings to start from, with what was frozen put in.
    """

    ranges: dict[str, Range]
    model: ModelParameters
    training: TrainingParameters

    def start(self) -> dict[str, float]:
        """The starting values, which trial 0 tries: the paper's, with the recipe `paper`."""
        stages = {"model": self.model, "training": self.training}
        return {name: float(getattr(stages[name.split(".")[0]], name.split(".")[1])) for name in self.ranges}

    def settings(self, values: Mapping[str, float]) -> tuple[ModelParameters, TrainingParameters]:
        """The settings with these values of the searched parameters."""
        changes: dict[str, dict[str, Any]] = {"model": {}, "training": {}}
        for name, value in values.items():
            stage, field = name.split(".")
            changes[stage][field] = value
        return _changed(self.model, changes["model"]), _changed(self.training, changes["training"])


def search_space(
    model: ModelParameters, training: TrainingParameters, changes: Mapping[str, tuple[float, float] | float]
) -> SearchSpace:
    """The ranges of the metadata with single ones changed.

    Of a uni-modal variant only what that variant has is searched: it knows no contrastive loss.

    Args:
        changes: name, with or without its stage (`tau`, `model.tau`) -> another range, or one number, which freezes it.
            Names without a range in the metadata, such as `dropout`, may be added.

    Raises:
        SearchError: an unknown name, a range the wrong way round, or a starting value outside its range.
    """
    ranges = {
        f"{stage}.{name}": Range(extra["search"][0], extra["search"][1], extra.get("log", False))
        for stage, kind in (("model", ModelParameters), ("training", TrainingParameters))
        for name, extra in _searched(kind)
        if stage == "training" or model.variant == "bimodal"
    }
    for given, change in changes.items():
        name = _full_name(given)
        stage, field = name.split(".")
        if isinstance(change, int | float):
            ranges.pop(name, None)
            frozen = {field: change}
            model, training = (
                (_changed(model, frozen), training) if stage == "model" else (model, _changed(training, frozen))
            )
            continue
        low, high = change
        kind = ModelParameters if stage == "model" else TrainingParameters
        ranges[name] = Range(low, high, log=dict(_searched(kind)).get(field, {}).get("log", False))
    space = SearchSpace(ranges, model, training)
    if not ranges:
        raise SearchError("every parameter is frozen: there is nothing to search. Leave one free, or `hbaf train`.")
    for name, value in space.start().items():
        low, high = ranges[name].low, ranges[name].high
        if not low < high:
            raise SearchError(
                f"{name}: the range {low} to {high} is empty. Give [low, high], or one number to freeze it."
            )
        if not low <= value <= high:
            raise SearchError(
                f"{name}: the starting value {value} is outside its range {low} to {high}, and trial 0 tries it. "
                f"Widen the range (`space.{name}`) or start from another value."
            )
    return space


def _searched(kind: type[Parameters]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (name, dict(field.json_schema_extra))
        for name, field in kind.model_fields.items()
        if isinstance(field.json_schema_extra, dict) and "search" in field.json_schema_extra
    ]


def _full_name(given: str) -> str:
    numbers = [
        f"{stage}.{name}"
        for stage, kind in (("model", ModelParameters), ("training", TrainingParameters))
        for name, field in kind.model_fields.items()
        if field.annotation is float
    ]
    found = [name for name in numbers if given in (name, name.split(".")[1])]
    if len(found) != 1:
        raise SearchError(f"{given}: not a parameter that can be searched; there are: {', '.join(numbers)}.")
    return found[0]


def _changed(parameters: P, changes: Mapping[str, Any]) -> P:
    return type(parameters)(**{**parameters.model_dump(), **changes})
