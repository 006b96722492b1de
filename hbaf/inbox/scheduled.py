"""Scheduled scoring: whatever is new in a source is read, judged, scored and published, and nothing twice.

Whoever calls it again, at once or after a kill, continues: what is published stands in the ledger, everything else is
taken up from the files. One run at a time works on a source; its shards may be spread over many machines.
"""

import logging
import os
import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, count
from pathlib import Path
from typing import Protocol, TypeVar

import pyarrow.parquet as pq

from hbaf.events.event import Event, Kind
from hbaf.events.outbox import deliver, note
from hbaf.home import directory
from hbaf.inbox.agreement import Agreement, Disagreement
from hbaf.inbox.entries import Inbox
from hbaf.inbox.ledger.database import Ledger, database_address
from hbaf.inbox.ledger.fence import CONNECTION_ENDED, Fence
from hbaf.inbox.ledger.records import LedgerError
from hbaf.inbox.ledger.source_ledger import SourceLedger
from hbaf.inbox.ledger.states import RunState, State
from hbaf.inbox.publish.exports import export
from hbaf.inbox.publish.living_report import write_living_report
from hbaf.inbox.publish.parquet import ParquetDataset
from hbaf.inbox.publish.postgres import PostgresResult
from hbaf.inbox.publish.publication import publications_in
from hbaf.inbox.shards import (
    ScoredShard,
    ScoringOrder,
    Shard,
    ValidatedShard,
    load_predictor,
    score_shard,
    validate_shard,
)
from hbaf.inbox.source import Arrival, Source, SourceParameters
from hbaf.inbox.way_out import lacks_all, with_command
from hbaf.registry.cached_champion import Champion, champion
from hbaf.scoring.purpose import Purpose, check_purpose
from hbaf.stop import clean_up

Task = TypeVar("Task")
Result = TypeVar("Result")
log = logging.getLogger(__name__)
QUARANTINE_SHARE = 0.05  # of what a run looked at, above which there is an event
TRIES = 3  # of one arrival in one run: once, and again where what it was equal to has changed


class NothingScored(RuntimeError):
    """Conversations are ready, and every one of them fails."""


class MapShards(Protocol):
    """How a step is applied to shards: here one after the other, or by a task runner on many machines."""

    def __call__(self, step: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterable[Result]:
        """Results in the order of the tasks, which may be made as they are asked for: only a few are taken ahead."""
        ...


def one_after_another(step: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
    """Runs the steps in this process."""
    return map(step, tasks)


@dataclass(frozen=True)
class SourceScores:
    """What a run did.

    Attributes:
        counts: conversations and arrivals by what became of them: published, unchanged, duplicate, quarantined ...
        rows: utterances that were published by this run.
        published: folder or URL of the Parquet dataset.
        report: the page of the source's report; None where it could not be written.
    """

    source: str
    model_version: str
    champion_from: str
    published: str
    rows: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    report: Path | None = None


def score_source(
    parameters: SourceParameters,
    *,
    purpose: Purpose,
    model: str | None = None,
    workers: int | None = None,
    map_shards: MapShards = one_after_another,
    wait: bool = True,
    now: Callable[[], float] = time.time,
) -> SourceScores:
    """Scores and publishes what is ready in a source, until nothing more is.

    Whoever calls it has applied retention before, so that what is exported here holds what is left.

    Args:
        model: registered name; default: the only one with a champion.
        wait: for another run on this source; else it is left to that one.

    Raises:
        hbaf.registry.models.NoModelError: no champion, here or in the registry.
        hbaf.scoring.purpose.PurposeError: a licence forbids the purpose.
        hbaf.inbox.source.SourceError: the source cannot be listed.
        hbaf.inbox.ledger.records.LedgerError: another source is published at its place.
        hbaf.inbox.ledger.database.SourceBusy: another run works on it, and `wait` is False.
        hbaf.inbox.ledger.fence.LostLock: another run may have begun, so this one has stopped.
        hbaf.inbox.agreement.Disagreement: what it published does not stand in the dataset as the ledger notes.
    """
    database = Ledger.open()
    database.of(parameters.label).check_place(parameters.place)
    with database.alone(parameters.label, parameters.place, wait=wait) as fence:
        ledger = database.of(parameters.label, now, fence)
        chosen = champion(model)
        check_purpose(purpose, load_predictor(chosen.model.folder).package.facts)
        places = Places.of(parameters, database)
        ledger.register(Source(parameters).shown, places.parquet.url)
        places.parquet.claim(fence)
        run = ledger.begin_run(chosen.model, champion_from=chosen.champion_from, purpose=purpose)
        work = _Run(parameters, ledger, fence, places, chosen, purpose, workers, run)
        try:
            work.until_nothing_is_ready(map_shards)
            fence.check()
            work.check_agreement()
            if waiting := Inbox(database, parameters.label).counts().get(State.WAITING, 0):
                work.counts[State.WAITING] = waiting
            export(places.parquet, parameters.also)
        except BaseException as error:
            message = f"{type(error).__name__}: {error}"
            clean_up("the run's entry", lambda: ledger.end_run(run, RunState.FAILED, work.sorted_counts(), message))
            if isinstance(error, Exception) and not fence.is_locked():  # whatever failed: another may work here
                raise fence.lost(CONNECTION_ENDED) from error
            raise
        finally:
            shutil.rmtree(work.folder, ignore_errors=True)
        ledger.end_run(run, RunState.FINISHED, work.sorted_counts())
        report = work.report(database)
    scored = SourceScores(
        parameters.label,
        chosen.model.label,
        chosen.champion_from,
        places.parquet.url,
        work.rows,
        work.sorted_counts(),
        report,
    )
    tell(scored)
    return scored


def tell(scored: SourceScores) -> None:
    """Sends events that wait and, where a run put too large a share into quarantine, one of that; counts only."""
    share = scored.counts.get("quarantined", 0) / max(1, sum(scored.counts.values()))
    if share > QUARANTINE_SHARE:
        message = f"{scored.source}: {share:.0%} of this run are in quarantine: `hbaf inbox list`"
        note(Event(Kind.QUARANTINED, scored.source, message, {"counts": scored.counts}))
    deliver()


@dataclass(frozen=True)
class Places:
    """Where results go."""

    parquet: ParquetDataset
    postgres: PostgresResult | None

    @classmethod
    def of(cls, parameters: SourceParameters, ledger: Ledger) -> "Places":
        """The places that a source's settings name."""
        wanted = parameters.postgres if parameters.postgres is not None else database_address() is not None
        if wanted and ledger.embedded:
            raise LedgerError("PostgreSQL is asked for, but HBAF_SCORES_DATABASE names no database.")
        return cls(ParquetDataset(parameters.place), PostgresResult(ledger.engine) if wanted else None)


class _Run:
    """One run on one source, which nobody else works on."""

    def __init__(
        self,
        parameters: SourceParameters,
        ledger: SourceLedger,
        fence: Fence,
        places: Places,
        chosen: Champion,
        purpose: Purpose,
        workers: int | None,
        run: int,
    ) -> None:
        self.parameters, self.ledger, self.fence, self.places = parameters, ledger, fence, places
        self.champion, self.purpose, self.workers = chosen, purpose, workers
        self.counts: Counter[str] = Counter()
        self.rows = 0
        self.done: defaultdict[int, set[str]] = defaultdict(set)  # part -> conversations that this run published
        self.listed: set[str] = set()
        self.failed: dict[str, str] = {}  # conversation -> why it could not be scored
        above = directory("inbox", "work", parameters.label)
        for left in above.iterdir():  # of runs that were killed: nobody else works here
            shutil.rmtree(left, ignore_errors=True)
        self.folder = above / f"{run}-{os.getpid()}"

    def sorted_counts(self) -> dict[str, int]:
        return dict(sorted(self.counts.items()))

    def until_nothing_is_ready(self, map_shards: MapShards) -> None:
        """Looks again after each round: conversations arrive while the run goes on."""
        tries: Counter[Arrival] = Counter()
        for round_ in count():
            listing = {arrival.name: arrival for arrival in Source(self.parameters).arrivals()}
            self.listed = set(listing)
            # By another champion, too, what is in quarantine is read again: it may do without what was lacking.
            reading = f"{self.parameters.reading} {self.champion.model.run_id}"
            self.ledger.note(list(listing.values()), self.parameters.quiet_minutes, reading)
            names = self.ledger.to_read()
            if missing := [name for name in names if name not in listing]:
                self.ledger.files_are_gone(missing)
                self.counts["gone"] += len(missing)
            ready = [listing[name] for name in names if name in listing]
            # What fails to leave the list must not keep the run busy for ever.
            ready = [arrival for arrival in ready if tries[arrival] < TRIES]
            if not ready:
                self._set_failed_aside()
                return
            tries.update(ready)
            self._work(self._shards(ready, round_), map_shards)

    def _shards(self, arrivals: list[Arrival], round_: int) -> list[Shard]:
        size = self.parameters.shard
        groups = [tuple(arrivals[at : at + size]) for at in range(0, len(arrivals), size)]
        return [
            Shard(self.parameters, group, self._make(f"{round_}-{number}"), self.workers)
            for number, group in enumerate(groups)
        ]

    def _make(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _work(self, shards: list[Shard], map_shards: MapShards) -> None:
        """Each shard goes its way from reading to publishing; none waits for all others to be read."""
        for scored in map_shards(score_shard, self._orders(map_shards(validate_shard, shards))):
            self._publish(scored)
            self._done(scored.validated)

    def _orders(self, shards: Iterable[ValidatedShard]) -> Iterator[ScoringOrder]:
        for read in shards:
            taken = self.ledger.names_taken(read.found, self.listed)
            kept = tuple(one for one in read.found if one.arrival not in taken)
            validated = replace(read, found=kept, refused=(*read.refused, *taken.items()))
            wanted = self._take_in(validated)
            if wanted:
                model, origin = self.champion.model, self.champion.champion_from
                yield ScoringOrder(validated, wanted, model, origin, self.purpose)
            else:
                self._done(validated)

    def _take_in(self, validated: ValidatedShard) -> tuple[str, ...]:
        """The conversations that are to be scored."""
        for arrival, reason in validated.refused:
            self.ledger.quarantine(arrival, self._with_command(reason))
            self.counts["quarantined"] += 1
        found = [replace(one, problem=self._with_command(one.problem)) for one in validated.found]
        decisions = self.ledger.take_in(found, self.champion.model)
        self.counts.update(decision for decision in decisions.values() if decision != "score")
        return tuple(name for name, decision in decisions.items() if decision == "score")

    def _publish(self, scored: ScoredShard) -> None:
        """Into every place, then into the ledger: after a kill between them the next run does the same, in vain."""
        self.failed |= dict(scored.failed)
        if scored.lacking:
            read, transcribes = scored.validated, self.parameters.words is not None
            tables = {arrival.name for arrival in read.shard.arrivals if arrival.kind == "table"}
            of = {one.name: one.arrival if one.arrival in tables else "" for one in read.found}
            reasons = {name: lacks_all(what, of[name], transcribes) for name, what in scored.lacking}
            self.ledger.quarantine_conversations({name: self._with_command(why) for name, why in reasons.items()})
            self.counts["quarantined"] += len(reasons)
        rows = pq.read_table(scored.file)
        if not len(rows):
            return
        self.fence.check()
        sizes = {one.conversation: one.rows for one in publications_in(rows)}
        self.ledger.scored(list(sizes))
        parts = self.ledger.parts_for(sizes)
        stands = self.places.parquet.replace(rows, parts, self.fence)
        if self.places.postgres is not None:
            self.places.postgres.replace(stands, self.fence)
        publications = publications_in(stands)
        self.ledger.published(publications)
        self.failed = {name: reason for name, reason in self.failed.items() if name not in sizes}
        self.counts["published"] += len(publications)
        for name in sizes:
            self.done[parts[name]].add(name)
        self.rows += len(stands)

    def _with_command(self, reason: str) -> str:
        return with_command(reason, self.parameters, self.purpose)

    def check_agreement(self) -> None:
        """Holds what this run published against the ledger, one part in memory at a time.

        What differs is published again by the next run.

        Raises:
            Disagreement: something differs.
        """
        agreement = Agreement(self.ledger, self.places.parquet, self.places.postgres, self.fence)
        found = (agreement.differences(names) for _, names in sorted(self.done.items()))
        if differences := [*chain.from_iterable(found)]:
            agreement.repair(differences)
            raise Disagreement(differences)

    def report(self, database: Ledger) -> Path | None:
        """Writes the source's report; that it cannot be written undoes nothing of what was published."""
        source = Source(self.parameters)
        emotions = load_predictor(self.champion.model.folder).emotions
        root = Path(source.root) if source.local else None
        try:
            return write_living_report(database, self.parameters.label, self.places.parquet, emotions, root)
        except Exception as error:
            log.warning("%s: its report could not be written: %s", self.parameters.label, error)
            return None

    def _set_failed_aside(self) -> None:
        """What could not be scored costs only itself, unless nothing could: then this installation is at fault.

        Raises:
            NothingScored: this run scored nothing; what waits for it goes on waiting.
        """
        if not self.failed:
            return
        if not self.rows:
            name, reason = next(iter(self.failed.items()))
            raise NothingScored(f"none of {len(self.failed)} conversations could be scored. First {name}: {reason}")
        self.ledger.quarantine_conversations(self.failed)
        self.counts["quarantined"] += len(self.failed)

    def _done(self, validated: ValidatedShard) -> None:
        refused = {arrival for arrival, _ in validated.refused}
        read = [arrival for arrival in validated.shard.arrivals if arrival.name not in refused]
        self.ledger.was_read(read)
        shutil.rmtree(validated.shard.folder, ignore_errors=True)
