"""The training core: what a single run, a trial of a search and a job of a comparison have in common."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import Callback
from torch import nn

from hbaf.corpus.schema import Corpus
from hbaf.features.columns import extractors
from hbaf.parameters import FeatureParameters, Settings
from hbaf.training.data import Dialogue, Representation, Vectors, fit_representation, load_split
from hbaf.training.duration import in_words, longest, side_by_side
from hbaf.training.evaluate import SplitPredictions
from hbaf.training.fit import best_epoch
from hbaf.training.members import train_members
from hbaf.training.package import ModelPackage, PackageFacts, build_untrained
from hbaf.training.run_log import MetricLog, SilentRunLog


@dataclass(frozen=True)
class RunData:
    """What runs on one corpus with one representation share, whatever else is asked of them.

    Attributes:
        representation: fitted on train.
    """

    corpus: Corpus
    vectors: Vectors
    representation: Representation

    @staticmethod
    def fitted(corpus: Corpus, vectors: Vectors, features: FeatureParameters) -> "RunData":
        """With the representation fitted on the labelled utterances of train."""
        selects = extractors(features)["audio"].selected
        return RunData(corpus, vectors, fit_representation(corpus, vectors, features, selects=selects))

    @cached_property
    def train(self) -> list[Dialogue]:
        """The dialogues of train."""
        return load_split(self.corpus, self.vectors, self.representation, "train")

    @cached_property
    def dev(self) -> list[Dialogue]:
        """The dialogues of dev."""
        return load_split(self.corpus, self.vectors, self.representation, "dev")

    @property
    def dims(self) -> dict[str, int | None]:
        """Widths of a system's inputs: `audio_dim`, `text_dim`, and `commonsense_dim` or None."""
        commonsense = self.vectors.commonsense
        return {
            "audio_dim": self.representation.audio_dim,
            "text_dim": self.vectors.text.shape[1],
            "commonsense_dim": None if commonsense is None else commonsense.shape[2],
        }

    def facts(self, settings: Settings, origin: dict[str, Any] | None = None) -> PackageFacts:
        """What a package of a run says before it is trained.

        Args:
            origin: what leads back from a prediction, beside corpus and seed.
        """
        features, model, training = settings
        named = extractors(features)
        return PackageFacts(
            emotions=self.corpus.emotions,
            **self.dims,  # type: ignore[arg-type]  # only commonsense_dim may be None
            features=features,
            model=model,
            training=training,
            extractors={modality: dict(extractor.identity()) for modality, extractor in named.items()},
            licences={m: extractor.licence for m, extractor in named.items()} | {"corpus": self.corpus.licence},
            commercial=all(extractor.commercial for extractor in named.values()),
            origin={"corpus": self.corpus.name, "seed": training.seed, **(origin or {})},
        )


@dataclass(frozen=True)
class TrainedRun:
    """What came of a run.

    Attributes:
        package: the system in evaluation mode, with its metrics on dev and not yet calibrated.
        predictions: of dev, by the whole.
        alone: weighted F1 on dev without the label chain.
        histories: metrics of each epoch, a list per member.
        seconds: that training took, in this process.
    """

    package: ModelPackage
    predictions: SplitPredictions
    alone: float
    histories: list[list[dict[str, float]]]
    seconds: float

    @property
    def kept(self) -> int:
        """The epoch of the first member that was kept, from 1."""
        history = self.histories[0]
        return history.index(dict(best_epoch(history, self.package.facts.training.monitor))) + 1

    @property
    def parameters(self) -> int:
        """Numbers that were trained."""
        return sum(p.numel() for p in self.package.system.parameters())


def train(
    settings: Settings,
    data: RunData,
    *,
    folder: Path,
    log: MetricLog | None = None,
    callbacks: Sequence[Callback] = (),
    build: Callable[[PackageFacts], nn.Module] = build_untrained,
    origin: dict[str, Any] | None = None,
    progress: bool = False,
) -> TrainedRun:
    """Trains on train and chooses the epoch on dev; the test split is not there.

    Args:
        folder: for checkpoints: a run that was interrupted goes on from them.
        log: gets the metrics of each epoch and the best ones.
        callbacks: of Lightning, for each member.
        build: makes a system with fresh weights; default: HBAF with `settings.model`. Members that are trained side by
            side need one that survives pickling.
        origin: see `RunData.facts`.
        progress: prints how long it takes at most, and draws bars.
    """
    facts = data.facts(settings, origin)
    training, member = settings.training, partial(build, facts)
    chooses = training.members > 1 and training.workers is None  # else nobody but a person asks how long it takes
    minutes = longest(member, data.train, data.dev, training) if progress or chooses else 0.0
    workers = side_by_side(training, minutes)
    if progress:
        print(in_words(minutes, training, workers))
    began = time.perf_counter()
    whole = train_members(
        member, data.train, data.dev, emotions=facts.emotions, training=training, folder=folder, workers=workers,
        log=SilentRunLog() if log is None else log, callbacks=callbacks, progress=progress,
    )  # fmt: skip
    facts = replace(facts, dev_metrics=whole.predictions.metrics())
    package = ModelPackage(facts, data.representation, whole.system)
    return TrainedRun(package, whole.predictions, whole.alone, whole.histories, time.perf_counter() - began)
