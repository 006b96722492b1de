"""One thread that scores: conversations that wait are scored together, and nothing of them is kept here.

What an open conversation needs for its next turn, its rows and their vectors, goes back to whoever asked (`Kept`).
"""

import logging
import math
import queue
import tempfile
import threading
import uuid
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd

import hbaf
from feature_store.store import FeatureStore
from hbaf.corpus.schema import Corpus, CorpusError, empty_splits
from hbaf.features.columns import check_identities, extract_features, extractors, names
from hbaf.features.extractor import context_of
from hbaf.features.imported.facts import is_imported
from hbaf.features.registry import kept_extractors
from hbaf.inference.causal import CAUSAL, reads_later_turns
from hbaf.inference.predictor import Predictor
from hbaf.parameters import ServeParameters
from hbaf.registry.cached_champion import Champion
from hbaf.scoring.purpose import Purpose, check_purpose
from hbaf.scoring.schema import SCHEMA_VERSION, Provenance, as_rows
from hbaf.scoring.score import with_inputs
from hbaf.serving.conversation import SOURCE, Part, Received, RequestError, Turn, measured
from hbaf.serving.guard import ServeError
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


@dataclass(frozen=True)
class Kept:
    """What an open conversation has to know of its turns so far: some columns of them and vectors, in one order."""

    utterances: pd.DataFrame
    vectors: Vectors


@dataclass(frozen=True)
class Answer:
    """A row for each new turn, ready for strict JSON, and the conversation with them."""

    rows: list[dict[str, Any]]
    kept: Kept


@dataclass(frozen=True)
class _Job:
    part: Part
    before: Kept | None
    table: pd.DataFrame | None
    answer: "Future[Answer]" = field(default_factory=Future)


class Scorer:
    """The champion, loaded once, and the thread that it scores in.

    Args:
        champion: is served until the process ends, whatever is promoted meanwhile.
        purpose: what the scores are made for.
        limits: of requests, and of how many wait.

    Raises:
        ServeError: it reads imported features, which no new conversation has.
        hbaf.scoring.purpose.PurposeError: a licence forbids the purpose.
        hbaf.features.columns.ExtractorMismatch: this installation makes other features than it was trained on.
    """

    def __init__(self, champion: Champion, purpose: Purpose, limits: ServeParameters) -> None:
        self.champion, self.purpose, self.limits = champion, purpose, limits
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
        self._jobs: queue.Queue[_Job | None] = queue.Queue(limits.waiting)
        self._ready = threading.Event()
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
        """Begins to score; returns when weights are loaded."""
        self._thread.start()
        self._ready.wait()

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

    def submit(self, part: Part, before: Kept | None = None, table: pd.DataFrame | None = None) -> "Future[Answer]":
        """Scores turns of a conversation, of which no others may wait.

        Args:
            part: the turns.
            before: what an earlier answer gave of the same conversation.
            table: the turns, measured, where they have recordings; these are there until the answer is.

        Raises:
            RequestError: too many wait.
        """
        job = _Job(part, before, table)
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            raise RequestError(
                f"{self._jobs.maxsize} conversations wait to be scored already (serve.waiting). Try again later.", 503
            ) from None
        return job.answer

    def _work(self) -> None:
        with kept_extractors(), tempfile.TemporaryDirectory(prefix="hbaf-serve-") as nothing:
            self._nothing = Path(nothing)
            first = _Job(Part("first", Received((Turn(text="Good morning."),))), None, None)
            self._answer([first])
            self._ready.set()
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
            if not isinstance(error, CorpusError):
                log.exception("a conversation could not be scored")
            jobs[0].answer.set_exception(error)
            return
        for job, answer in zip(jobs, answers, strict=True):
            job.answer.set_result(answer)

    def _score(self, jobs: Sequence[_Job]) -> list[Answer]:
        words = [job.part for job in jobs if job.table is None]
        tables = [measured(words, self._nothing, self.limits)] if words else []
        new = pd.concat([*tables, *(job.table for job in jobs if job.table is not None)], ignore_index=True)
        before = [job.before for job in jobs if job.before is not None]
        known = sum(len(one.utterances) for one in before)
        whole = pd.concat([*(one.utterances for one in before), new[self._columns]], ignore_index=True)
        vectors = _joined([*(one.vectors for one in before), self._vectors(new, whole[:known])])
        predicted = self.predictor.predict(_corpus(whole), vectors)[known:]
        model, facts = self.champion.model, self.predictor.package.facts
        scores = with_inputs(_corpus(new), predicted, model.label, model.run_id, facts.trained_to_miss)
        table = as_rows(scores, self.predictor.emotions, self._provenance())
        rows = [_strict(row) for row in table.drop_columns([*LEFT_OUT]).to_pylist()]
        own, all_ = _places(new), _places(whole)
        return [
            Answer(
                [rows[place] for place in own[job.part.name]],
                Kept(whole.iloc[all_[job.part.name]], _joined([vectors], all_[job.part.name])),
            )
            for job in jobs
        ]

    @cached_property
    def _context(self) -> int:
        """Turns before that an extractor reads with each one."""
        return max(context_of(extractor) for extractor in extractors(self.features).values())

    @cached_property
    def _columns(self) -> list[str]:
        """Columns that later turns need of earlier ones; words only where an extractor reads them again."""
        return ["utterance_id", "corpus", "dialogue_id", "turn", "speaker", "emotion"] + (
            ["text", "text_problem"] if self._context else []
        )

    def _vectors(self, new: pd.DataFrame, before: pd.DataFrame) -> Vectors:
        """The vectors of new turns; the store that they pass through is in memory and removed at once."""
        table = new
        if self._context and len(before):  # their sound is not heard again, and is no longer there
            table = pd.concat([before.assign(audio=None, audio_problem="heard before"), new], ignore_index=True)
        folder = f"/hbaf-serve/{uuid.uuid4().hex}"
        selection, run = self.predictor.package.representation.audio, self.champion.model.run_id
        try:
            columns = extract_features(
                _corpus(table),
                self.features,
                FeatureStore(f"memory:/{folder}"),
                out_of_fold=False,
                selection=selection,
                run=run,
            )
            vectors = read_vectors(_corpus(table), columns)
        finally:
            with suppress(FileNotFoundError):  # nothing had words or sound
                fsspec.filesystem("memory").rm(folder, recursive=True)
        return _joined([vectors], slice(len(table) - len(new), None))

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


def _corpus(utterances: pd.DataFrame) -> Corpus:
    return Corpus(SOURCE, Path("/"), utterances, empty_splits())  # paths are absolute


def _places(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Conversation -> the places of its rows."""
    return {str(name): np.asarray(places) for name, places in table.groupby("dialogue_id").indices.items()}


def _joined(parts: Sequence[Vectors], rows: slice | np.ndarray = slice(None)) -> Vectors:
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
