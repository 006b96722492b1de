"""One thread that scores: conversations that wait are scored together, and nothing of them is kept here.

What an open conversation needs for its next turn, its rows and their vectors, goes back to whoever asked (`Kept`).
"""

import logging
import math
import queue
import threading
import uuid
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import fsspec
import numpy as np
import pandas as pd

import hbaf
from feature_store.store import FeatureStore
from hbaf.corpus.schema import Corpus, is_missing
from hbaf.features.columns import check_identities, extract_features, names
from hbaf.features.extractor import context_of
from hbaf.features.imported.facts import is_imported
from hbaf.features.registry import kept_extractors, make_extractor
from hbaf.inference.causal import CAUSAL, reads_later_turns
from hbaf.inference.predictor import Predictor
from hbaf.registry.cached_champion import Champion
from hbaf.scoring.purpose import Purpose, check_purpose
from hbaf.scoring.schema import SCHEMA_VERSION, Provenance, as_rows
from hbaf.scoring.score import with_inputs
from hbaf.serving.conversation import SOURCE, RequestError
from hbaf.training.data import Vectors, read_vectors

log = logging.getLogger(__name__)

TOGETHER = 64  # conversations scored at once, at most
# The same for all rows of an answer: stands in it once, as `model`.
SHARED = (
    "model_version", "run_id", "champion_from", "audio_features", "text_features", "purpose", "hbaf_version",
    "schema_version",
)  # fmt: skip
# Names of this server's own, and what only stored rows have.
LEFT_OUT = (
    *SHARED, "utterance_id", "conversation", "source", "dialogue_id", "emotion", "source_id", "arrival",
    "conversation_digest",
)  # fmt: skip


class ServeError(ValueError):
    """The champion cannot be served."""


@dataclass(frozen=True)
class Kept:
    """What an open conversation has to know of its turns so far: utterance table and vectors, in one order."""

    utterances: pd.DataFrame
    vectors: Vectors


@dataclass(frozen=True)
class Answer:
    """A row for each new turn, ready for strict JSON, and the conversation with them."""

    rows: list[dict[str, Any]]
    kept: Kept


@dataclass(frozen=True)
class _Job:
    corpus: Corpus
    before: Kept | None
    answer: "Future[Answer]" = field(default_factory=Future)


class Scorer:
    """The champion, loaded once, and the thread that it scores in.

    Args:
        champion: is served until the process ends, whatever is promoted meanwhile.
        purpose: what the scores are made for.
        waiting: most conversations that wait.

    Raises:
        ServeError: it reads imported features, which no new conversation has.
        hbaf.scoring.purpose.PurposeError: a licence forbids the purpose.
        hbaf.features.columns.ExtractorMismatch: this installation makes other features than it was trained on.
    """

    def __init__(self, champion: Champion, purpose: Purpose, *, waiting: int = 200) -> None:
        self.champion, self.purpose = champion, purpose
        self.predictor = Predictor.load(champion.model.folder)
        facts = self.predictor.package.facts
        self.features = facts.features.model_copy(update={"workers": 1})
        imported = [name for name in names(self.features).values() if is_imported(name)]
        if imported:
            raise ServeError(
                f"{champion.model.label} reads imported features ({', '.join(imported)}), which a new conversation "
                "does not have. Train a model on features that hbaf computes: `hbaf train SOURCE --set "
                "features.audio=mfcc --set features.text=minilm`, then `hbaf promote`."
            )
        check_purpose(purpose, facts)
        check_identities(self.features, facts.extractors)
        self.later = reads_later_turns(facts)
        self._jobs: queue.Queue[_Job | None] = queue.Queue(waiting)
        self._thread = threading.Thread(target=self._work, name="scorer", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether conversations are scored."""
        return self._thread.is_alive()

    @property
    def model(self) -> dict[str, Any]:
        """What all rows share: model, features, purpose, versions."""
        shared = {**asdict(self._provenance()), "hbaf_version": hbaf.__version__, "schema_version": SCHEMA_VERSION}
        return {name: shared[name] for name in SHARED}

    def start(self) -> None:
        """Begins to score."""
        self._thread.start()

    def close(self) -> None:
        """Ends when everything that was taken in is scored."""
        self._jobs.put(None)
        self._thread.join()

    def check_causal(self) -> None:
        """Refuses a model that reads later turns.

        Raises:
            RequestError: it does.
        """
        if self.later:
            raise RequestError(
                f"{self.champion.model.label} reads later turns ({', '.join(self.later)}), so what it says of a turn "
                "changes as the conversation goes on. Send whole conversations to POST /score, or train a causal "
                f"model: `hbaf train SOURCE {' '.join(f'--set {setting}' for setting in CAUSAL)}`, `hbaf promote`.",
                409,
            )

    def submit(self, corpus: Corpus, before: Kept | None = None) -> "Future[Answer]":
        """Scores the turns of a conversation.

        Args:
            corpus: its new turns, measured; their files are there until the answer is.
            before: what an earlier answer gave of the same conversation.

        Raises:
            RequestError: too many wait.
        """
        job = _Job(corpus, before)
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            raise RequestError(
                f"{self._jobs.maxsize} conversations wait to be scored already (serve.waiting). Try again later.", 503
            ) from None
        return job.answer

    def _work(self) -> None:
        with kept_extractors():
            ended = False
            while not ended:
                jobs = [self._jobs.get()]
                while len(jobs) < TOGETHER and not self._jobs.empty():
                    jobs.append(self._jobs.get_nowait())
                ended = None in jobs
                self._answer([job for job in jobs if job is not None and job.answer.set_running_or_notify_cancel()])

    def _answer(self, jobs: Sequence[_Job]) -> None:
        try:
            answers = self._score(jobs) if jobs else []
        except Exception as error:
            if len(jobs) > 1:  # each by itself: one must not cost the others theirs
                for job in jobs:
                    self._answer([job])
                return
            log.exception("a conversation could not be scored")
            jobs[0].answer.set_exception(error)
            return
        for job, answer in zip(jobs, answers, strict=True):
            job.answer.set_result(answer)

    def _score(self, jobs: Sequence[_Job]) -> list[Answer]:
        new = self._vectors(jobs)
        kept = []
        for job, vectors in zip(jobs, new, strict=True):
            tables = [job.corpus.utterances] if job.before is None else [job.before.utterances, job.corpus.utterances]
            parts = [vectors] if job.before is None else [job.before.vectors, vectors]
            kept.append(Kept(pd.concat(tables, ignore_index=True), _joined(parts)))
        whole = jobs[0].corpus.with_utterances(pd.concat([one.utterances for one in kept], ignore_index=True))
        predicted = self.predictor.predict(whole, _joined([one.vectors for one in kept]))
        facts = self.predictor.package.facts
        scores = with_inputs(whole, predicted, self.champion.model, facts.trained_to_miss)
        table = as_rows(scores, self.predictor.emotions, self._provenance())
        rows = [_strict(row) for row in table.drop_columns([*LEFT_OUT]).to_pylist()]
        answers, end = [], 0
        for job, one in zip(jobs, kept, strict=True):
            end += len(one.utterances)
            answers.append(Answer(rows[end - len(job.corpus.utterances) : end], one))
        return answers

    def _vectors(self, jobs: Sequence[_Job]) -> list[Vectors]:
        """The vectors of each job's new turns; the store that they pass through is in memory and removed at once."""
        reads_before = any(
            context_of(make_extractor(name, **self.features.settings.get(modality, {})))
            for modality, name in names(self.features).items()
        )
        # Feature keys are by content, files lie below one root each: paths become absolute.
        tables = []
        for job in jobs:
            table = _with_absolute_paths(job.corpus)
            if reads_before and job.before is not None:  # their sound is not heard again, and need not be there
                before = job.before.utterances.assign(audio_problem="heard before")
                table = pd.concat([before, table], ignore_index=True)
            tables.append(table)
        joined = jobs[0].corpus.with_utterances(pd.concat(tables, ignore_index=True))
        folder = f"/hbaf-serve/{uuid.uuid4().hex}"
        store = FeatureStore(f"memory:/{folder}")
        try:
            columns = extract_features(
                joined,
                self.features,
                store,
                out_of_fold=False,
                selection=self.predictor.package.representation.audio,
                run=self.champion.model.run_id,
            )
            vectors = read_vectors(joined, columns)
        finally:
            with suppress(FileNotFoundError):  # nothing had words or sound
                fsspec.filesystem("memory").rm(folder, recursive=True)
        found, end = [], 0
        for job, table in zip(jobs, tables, strict=True):
            end += len(table)
            found.append(_joined([vectors], slice(end - len(job.corpus.utterances), end)))
        return found

    def _provenance(self) -> Provenance:
        return Provenance(
            source=SOURCE,
            model_version=self.champion.model.label,
            run_id=self.champion.model.run_id,
            champion_from=self.champion.champion_from,
            audio_features=self.features.audio,
            text_features=self.features.text,
            purpose=self.purpose,
            scored_at=datetime.now(UTC),
        )


def _with_absolute_paths(corpus: Corpus) -> pd.DataFrame:
    table = corpus.utterances
    paths = [None if is_missing(path) else str(corpus.root / str(path)) for path in table["audio"]]
    return table.assign(audio=pd.Series(paths, index=table.index, dtype="str"))


def _joined(parts: Sequence[Vectors], rows: slice = slice(None)) -> Vectors:
    """Vectors of several tables one after another, or some rows of that."""

    def join(name: str) -> Any:
        values = [getattr(part, name) for part in parts]
        return None if values[0] is None else np.concatenate(values)[rows]

    arrays = ("audio", "text", "commonsense", "has_audio", "has_text")
    return replace(parts[0], **{name: join(name) for name in arrays})


def _strict(row: dict[str, Any]) -> dict[str, Any]:
    """A row that strict JSON can hold: no NaN, times as ISO 8601."""
    return {name: _plain(dict(value) if name == "probabilities" and value else value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, datetime):
        return value.isoformat()
    return None if isinstance(value, float) and not math.isfinite(value) else value
