"""The table of extractors by name, and how names with an id and a user's own class are understood."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from hbaf.features.audio.functionals import Functionals
from hbaf.features.audio.mfcc import Mfcc
from hbaf.features.audio.speech_models import SPEECH, SpeechModel
from hbaf.features.audio.window_networks import NETWORKS, WindowNetwork
from hbaf.features.extractor import Extractor
from hbaf.features.finetuned import FineTuned
from hbaf.features.hub_classifiers import HubClassifier
from hbaf.features.imported.facts import Imported
from hbaf.features.own_class import is_own, own_class
from hbaf.features.text.commonsense import Comet
from hbaf.features.text.language_models import ENCODERS, LanguageModel
from hbaf.settings import did_you_mean

# Each class takes the name it was asked for by first. `encoder` is any text model and `speech` any speech model, by hub
# id or folder behind a colon: `encoder:roberta-base`. `finetuned` is an encoder fine-tuned here, by its digest, and
# `imported` are published features by their name: nothing is computed. `hub` is a published emotion classifier, whose
# numbers are the probabilities of its own labels.
EXTRACTORS: dict[str, type[Any]] = {
    "compare2016": Functionals,
    "egemaps": Functionals,
    "mfcc": Mfcc,
    "wav2vec2": SpeechModel,
    "data2vec-audio": SpeechModel,
    "speech": SpeechModel,
    "vggish": WindowNetwork,
    "openl3": WindowNetwork,
    "minilm": LanguageModel,
    "roberta-large": LanguageModel,
    "encoder": LanguageModel,
    "finetuned": FineTuned,
    "comet": Comet,
    "hub": HubClassifier,
    "imported": Imported,
}


_kept: ContextVar[dict[str, Extractor] | None] = ContextVar("kept", default=None)


class ExtractorError(ValueError):
    """There is no such extractor, or it has no such setting."""


def check_name(name: str, modality: str) -> None:
    """Whether a name is that of an extractor for a modality; an own class is not loaded, no weights are looked for.

    Args:
        modality: "audio", "text" or "commonsense", which is inferred from the text.

    Raises:
        ExtractorError: it is not.
    """
    if is_own(name):
        return
    reads = getattr(_resolved(name, {})[0], "modality", None)
    if reads is not None and reads != modality.replace("commonsense", "text"):
        raise ExtractorError(f"features.{modality}: {name} reads {reads}; its setting is `features.{reads}`.")


@contextmanager
def kept_extractors() -> Iterator[None]:
    """Inside, in this thread, `make_extractor` gives one object for equal arguments: weights are loaded once."""
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def make_extractor(name: str, *, batch_size: int = 64, device: str = "auto", **settings: Any) -> Extractor:
    """An extractor by its name.

    Args:
        name: a name of `EXTRACTORS`; `kind:model`, as `speech:microsoft/wavlm-base-plus`; or `./mine.py:MyFeatures`, a
            class of one's own that keeps to the protocol.
        batch_size: of the torch models; changes the speed, never the column's digest.
        device: of the torch models: "auto", "cpu" or "cuda"; changes the speed, never the column's digest.
        settings: what the class takes beside them; part of the digest.

    Raises:
        ExtractorError: no such name or setting.
        hbaf.features.weights.WeightsError: the model's weights are not on this machine.
    """
    kept, key = _kept.get(), repr((name, batch_size, device, sorted(settings.items())))
    if kept is not None and key in kept:
        return kept[key]
    kind, called, settings = _resolved(name, settings)
    known = [
        setting for setting in inspect.signature(kind).parameters if setting not in ("name", "batch_size", "device")
    ]
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ExtractorError(f"{name}: no setting {', '.join(unknown)}; it takes: {', '.join(known) or 'none'}")
    takes = inspect.signature(kind).parameters
    runtime = {key: value for key, value in {"batch_size": batch_size, "device": device}.items() if key in takes}
    extractor: Extractor = kind(**({"name": called} if "name" in takes else {}), **runtime, **settings)
    if kept is not None:
        kept[key] = extractor
    return extractor


def licence_of(name: str) -> tuple[str, bool]:
    """Licence of what a name of `EXTRACTORS` makes, and whether it allows commercial use; needs no weights."""
    known = ENCODERS.get(name) or SPEECH.get(name) or NETWORKS.get(name)
    return (known.licence, True) if known else (EXTRACTORS[name].licence, EXTRACTORS[name].commercial)


def _resolved(name: str, settings: dict[str, Any]) -> tuple[type[Any], str, dict[str, Any]]:
    """The class, the name that it is called by, and its settings."""
    if is_own(name):
        return own_class(name), name.rpartition(":")[2], settings
    kind, colon, model = name.partition(":")
    if kind not in EXTRACTORS or (colon and not model):
        raise ExtractorError(
            f"no extractor {name!r}; there are: {', '.join(EXTRACTORS)}. Other models go by `encoder:ID` (text) or "
            "`speech:ID` (audio) with a hub id or folder, a class of your own by `./file.py:Class`."
            f"{did_you_mean(kind, list(EXTRACTORS))}"
        )
    return EXTRACTORS[kind], kind, {**settings, "model": model} if colon else settings
