"""The table of extractors by name."""

import inspect
from typing import Any

from hbaf.features.commonsense import Comet
from hbaf.features.compare2016 import Compare2016
from hbaf.features.extractor import Extractor
from hbaf.features.language_models import LanguageModel
from hbaf.features.mfcc import Mfcc

# Each class takes the name it was asked for by first. `encoder` is any text model: `model="roberta-base"` or a folder.
EXTRACTORS: dict[str, type[Any]] = {
    "compare2016": Compare2016,
    "mfcc": Mfcc,
    "minilm": LanguageModel,
    "roberta-large": LanguageModel,
    "encoder": LanguageModel,
    "comet": Comet,
}


def make_extractor(name: str, *, batch_size: int = 64, device: str = "auto", **settings: Any) -> Extractor:
    """An extractor by its name.

    Args:
        name: a name of `EXTRACTORS`.
        batch_size: of the torch models; changes the speed, never the column's digest.
        device: of the torch models: "auto", "cpu" or "cuda"; changes the speed, never the column's digest.
        settings: what the class takes beside them; part of the digest.

    Raises:
        ValueError: no such name or setting.
        hbaf.features.weights.WeightsError: the model's weights are not on this machine.
    """
    if name not in EXTRACTORS:
        raise ValueError(
            f"no extractor {name!r}; there are: {', '.join(EXTRACTORS)}. "
            "Any other text encoder goes by `encoder` with the setting `model`."
        )
    kind = EXTRACTORS[name]
    known = [
        setting for setting in inspect.signature(kind).parameters if setting not in ("name", "batch_size", "device")
    ]
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ValueError(f"{name}: no setting {', '.join(unknown)}; it takes: {', '.join(known) or 'none'}")
    runtime = {} if kind.in_processes else {"batch_size": batch_size, "device": device}
    extractor: Extractor = kind(name, **runtime, **settings)
    return extractor
