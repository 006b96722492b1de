"""Pretrained weights that the settings need, extras, and the licences of what extractors make."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hbaf.doctor.finding import Finding, bad, note, ok
from hbaf.features.audio.window_networks import NETWORKS
from hbaf.features.columns import names
from hbaf.features.fetch import verify_weights
from hbaf.features.registry import EXTRACTORS, licence_of, make_extractor
from hbaf.parameters import FeatureParameters

EXTRAS = "pip install 'hbaf[examples]'"


def look(features: FeatureParameters) -> Iterator[Finding]:
    """Whether the weights that the settings need are here and whole."""
    for modality, name in names(features).items():
        settings: dict[str, Any] = dict(features.settings.get(modality, {}))
        if "download" not in settings and ":" not in name and name not in ("compare2016", "egemaps", "mfcc"):
            settings["download"] = False  # a check must not fetch gigabytes
        try:
            extractor = make_extractor(name, **settings)
        except ValueError as error:
            yield bad(f"{modality} features", str(error), "`hbaf models list` shows what there is")
            continue
        except RuntimeError as error:  # WeightsError: it names the way to get them
            brings = "convert" if name in NETWORKS else "fetch"
            yield bad(f"{modality} features", str(error), f"hbaf models {brings} {name}")
            continue
        found = getattr(extractor, "weights", None)
        damaged = None if found is None else _damaged(found.folder)
        if damaged is not None:
            yield bad(f"{modality} features", damaged, f"delete the file, then `hbaf models fetch {name}`")
        else:
            where = "" if found is None else f", weights {found.model} {found.revision[:12]}"
            yield ok(f"{modality} features", f"{name}{where}")
    for problem in verify_weights():
        yield bad("weights", problem, "`hbaf models verify` after it was fetched again")
    if importlib.util.find_spec("espeakng_loader") is None:
        yield note("speech synthesiser", "not installed: the example corpus cannot be spoken", EXTRAS)
    else:
        yield ok("speech synthesiser", "installed (GPL-3, in a process of its own, for the example corpus alone)")


def licences() -> Iterator[Finding]:
    """The licence of every extractor."""
    for name in EXTRACTORS:
        licence, commercial = licence_of(name)
        if commercial or licence.startswith(("of the", "unknown")):
            yield ok(f"licence of {name}", licence)
        else:
            message = f"{licence}: NOT for commercial use, features and models included"
            yield note(
                f"licence of {name}", message, "`--set features.audio=mfcc` is free" if "openS" in licence else ""
            )


def _damaged(folder: Path) -> str | None:
    """Whether a weights file is cut off or no safetensors at all: its header says how long it is."""
    from safetensors import SafetensorError, safe_open

    for file in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(file, framework="numpy"):
                pass
        except (SafetensorError, OSError) as error:
            return f"{file}: damaged ({error})"
    return None
