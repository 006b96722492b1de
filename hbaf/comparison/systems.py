"""What stands behind a name in `--systems`: HBAF, a variant of it, a compared system, or the user's own class.

    hbaf                     the recipe as it is
    hbaf-no-gate             a name of `VARIANTS`
    hbaf:gate=false,mu=0.5   any setting of the model or of the training
    hbaf@paper               another recipe
    bc-lstm:dropout=0.2      any argument of the system's class, or of the training
    ./mine.py:MyFusion       a class of one's own
    hub:ID                   a published classifier of the hub, or in a folder: a floor that learns nothing here
    dialogue-rnn:seeds=5     more runs of this one than of the others
    mmgcn+chain              the same run with the label chain behind it

`@RECIPE` comes before `:settings`, `+chain` at the end; all of them work for every system.
"""

import ast
import hashlib
import inspect
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from torch import nn

from hbaf.baselines.systems import FLOORS, SYSTEMS, source, standing
from hbaf.comparison.variants import ABLATIONS, CONTRAST, DECISIONS, MODALITIES, VARIANTS
from hbaf.features.own_class import is_own, own_class
from hbaf.model.build import build_hbaf
from hbaf.model.hbaf import HBAF
from hbaf.parameters import ModelParameters, TrainingParameters
from hbaf.scoring.hub import hub_model, is_hub

Standing = Literal["hbaf", "variant", "floor", "published", "reading", "own"]

CHAIN = "+chain"
FLOOR_WITH_CHAIN = f"logistic-regression{CHAIN}"  # what a system has to pass that claims to read context

GROUPS: dict[str, tuple[str, ...]] = {
    "all": ("hbaf", *FLOORS, FLOOR_WITH_CHAIN, *(name for name in SYSTEMS if name not in FLOORS)),
    "floors": (*FLOORS, FLOOR_WITH_CHAIN),
    "published": tuple(name for name in SYSTEMS if standing(name) == "published"),
    "readings": tuple(name for name in SYSTEMS if standing(name) == "reading"),
    "modalities": ("hbaf", *MODALITIES),
    "ablations": ("hbaf", *ABLATIONS),
    "decisions": ("hbaf", *DECISIONS),
    "contrast": ("hbaf", *CONTRAST),
    "variants": tuple(VARIANTS),
}
INPUTS = ("audio_dim", "text_dim", "commonsense_dim", "emotions")
# Sizes that differ between systems and recipes; everything else of a class has its published default.
COMMON = ("dim",)
# What the bench itself sees to: the seed, and what it puts behind runs that are there, for every system alike.
NOT_OF_A_SYSTEM = {"seed", "label_chain", "members"}


class UnknownSystem(ValueError):
    """No system of this name, or a setting that it does not take."""


@dataclass(frozen=True)
class Entrant:
    """One row of a comparison: a name, understood.

    Attributes:
        name: as it was asked for, and as tables show it.
        standing: what the row may claim; tables set the kinds apart.
        recipe: where it differs from the comparison's, else None.
        model: changes of `ModelParameters`, for HBAF; arguments of the class, for others.
        training: changes of `TrainingParameters`.
        seeds: runs of this one, where that differs from the comparison's.
        chain: its predictions are decoded with the label chain; the run is the same as without.
    """

    name: str
    base: str
    standing: Standing
    recipe: str | None = None
    model: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    seeds: int | None = None
    chain: bool = False

    def with_chain(self) -> "Entrant":
        """The same system with the label chain behind it; itself if it has one."""
        return self if self.chain or self.is_hub else entrant(self.name + CHAIN, self.seeds)

    def without_chain(self) -> "Entrant":
        """The same system without the label chain; both are made from one and the same run."""
        return entrant(self.name.removesuffix(CHAIN), self.seeds) if self.chain else self

    @property
    def is_hbaf(self) -> bool:
        """Whether it is HBAF or a variant of it, whose arguments are `ModelParameters`."""
        return self.standing in ("hbaf", "variant")

    @property
    def is_hub(self) -> bool:
        """Whether it is a published classifier, which is not trained."""
        return is_hub(self.base)

    def kind(self) -> type[nn.Module]:
        """The class of the system.

        Raises:
            hbaf.features.own_class.OwnClassError: a class of the user's own that is not there.
        """
        if self.is_hbaf:
            return HBAF
        return own_class(self.base) if is_own(self.base) else SYSTEMS[self.base]

    def source(self) -> str:
        """The publication that the system goes back to."""
        if self.is_hbaf:
            return "Luo et al., 2025"
        if self.is_hub:
            return "published, not trained on this corpus"
        return str(getattr(self.kind(), "source", "own")) if is_own(self.base) else source(self.base)

    def build(self, dims: dict[str, Any], model: ModelParameters, changes: dict[str, Any] | None = None) -> nn.Module:
        """A system with fresh weights.

        Args:
            dims: audio_dim, text_dim, commonsense_dim, emotions.
            model: the recipe's sizes; HBAF takes all of it, the others the common width.
            changes: of a tuning trial, over everything else.
        """
        arguments = self.arguments(model, changes)
        if self.is_hbaf:
            return build_hbaf(ModelParameters(**arguments), **dims)
        return self.kind()(**dims, **arguments)

    def arguments(self, model: ModelParameters, changes: dict[str, Any] | None = None) -> dict[str, Any]:
        """What the class is called with, beside the dims."""
        if self.is_hub:
            return {}
        if self.is_hbaf:
            return ModelParameters(**{**model.model_dump(), **self.model, **(changes or {})}).model_dump()
        takes = arguments_of(self.kind())
        common = {name: getattr(model, name) for name in COMMON if name in takes}
        return {**common, **self.model, **{name: v for name, v in (changes or {}).items() if name in takes}}

    def digest(self) -> str:
        """sha256 of the code that decides what the system computes, or the revision of a published model's weights."""
        if self.is_hub:
            return hub_revision(self.base)
        return code_digest((build_hbaf if self.is_hbaf else self.kind()).__module__)


def parse_systems(text: str | Sequence[str]) -> tuple[Entrant, ...]:
    """`"hbaf,bc-lstm:dropout=0.2,dim=64,./mine.py:MyFusion"` -> entrants, each once, in that order.

    Raises:
        UnknownSystem: a name or a setting that nobody knows.
        hbaf.features.own_class.OwnClassError: the own file holds no such class.
    """
    parts: list[str] = []
    for part in text.split(",") if isinstance(text, str) else text:
        # A comma also stands between the settings of one system.
        if parts and "=" in part and ":" not in part.partition("=")[0] and not is_hub(parts[-1]):
            parts[-1] += f",{part}"
        elif part.strip():
            parts.append(part.strip())
    names = [name for part in parts for name in group(part)]
    # Asked for twice, as by a group and by itself with other seeds: one row, at the first place, as given last.
    return tuple({found.name: found for found in map(entrant, names)}.values())


def group(part: str) -> tuple[str, ...]:
    """The names of a group, of each with the chain for `all+chain`; any other name is itself."""
    if part.removesuffix(CHAIN) not in GROUPS:
        return (part,)
    names = GROUPS[part.removesuffix(CHAIN)]
    return tuple(name.removesuffix(CHAIN) + CHAIN for name in names) if part.endswith(CHAIN) else names


def entrant(name: str, seeds: int | None = None) -> Entrant:
    """One name, understood."""
    if is_hub(name):
        if name.endswith(CHAIN):
            raise UnknownSystem(f"{name}: the label chain is fitted with what a system learns, and this one does not.")
        hub_revision(name)  # its weights are here, before anything runs
        return Entrant(name, name, "floor", seeds=1)
    if name.endswith(CHAIN):
        plain = entrant(name.removesuffix(CHAIN), seeds)
        standing = "variant" if plain.standing == "hbaf" else plain.standing
        return replace(plain, name=plain.name + CHAIN, standing=standing, chain=True)
    head, changes = _settings_of(name)
    seeds = changes.pop("seeds", seeds)
    if seeds is not None:  # how often is no part of what it is
        settings = ",".join(f"{key}={json.dumps(value)}" for key, value in changes.items())
        name = f"{head}:{settings}" if settings else head
    base, _, recipe = head.partition("@")
    found, given, takes = _standing_of(base)
    if found == "hbaf" and (changes or recipe):
        found = "variant"
    training = {key: value for key, value in changes.items() if key not in takes}
    unknown = sorted(set(training) - (set(TrainingParameters.model_fields) - NOT_OF_A_SYSTEM))
    if unknown == ["label_chain"]:
        raise UnknownSystem(f"{name}: in a comparison the chain stands in the name, `{base}{CHAIN}`, or `--chain`.")
    if unknown:
        raise UnknownSystem(
            f"{name}: no setting {', '.join(unknown)}; {base} takes {', '.join(sorted(takes))}, and what `training` "
            "takes except the seed."
        )
    model = {**given, **{key: value for key, value in changes.items() if key in takes}}
    return Entrant(name, base, found, recipe or None, model, training, seeds)


@cache
def hub_revision(name: str) -> str:
    """Commit, or digest of a folder, of a published classifier.

    Raises:
        hbaf.features.weights.WeightsError: its weights are not here, or it is no classifier.
    """
    return hub_model(name, {}).revision


def _settings_of(name: str) -> tuple[str, dict[str, Any]]:
    """`"hbaf@paper:gate=false,mu=0"` -> `"hbaf@paper"`, {"gate": False, "mu": 0}; a path keeps its own colon."""
    before, equals, after = name.partition("=")
    if not equals:
        return name, {}
    head, _, key = before.rpartition(":")
    return head, dict(_read_setting(name, part) for part in f"{key}={after}".split(","))


def _standing_of(base: str) -> tuple[Standing, dict[str, Any], set[str]]:
    """What a row may claim, what a variant changes, and which settings the system takes."""
    if base in VARIANTS:
        return "hbaf" if base == "hbaf" else "variant", VARIANTS[base], set(ModelParameters.model_fields)
    if is_own(base):
        kind = own_class(base)
        if not issubclass(kind, nn.Module):
            raise UnknownSystem(f"{base}: a system is a torch.nn.Module; try `hbaf models check {base}`.")
        return "own", {}, set(arguments_of(kind))
    if base in SYSTEMS:
        return standing(base), {}, set(arguments_of(SYSTEMS[base]))
    raise UnknownSystem(
        f"no system {base!r}; there are {', '.join(SYSTEMS)}, {', '.join(VARIANTS)}, the groups "
        f"{', '.join(GROUPS)}, and your own as `./file.py:Class`."
    )


def _read_setting(name: str, part: str) -> tuple[str, Any]:
    key, equals, value = part.partition("=")
    if not equals or not key.strip():
        raise UnknownSystem(f"{name}: {part!r} is not of the form NAME=VALUE.")
    try:
        return key.strip(), json.loads(value)
    except json.JSONDecodeError:
        return key.strip(), value


def arguments_of(kind: type[nn.Module]) -> dict[str, inspect.Parameter]:
    """What a system's class takes beside the widths of its inputs."""
    parameters = inspect.signature(kind).parameters
    return {name: parameter for name, parameter in parameters.items() if name not in INPUTS}


@cache
def code_digest(module: str) -> str:
    """sha256 of an imported module and of what it imports of `hbaf.model` and `hbaf.baselines`, in turn."""
    hasher = hashlib.sha256()
    # A folder inside the baselines is no part of what a system computes: runs that were kept before stay valid.
    files = {
        re.sub(r"^(hbaf\.baselines)\..*\.", r"\1.", name): path for name, path in closure(sys.modules[module]).items()
    }
    for name, path in sorted(files.items()):
        hasher.update(name.encode() + b"\0" + path.read_bytes())
    return hasher.hexdigest()


def closure(module: ModuleType) -> dict[str, Path]:
    """Name -> file of a module and of all modules of `hbaf.model` and `hbaf.baselines` that it imports, in turn."""
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        now = waiting.pop()
        path = Path(str(getattr(now, "__file__", "")))
        if now.__name__ in found or not path.is_file():
            continue
        found[now.__name__] = path
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith(("hbaf.model", "hbaf.baselines")):
                waiting.append(sys.modules[str(node.module)])
    return found
