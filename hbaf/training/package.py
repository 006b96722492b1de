"""The model package: a folder of safetensors + JSON that holds everything a prediction needs. No pickle.

package.json                 what was trained on what: parameters, dims, emotions, digests, versions
model.safetensors            weights
audio_selection.safetensors  fitted scaling and selection
text_scaling.safetensors     only when text is scaled
floors.safetensors           only of single runs: what the model was first held against (`quality/floors.py`)
encoders/<digest>/           only when an encoder was fine-tuned: it travels with the model
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hbaf.features.columns import names
from hbaf.features.finetuned import adopt, carry
from hbaf.features.own_class import check_named, own_digests
from hbaf.files import sync_tree
from hbaf.home import write_atomically
from hbaf.model.build import build_hbaf
from hbaf.model.ensemble import Ensemble
from hbaf.model.hbaf import HBAF
from hbaf.model.label_chain import Chained, LabelChain
from hbaf.parameters import FeatureParameters, ModelParameters, TrainingParameters
from hbaf.training.data import Representation
from hbaf.training.quality.calibration import Calibration

OWN_CLASSES = "own_classes"  # in `origin`: name -> sha256 of the file
FORMAT = 2  # 1: before calibration; still read


class PackageError(ValueError):
    """A folder is no usable model package."""


@dataclass(frozen=True)
class PackageFacts:
    """What package.json says.

    Attributes:
        emotions: label set in the order of the class indices.
        audio_dim, text_dim, commonsense_dim: widths of the model's inputs; commonsense_dim None without commonsense.
        extractors: modality -> identity of the extractor whose vectors the model was trained on.
        licences: modality -> licence of those features.
        commercial: whether every one of those licences allows commercial use.
        origin: corpus name and digests, seed, library versions, code commit: how to walk back from a prediction.
        dev_metrics: metrics on dev of the kept checkpoint.
        calibration: temperature of the probabilities and the threshold of `uncertain`; neutral where never fitted.
        missing: modality -> weighted F1 on dev with that modality missing everywhere; empty where never measured.
        trained_to_miss: "audio" and "text" -> whether a prediction without it is more than a guess.
    """

    emotions: tuple[str, ...]
    audio_dim: int
    text_dim: int
    commonsense_dim: int | None
    features: FeatureParameters
    model: ModelParameters
    training: TrainingParameters
    extractors: dict[str, dict[str, Any]] = field(default_factory=dict)
    licences: dict[str, str] = field(default_factory=dict)
    commercial: bool = False
    origin: dict[str, Any] = field(default_factory=dict)
    dev_metrics: dict[str, float] = field(default_factory=dict)
    calibration: Calibration = field(default_factory=Calibration)
    missing: dict[str, float] = field(default_factory=dict)
    trained_to_miss: dict[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelPackage:
    """A trained system with all that a prediction needs.

    Attributes:
        facts: what was trained on what; package.json.
        representation: fitted on train; turns raw vectors into the system's inputs.
        system: HBAF, an ensemble of it, or either with the label chain.
    """

    facts: PackageFacts
    representation: Representation
    system: nn.Module

    def save(self, folder: Path) -> Path:
        """Writes the package; package.json comes last, so a folder with it is whole."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: value.detach().cpu().contiguous() for name, value in self.system.state_dict().items()}
        save_file(weights, folder / "model.safetensors")
        self.representation.save(folder)
        for extractor in names(self.facts.features).values():
            carry(extractor, folder)
        facts = {
            "format": FORMAT,
            **asdict(self.facts),
            "origin": self._origin(),
            "features": self.facts.features.model_dump(mode="json"),
            "model": self.facts.model.model_dump(mode="json"),
            "training": self.facts.training.model_dump(mode="json"),
            "calibration": self.facts.calibration.as_json(),
        }
        sync_tree(folder)
        write_atomically(folder / "package.json", json.dumps(facts, indent=1, sort_keys=True).encode())
        return folder

    def _origin(self) -> dict[str, Any]:
        """With the digests of own classes; a package that was loaded keeps those that it was trained with."""
        origin = self.facts.origin
        own = {} if OWN_CLASSES in origin else own_digests(names(self.facts.features).values())
        return {**origin, OWN_CLASSES: own} if own else origin

    @staticmethod
    def load(folder: Path, device: torch.device | str = "cpu") -> "ModelPackage":
        """Reads a package into a system in evaluation mode.

        Raises:
            PackageError: no package there, or one of a newer format.
            hbaf.features.own_class.NotNamedError: it reads features of an own class that this user has not named.
        """
        from safetensors.torch import load_file

        try:
            values = json.loads((folder / "package.json").read_text())
        except FileNotFoundError as error:
            raise PackageError(f"{folder}: no package.json, so no model package. Train one: `hbaf train`.") from error
        if values.pop("format") > FORMAT:
            raise PackageError(f"{folder}: written by a newer hbaf. Upgrade hbaf to use it.")
        model = ModelParameters(**values["model"])
        facts = PackageFacts(
            **{
                "trained_to_miss": misses_by_settings(model),  # of a package written before it was recorded
                **values,
                "emotions": tuple(values["emotions"]),
                "calibration": Calibration.from_json(values.get("calibration")),
                "features": FeatureParameters(**values["features"]),
                "model": model,
                "training": TrainingParameters(**values["training"]),
            }
        )
        check_named(names(facts.features).values(), facts.origin.get(OWN_CLASSES, {}), f"the model in {folder}")
        adopt(folder)
        system = build_system(facts)
        system.load_state_dict(load_file(folder / "model.safetensors"))
        return ModelPackage(facts, Representation.load(folder, facts.features), system.to(device).eval())


def build_system(facts: PackageFacts) -> nn.Module:
    """What a package holds, as the facts describe it: one member or several, and the label chain where there is one."""
    members = [build_untrained(facts) for _ in range(facts.training.members)]
    system: nn.Module = members[0] if len(members) == 1 else Ensemble(members)
    if facts.training.label_chain == "none":
        return system
    return Chained(system, LabelChain(len(facts.emotions), causal=facts.training.label_chain == "causal"))


def build_untrained(facts: PackageFacts) -> HBAF:
    """One member, with fresh weights."""
    return build_hbaf(
        facts.model,
        audio_dim=facts.audio_dim,
        text_dim=facts.text_dim,
        commonsense_dim=facts.commonsense_dim,
        emotions=len(facts.emotions),
    )


def misses_by_settings(model: ModelParameters) -> dict[str, bool]:
    """Whether the settings alone say that a model can do without a modality, for "audio" and for "text"."""
    dropped = model.variant == "bimodal" and model.modality_dropout > 0
    return {"audio": dropped or model.variant == "text", "text": dropped or model.variant == "audio"}
