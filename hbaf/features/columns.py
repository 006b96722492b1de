"""All the columns that a model reads, extracted in one go."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from feature_store.store import FeatureStore, open_store
from hbaf.corpus.schema import Corpus
from hbaf.features.cross_fit import extract_cross_fitted, is_fine_tuned
from hbaf.features.extract import ColumnReference, extract_column
from hbaf.features.extractor import Extractor, extractor_digest
from hbaf.features.imported.columns import imported_column
from hbaf.features.imported.facts import is_imported
from hbaf.features.registry import make_extractor
from hbaf.features.selection.audio_selection import AudioSelection
from hbaf.features.selection.selected import extract_selected
from hbaf.home import directory
from hbaf.parameters import FeatureParameters


class ExtractorMismatch(ValueError):
    """An extractor here makes other vectors than the ones that a model was trained on."""


@dataclass(frozen=True)
class Columns:
    """The feature columns that a model reads: small enough to travel between tasks."""

    audio: ColumnReference
    text: ColumnReference
    commonsense: ColumnReference | None = None

    def by_modality(self) -> dict[str, ColumnReference]:
        """Modality ("audio", "text" and, where there is one, "commonsense") -> column."""
        named = {"audio": self.audio, "text": self.text, "commonsense": self.commonsense}
        return {modality: column for modality, column in named.items() if column is not None}

    def digests(self) -> dict[str, str]:
        """Modality -> digest of what its extractor depends on."""
        return {modality: column.digest for modality, column in self.by_modality().items()}


def default_store(url: str | None = None) -> FeatureStore:
    """The store at a folder or URL; without one, in the home folder."""
    return open_store(url or str(directory("features")))


def extract_features(
    corpus: Corpus,
    features: FeatureParameters,
    store: FeatureStore | None = None,
    *,
    out_of_fold: bool = True,
    selection: AudioSelection | None = None,
    run: str = "",
    progress: bool = False,
) -> Columns:
    """Extracts what is missing of every column that the settings name.

    Args:
        store: default: the one that the settings name, else the store in the home.
        out_of_fold: train utterances get their vectors of a fine-tuned encoder from the part that has not seen them;
            False, for scoring, takes the whole encoder for all.
        selection: of a model that only scores: where it chooses among the audio numbers, only those are stored.
        run: id of the run that made that model.
    """
    store = store or default_store(features.store)
    columns = {
        modality: _way(modality, name, out_of_fold, selection, run)(
            corpus,
            name,
            store,
            settings=features.settings.get(modality),
            workers=features.workers,
            batch_size=features.batch_size,
            device=features.device,
            progress=progress,
        )
        for modality, name in names(features).items()
    }
    return Columns(**columns)


def _way(
    modality: str, name: str, out_of_fold: bool, selection: AudioSelection | None, run: str
) -> Callable[..., ColumnReference]:
    """How a column of that name is made."""
    if is_imported(name):
        return imported_column
    if modality == "audio" and selection is not None and selection.indices is not None:
        return partial(extract_selected, selection=selection, run=run)
    return extract_cross_fitted if out_of_fold and is_fine_tuned(name) else extract_column


def names(features: FeatureParameters) -> dict[str, str]:
    """modality -> extractor name: "audio", "text" and, where set, "commonsense"."""
    named = {"audio": features.audio, "text": features.text, "commonsense": features.commonsense}
    return {modality: name for modality, name in named.items() if name is not None}


def extractors(features: FeatureParameters) -> dict[str, Extractor]:
    """modality -> extractor, to ask for identity and licence."""
    settings: dict[str, Any] = dict(features.settings)
    return {modality: make_extractor(name, **settings.get(modality, {})) for modality, name in names(features).items()}


def check_identities(features: FeatureParameters, trained_on: dict[str, dict[str, Any]]) -> None:
    """Holds the extractors of this installation against those that a model was trained on.

    Raises:
        ExtractorMismatch: one of them makes other vectors.
    """
    for modality, extractor in extractors(features).items():
        expected = trained_on.get(modality)
        if expected is not None and extractor.identity() != expected:
            raise ExtractorMismatch(
                f"{modality}: this installation's {extractor.name} ({extractor_digest(extractor)[:12]}) is not the one "
                f"that the model was trained on: {extractor.identity()} here, {expected} there. Install the version of "
                "hbaf that trained the model, or train again."
            )
