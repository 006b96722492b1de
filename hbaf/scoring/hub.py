"""A published emotion classifier as a model of its own kind: one utterance at a time, not trained on your data.

First scores before anybody has labelled anything, and a floor for a model of one's own (docs/calls.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd

from feature_store.store import FeatureStore
from hbaf.corpus.labels import plain_label
from hbaf.corpus.schema import Corpus, CorpusError
from hbaf.features.extract import extract_column, read_column
from hbaf.features.hub_classifiers import HubClassifier
from hbaf.features.registry import kept_extractors, make_extractor
from hbaf.scoring.purpose import Purpose, PurposeError

if TYPE_CHECKING:
    from hbaf.training.evaluate import SplitPredictions

PREFIX = "hub:"  # before a hub id or a folder, where the name of a registered model could stand
SURE = 0.5  # confidence below which a prediction is uncertain; nobody has calibrated it on these conversations


@dataclass(frozen=True, eq=False)
class HubModel:
    """A classifier, and what its labels are called here.

    Attributes:
        name: as it was asked for, `hub:ID`.
        revision: commit, or digest of a folder.
        modality: what it reads, audio or text.
        emotions: C emotions, in the order of its labels.
        merge: (L, C) 1 where a label counts as an emotion; a label that counts as none has a row of zeros.
    """

    name: str
    revision: str
    modality: str
    emotions: tuple[str, ...]
    merge: np.ndarray

    @property
    def label(self) -> str:
        """The name, `@` and the revision, as every row carries them."""
        return f"{self.name}@{self.revision[:12]}"

    @property
    def notice(self) -> str:
        """What people must know before they believe its scores."""
        what = "sound" if self.modality == "audio" else "words"
        return (
            f"scored with {self.label}, a published model that was not trained on your data: it judges the {what} of "
            "each utterance by itself, and its probabilities are not calibrated here. Label some of them and train a "
            "model of your own before you rely on them."
        )

    @property
    def trained_to_miss(self) -> dict[str, bool]:
        """Modality -> whether an utterance without it is scored."""
        return {name: name != self.modality for name in ("audio", "text")}

    def predict(
        self, corpus: Corpus, store: FeatureStore, *, workers: int | None = None, progress: bool = False
    ) -> pd.DataFrame:
        """A row for each utterance, as `hbaf.inference.predictor.Predictor.predict` makes them."""
        with kept_extractors():
            reference = extract_column(corpus, self.name, store, workers=workers, progress=progress)
        shares, there = read_column(corpus, reference, store)
        kept = shares @ self.merge
        probability = np.where(there[:, None], kept / np.maximum(kept.sum(1, keepdims=True), 1e-9), np.nan)
        chosen = np.where(there, np.nan_to_num(probability).argmax(1), -1)
        label = [self.emotions[at] if at >= 0 else None for at in chosen]
        confidence = np.where(there, np.nan_to_num(probability).max(1), np.nan).astype(np.float32)
        nothing = pd.Series([None] * len(label), dtype="str")
        alone = {
            f"{name}_{what}": value if name == self.modality else empty
            for name in ("audio", "text")
            for what, value, empty in (
                ("label", label, nothing),
                ("confidence", confidence, np.full(len(label), np.nan, np.float32)),
            )
        }
        return pd.DataFrame(
            {
                "utterance_id": corpus.utterances["utterance_id"].to_numpy(),
                "label": label,
                "confidence": confidence,
                "uncertain": confidence < SURE,
                **{f"p_{emotion}": probability[:, at] for at, emotion in enumerate(self.emotions)},
                **alone,
            }
        )

    def measured(self, table: pd.DataFrame, corpus: Corpus, final_reason: str = "") -> "SplitPredictions":
        """Its predictions of dev among the corpus's own emotions, as a floor beside systems that were trained there.

        An emotion that only one of the two knows is never said. Where it says nothing, as of an utterance without
        words, all emotions are equally likely.

        Args:
            table: of all utterances, as `predict` makes it.
            final_reason: why the test split is used; empty: dev.
        """
        from hbaf.training.evaluate import predictions_of

        kept = np.stack([table.get(f"p_{emotion}", np.zeros(len(table))) for emotion in corpus.emotions], axis=1)
        total = np.nan_to_num(kept).sum(1, keepdims=True)
        kept = np.where(total > 0, np.nan_to_num(kept) / np.maximum(total, 1e-9), 1 / len(corpus.emotions))
        aligned = pd.DataFrame(kept, columns=[f"p_{emotion}" for emotion in corpus.emotions])
        aligned["utterance_id"] = table["utterance_id"]
        return predictions_of(aligned, corpus, corpus.emotions, final_reason=final_reason)


def is_hub(model: str | None) -> bool:
    """Whether a name of a model is one of the hub."""
    return model is not None and model.startswith(PREFIX)


def hub_model(name: str, labels: Mapping[str, str], purpose: Purpose = "research") -> HubModel:
    """A classifier by `hub:ID` or `hub:FOLDER`.

    Args:
        labels: label in plain spelling -> emotion, "" for none, as `Corpus.labels`; others keep their names.

    Raises:
        hbaf.features.weights.WeightsError: its weights are not here, or it is no classifier.
        CorpusError: the map leaves fewer than two emotions.
        PurposeError: commercial use, since nobody here knows its licence.
    """
    extractor = cast("HubClassifier", make_extractor(name))
    if purpose == "commercial":
        raise PurposeError(
            f"--purpose commercial: the licence of {name} is not known here. Read the model's card; where it allows "
            "your purpose, label what this model suggests and train one of your own on free features."
        )
    called = [labels.get(plain_label(label), plain_label(label)) for label in extractor.labels]
    emotions = tuple(dict.fromkeys(emotion for emotion in called if emotion))
    if len(emotions) < 2:
        raise CorpusError(
            f"corpus.labels: of the labels of {name} ({', '.join(extractor.labels)}) {len(emotions)} emotions are "
            "left. Keep two or more."
        )
    merge = np.array([[emotion == one for emotion in emotions] for one in called], np.float32)
    return HubModel(name, extractor.weights.revision, extractor.modality, emotions, merge)
