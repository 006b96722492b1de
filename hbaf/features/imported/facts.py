"""Published features by their name, `imported:<name>` or `imported:<name>/<feature>`, in the place of an extractor.

What they are is written in `imported-columns/<name>.json` of the home; the vectors are in the feature store
(`hbaf.features.imported.columns`).
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from hbaf.corpus.readers.folder import safe_name
from hbaf.corpus.schema import CorpusError
from hbaf.home import directory, home_folder

KIND = "imported"

log = logging.getLogger(__name__)


class Imported:
    """Stands where an extractor stands, to be asked for identity and licence; it computes nothing."""

    licence: ClassVar[str] = "unknown: published features"
    commercial: ClassVar[bool] = False
    in_processes: ClassVar[bool] = False
    selected: ClassVar[bool] = False

    def __init__(self, model: str) -> None:
        """`model` is what stands behind `imported:`.

        Raises:
            CorpusError: nothing was imported under that name, or it has several features and none is named.
        """
        facts = imported_facts(model)
        self.name = f"{KIND}:{model}"
        self.dim = int(facts["dim"])
        self.modality: Literal["audio", "text"] = facts["modality"]
        self._identity = dict(facts["identity"])

    def identity(self) -> dict[str, object]:
        """What the vectors depend on, as noted at the import."""
        return dict(self._identity)

    def extract(self, items: Sequence[np.ndarray] | Sequence[str]) -> np.ndarray:
        """Always raises CorpusError: published features cannot be computed."""
        raise CorpusError(
            f"{self.name}: published features cannot be computed for other utterances. Import a file that has them: "
            "`hbaf import FILE --like ... --for SOURCE`."
        )


def is_imported(name: str) -> bool:
    """Whether an extractor's name stands for published features: `imported:...`."""
    return name.startswith(f"{KIND}:")


def imported_facts(model: str) -> dict[str, Any]:
    """What was noted of one feature at the import: `dim`, `modality`, `identity` and more.

    Args:
        model: `<name>` or `<name>/<feature>`, what stands behind `imported:`.

    Raises:
        CorpusError: nothing was imported under that name, or it has several features and none is named.
    """
    name, _, feature = model.partition("/")
    try:
        described: dict[str, dict[str, Any]] = json.loads(facts_file(name).read_text())
    except FileNotFoundError as error:
        known = ", ".join(sorted(path.stem for path in (home_folder() / "imported-columns").glob("*.json")))
        raise CorpusError(
            f"{KIND}:{model}: nothing was imported under that name; there is: {known or 'nothing yet'}. Import the "
            "file first: `hbaf import FILE --like ...`."
        ) from error
    if not feature and len(described) == 1:
        return next(iter(described.values()))
    if feature not in described:
        raise CorpusError(
            f"{KIND}:{model}: which feature? There are: {', '.join(f'{KIND}:{name}/{known}' for known in described)}."
        )
    return described[feature]


def facts_file(name: str) -> Path:
    """Where the facts of an import lie; the file need not exist."""
    return directory("imported-columns") / f"{safe_name(name)}.json"
