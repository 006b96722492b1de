"""The table of extractors by name, and how names with an id and a user's own class are understood."""

import hashlib
import importlib.util
import inspect
import sys
from pathlib import Path
from typing import Any

from hbaf.features.commonsense import Comet
from hbaf.features.extractor import Extractor
from hbaf.features.finetuned import FineTuned
from hbaf.features.functionals import Functionals
from hbaf.features.imported import Imported
from hbaf.features.language_models import ENCODERS, LanguageModel
from hbaf.features.mfcc import Mfcc
from hbaf.features.speech_models import SPEECH, SpeechModel

# Each class takes the name it was asked for by first. `encoder` is any text model and `speech` any speech model, by hub
# id or folder behind a colon: `encoder:roberta-base`. `finetuned` is an encoder fine-tuned here, by its digest, and
# `imported` are published features by their name: nothing is computed.
EXTRACTORS: dict[str, type[Any]] = {
    "compare2016": Functionals,
    "egemaps": Functionals,
    "mfcc": Mfcc,
    "wav2vec2": SpeechModel,
    "data2vec-audio": SpeechModel,
    "speech": SpeechModel,
    "minilm": LanguageModel,
    "roberta-large": LanguageModel,
    "encoder": LanguageModel,
    "finetuned": FineTuned,
    "comet": Comet,
    "imported": Imported,
}


class OwnClassError(ValueError):
    """The user's own file holds no extractor of that name."""


def make_extractor(name: str, *, batch_size: int = 64, device: str = "auto", **settings: Any) -> Extractor:
    """An extractor by its name.

    Args:
        name: a name of `EXTRACTORS`; `kind:model`, as `speech:microsoft/wavlm-base-plus`; or `./mine.py:MyFeatures`, a
            class of one's own that keeps to the protocol.
        batch_size: of the torch models; changes the speed, never the column's digest.
        device: of the torch models: "auto", "cpu" or "cuda"; changes the speed, never the column's digest.
        settings: what the class takes beside them; part of the digest.

    Raises:
        ValueError: no such name or setting.
        hbaf.features.weights.WeightsError: the model's weights are not on this machine.
    """
    kind, called, settings = _resolved(name, settings)
    known = [
        setting for setting in inspect.signature(kind).parameters if setting not in ("name", "batch_size", "device")
    ]
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ValueError(f"{name}: no setting {', '.join(unknown)}; it takes: {', '.join(known) or 'none'}")
    takes = inspect.signature(kind).parameters
    runtime = {key: value for key, value in {"batch_size": batch_size, "device": device}.items() if key in takes}
    extractor: Extractor = kind(**({"name": called} if "name" in takes else {}), **runtime, **settings)
    return extractor


def licence_of(name: str) -> tuple[str, bool]:
    """Licence of what a name of `EXTRACTORS` makes, and whether it allows commercial use; needs no weights."""
    known = ENCODERS.get(name) or SPEECH.get(name)
    return (known.licence, True) if known else (EXTRACTORS[name].licence, EXTRACTORS[name].commercial)


def _resolved(name: str, settings: dict[str, Any]) -> tuple[type[Any], str, dict[str, Any]]:
    """The class, the name that it is called by, and its settings."""
    path, colon, own = name.rpartition(":")
    if path.endswith(".py"):
        return _own_class(Path(path), own), own, settings
    kind, colon, model = name.partition(":")
    if kind not in EXTRACTORS or (colon and not model):
        raise ValueError(
            f"no extractor {name!r}; there are: {', '.join(EXTRACTORS)}. Other models go by `encoder:ID` (text) or "
            "`speech:ID` (audio) with a hub id or folder, a class of your own by `./file.py:Class`."
        )
    return EXTRACTORS[kind], kind, {**settings, "model": model} if colon else settings


def _own_class(path: Path, name: str) -> type[Any]:
    path = path.expanduser().absolute()
    if not path.is_file():
        raise OwnClassError(f"{path}: no such file. The name of an own extractor is `path/to/file.py:Class`.")
    # Named by content: the class is loaded once, and again after the file was changed.
    source = path.read_bytes()
    module_name = f"own_{hashlib.sha256(source).hexdigest()[:16]}"
    if module_name not in sys.modules:
        spec = importlib.util.spec_from_file_location(module_name, path)
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        try:
            # Not through the loader: its bytecode cache misses a change of equal length within the same second.
            exec(compile(source, str(path), "exec"), module.__dict__)
        except BaseException:
            del sys.modules[module_name]
            raise
    found = getattr(sys.modules[module_name], name, None)
    if not isinstance(found, type):
        raise OwnClassError(f"{path}: holds no class {name}. The name of an own extractor is `path/to/file.py:Class`.")
    return found
