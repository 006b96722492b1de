"""How settings are described and checked in plain words: names, defaults, ranges, and what is near a misspelt name.

It knows pydantic models and nothing of what theirs are about; the models are those of `hbaf.parameters`.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import groupby
from pathlib import PurePath
from typing import Any, TypeGuard

from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError, to_jsonable_python

Kinds = Mapping[str, type[BaseModel]]  # stage -> the model of its settings
Recipes = Mapping[str, Mapping[str, Mapping[str, Any]]]  # recipe -> stage -> values that differ from the defaults
BOUNDS = {
    "minimum": "{} or more",
    "exclusiveMinimum": "above {}",
    "maximum": "up to {}",
    "exclusiveMaximum": "below {}",
}
SIMPLE = {"integer": "whole number", "number": "number", "boolean": "`true` or `false`", "null": "`null`"}
CODE = "setting"  # of an error whose message is ours

HEAD = """# Settings: what can be set

`hbaf settings` prints this, `hbaf settings model` one stage, `hbaf settings model.tau` one setting; the page is made by
`hbaf settings --write docs/settings.md`. Verbs take settings as `--set STAGE.NAME=VALUE`, flows as the same names in
their forms; `search` and `comparison` are options of `hbaf search` and `hbaf compare`, and forms of their flows. A
value is JSON or a plain word; `null` is none. A default in brackets is that of a recipe, and searched is what
`hbaf search` looks through. Why the model's defaults are what they are is in [method.md](method.md), the rules of
promotion are in [promotion.md](promotion.md), extractors in [representations.md](representations.md)."""


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        name: `stage.name`, as `--set` takes it.
        default: as it is typed; with the value of each recipe that has another.
        allowed: range or values, in words; with the range that a search looks through.
        symbol: the paper's, "" where it has none.
        meaning: one sentence.
    """

    name: str
    default: str
    allowed: str
    symbol: str
    meaning: str

    def lines(self) -> str:
        """For a terminal: name, symbol, default and what is allowed in one line, the meaning below."""
        symbol = f" ({self.symbol})" if self.symbol else ""
        return f"{self.name}{symbol} = {self.default}; allowed: {self.allowed}\n    {self.meaning}"


def settings_of(stages: Kinds, recipes: Recipes) -> list[Setting]:
    """All settings, those of models inside models too, in the order of the models."""
    return [
        _setting(stage, kind, name, recipes)
        for stage, kind in _with_inner(stages).items()
        for name in kind.model_fields
        if not _is_model(kind.model_fields[name].annotation)
    ]


def page(settings: Iterable[Setting]) -> str:
    """All settings as a page of Markdown, a table for each stage."""
    lines = [HEAD]
    for stage, of_stage in groupby(settings, lambda setting: setting.name.partition(".")[0]):
        lines += [f"\n## {stage}\n", "| setting | default | allowed | symbol | meaning |", "|---|---|---|---|---|"]
        for one in of_stage:
            cells = (f"`{one.name}`", f"`{one.default}`", one.allowed, one.symbol, one.meaning)
            lines.append(f"| {' | '.join(cells)} |".replace("|  |", "| |"))
    return "\n".join(lines) + "\n"


def near(name: str, known: list[str]) -> list[str]:
    """Up to three known names that a misspelt one may have meant: in its own stage, else the same name in another."""
    stage, _, last = name.rpartition(".")
    own = {other.rpartition(".")[2]: other for other in known if other.rpartition(".")[0] == stage}
    if close := get_close_matches(last, own, n=3):
        return [own[other] for other in close]
    elsewhere = [other for other in known if other.rpartition(".")[2] == last]
    return (elsewhere or get_close_matches(name, known, n=3, cutoff=0.8))[:3]


def did_you_mean(name: str, known: list[str]) -> str:
    """A sentence with the near names, or ""."""
    found = near(name, known)
    return f" Did you mean {' or '.join(found)}?" if found else ""


def in_plain_words(kind: type[BaseModel], stages: Kinds, error: ValidationError) -> ValidationError:
    """The same error with messages that name the allowed range, or the names near a misspelt one.

    Args:
        kind: the model that was to be made.
        stages: where a misspelt name is looked for.
    """
    lines: dict[Any, InitErrorDetails] = {}
    for line in error.errors(include_url=False):
        place, message = line["loc"], line["msg"]
        if line["type"] != CODE and place:
            place = place[:1]
            message = _message(kind, stages, str(place[0]), line)
        ours = PydanticCustomError(CODE, "{message}", {"message": message})
        lines.setdefault(place, InitErrorDetails(type=ours, loc=place, input=line["input"]))
    return ValidationError.from_exception_data(error.title, list(lines.values()))


def message_of(error: ValidationError, stages: Kinds) -> str:
    """One line for each wrong setting, with its full name and without anything of pydantic."""
    stage = next((stage for stage, kind in stages.items() if kind.__name__ == error.title), "")
    return "\n".join(
        f"{'.'.join(filter(None, [stage, *map(str, line['loc'])]))}: {line['msg']}"
        for line in error.errors(include_url=False)
    )


def _message(kind: type[BaseModel], stages: Kinds, name: str, line: Any) -> str:
    inner = _with_inner(stages)
    stage = next((stage for stage, known in inner.items() if known is kind), "")
    if line["type"] == "extra_forbidden":
        own = [_joined(stage, field) for field in kind.model_fields]
        others = [_joined(other, field) for other, known in inner.items() for field in known.model_fields]
        listed = f" `hbaf settings {stage}` lists all." if stage else f" There are: {', '.join(own)}."
        return f"there is no such setting.{did_you_mean(_joined(stage, name), [*own, *others])}{listed}"
    allowed = _allowed(kind, name)
    if line["type"] == "missing":
        return f"it is needed: {allowed}."
    return f"{_shown(line['input'])} is not allowed; allowed: {allowed}."


def _setting(stage: str, kind: type[BaseModel], name: str, recipes: Recipes) -> Setting:
    field = kind.model_fields[name]
    extra: Any = field.json_schema_extra or {}
    default = _shown(field.get_default(call_default_factory=True))
    others = {recipe: values[stage][name] for recipe, values in recipes.items() if name in values.get(stage, {})}
    shown = [f"{recipe}: {_shown(value)}" for recipe, value in others.items() if _shown(value) != default]
    allowed = _allowed(kind, name)
    if "search" in extra:
        low, high = extra["search"]
        allowed += f"; searched: {low:g} to {high:g}{', logarithmic' if extra.get('log') else ''}"
    return Setting(
        _joined(stage, name),
        default + (f" ({', '.join(shown)})" if shown else ""),
        allowed,
        extra.get("symbol", ""),
        field.description or "",
    )


def _allowed(kind: type[BaseModel], name: str) -> str:
    return _in_words(kind.model_json_schema()["properties"][name])


def _in_words(schema: dict[str, Any]) -> str:
    """A JSON schema as people put it."""
    if "anyOf" in schema:
        return " or ".join(_in_words(each) for each in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        values = [f"`{value}`" for value in schema.get("enum", [schema.get("const")])]
        return ", ".join(values[:-1]) + " or " * (len(values) > 1) + values[-1]
    if "prefixItems" in schema:
        return f"[{', '.join(_in_words(each) for each in schema['prefixItems'])}]"
    kind = schema.get("type")
    if kind == "array":
        return f"list, each: {_in_words(schema['items'])}"
    if kind == "object":
        inner = schema.get("additionalProperties")
        return f"names, each with: {_in_words(inner)}" if isinstance(inner, dict) else "a group of settings"
    if kind == "string":
        return "path" if schema.get("format") == "path" else "text"
    if "minimum" in schema and "maximum" in schema:
        return f"{SIMPLE[str(kind)]} from {schema['minimum']} to {schema['maximum']}"
    bounds = [words.format(schema[bound]) for bound, words in BOUNDS.items() if bound in schema]
    return " ".join([SIMPLE.get(str(kind), "anything"), " and ".join(bounds)]).strip()


def _with_inner(stages: Kinds) -> dict[str, type[BaseModel]]:
    found: dict[str, type[BaseModel]] = {}
    for stage, kind in stages.items():
        found[stage] = kind
        inner = {_joined(stage, name): field.annotation for name, field in kind.model_fields.items()}
        found |= _with_inner({name: model for name, model in inner.items() if _is_model(model)})
    return found


def _is_model(annotation: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _joined(stage: str, name: str) -> str:
    return f"{stage}.{name}" if stage else name


def _shown(value: Any, most: int = 60) -> str:
    """A value as it is typed on the command line."""
    if value is None:
        return "null"
    if isinstance(value, str | PurePath):
        text = str(value)
    else:
        text = json.dumps(to_jsonable_python(value, fallback=str), ensure_ascii=False)
    return text if len(text) <= most else f"{text[:most]}..."
