"""How scoring is, for whoever is on call: from the ledger, the registry and the disk; no server is needed for it."""

import json
import shutil
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

from hbaf.home import home_folder
from hbaf.inbox.entries import Inbox
from hbaf.inbox.ledger.database import Ledger
from hbaf.inbox.ledger.records import RunRecord
from hbaf.inbox.ledger.states import BACKLOG, RunState, State
from hbaf.inbox.publish.published_scores import score_store
from hbaf.registry.cached_champion import Champion, champion
from hbaf.registry.models import NoModelError, SeveralModelsError

RUNBOOK = "infra/RUNBOOK.md"


@dataclass(frozen=True)
class Limits:
    """Beyond which a person should look.

    Attributes:
        hours: since the last success, of a run, and of what waits.
        quarantine: share of all conversations, 0..1.
        disk: GB free.
    """

    hours: float = 26
    quarantine: float = 0.05
    disk: float = 5


@dataclass(frozen=True)
class Status:
    """How scoring is.

    Attributes:
        last_success: end of the last run, or the last corpus that was scored; ISO 8601, None where nothing ever was.
        backlog, oldest_hours: conversations and arrivals that are ready and not published; how long the oldest waits.
        quarantined, quarantine_share: of everything that ever came.
        champion, champion_from: label, of each model that has one, and whether the registry named it or, while it was
            away, the copy here.
        disk_free: GB.
        problems: what a person should look at, with the next step.
    """

    last_success: str | None
    running: int
    backlog: int
    oldest_hours: float
    quarantined: int
    quarantine_share: float
    champion: str
    champion_from: str
    disk_free: float
    sources: int
    problems: tuple[str, ...] = field(default=())

    def as_json(self) -> str:
        """All of it and whether it is well."""
        return json.dumps({**asdict(self), "ok": not self.problems}, indent=1)

    def lines(self) -> list[tuple[str, str]]:
        """For people: a name and a message."""
        oldest = f", the oldest for {self.oldest_hours:.1f} h" if self.backlog else ""
        running = f", {self.running} running" if self.running else ""
        return [
            ("champion", f"{self.champion or 'none'} (from the {self.champion_from})" if self.champion else "none"),
            ("last success", f"{self.last_success or 'never'}{running}"),
            ("backlog", f"{self.backlog} of {self.sources} sources{oldest}"),
            ("quarantine", f"{self.quarantined} ({self.quarantine_share:.1%})"),
            ("disk", f"{self.disk_free:.0f} GB free in {home_folder()}"),
        ]


def examine(limits: Limits, model: str | None = None) -> Status:
    """Looks at everything once."""
    problems: list[str] = []
    label, named_by = "", ""
    try:
        chosen = _champions(model)
        label, named_by = ", ".join(one.model.label for one in chosen), chosen[0].champion_from
        if named_by == "cache":
            problems.append(f"MLflow cannot be reached; {label} scores from its copy here. Start it: `make up`.")
    except NoModelError as error:
        problems.append(str(error))
    ledger, now = Ledger.existing(), time.time()
    runs = ledger.runs() if ledger else []
    counts = Inbox(ledger).counts() if ledger else {}
    waiting = _backlog(ledger) if ledger else []
    oldest = max((now - since.timestamp() for since in waiting), default=0.0) / 3600
    known = len(ledger.sources()) if ledger else 0
    last = _last_success(runs)
    quarantined, total = counts.get(State.QUARANTINED, 0), sum(counts.values())
    share = quarantined / total if total else 0.0
    free = shutil.disk_usage(home_folder()).free / 1e9
    if known and (last is None or now - last > 3600 * limits.hours):
        problems.append(f"no run ended well in the last {limits.hours:g} hours: {RUNBOOK}, a missed night.")
    problems += _of_runs(runs, now, limits.hours)
    if oldest > limits.hours:
        problems.append(f"something waits for {oldest:.0f} hours: `hbaf inbox list`; {RUNBOOK}, a growing backlog.")
    if share > limits.quarantine:
        problems.append(f"{quarantined} in quarantine, {share:.1%} of all: `hbaf inbox list` says why.")
    if free < limits.disk:
        problems.append(f"{free:.1f} GB free: {RUNBOOK}, a full disk.")
    return Status(
        last_success=None if last is None else datetime.fromtimestamp(last, UTC).isoformat(timespec="seconds"),
        running=sum(run.state is RunState.RUNNING for run in runs),
        backlog=len(waiting),
        oldest_hours=round(oldest, 2),
        quarantined=quarantined,
        quarantine_share=round(share, 4),
        champion=label,
        champion_from=named_by,
        disk_free=round(free, 1),
        sources=known,
        problems=tuple(problems),
    )


def _champions(model: str | None) -> list[Champion]:
    """The champion asked for, or all there are: several models side by side are no fault."""
    try:
        return [champion(model)]
    except SeveralModelsError as error:
        return [champion(name) for name in error.names]


def _backlog(ledger: Ledger) -> list[datetime]:
    """Since when each waits; a conversation whose arrival waits to be read again is one thing, not two."""
    found = Inbox(ledger).entries(BACKLOG)
    unread = {(entry.source, entry.arrival) for entry in found if entry.kind == "arrival"}
    return [e.since for e in found if e.kind == "arrival" or (e.source, e.arrival) not in unread]


def _last_success(runs: list[RunRecord]) -> float | None:
    """Seconds since 1970."""
    ended = [run.ended_at.timestamp() for run in runs if run.state is RunState.FINISHED and run.ended_at is not None]
    written = score_store().written()
    return max([*ended, *([] if written is None else [written])], default=None)


def _of_runs(runs: list[RunRecord], now: float, hours: float) -> list[str]:
    """What the latest run of each source says; older ones have been followed by it."""
    messages = []
    latest: dict[str, RunRecord] = {}
    for run in runs:
        latest.setdefault(run.source, run)
    for source, run in latest.items():
        if run.state is RunState.FAILED:
            messages.append(f"the last run on {source} failed ({run.error}): {RUNBOOK}, a run that failed.")
        if run.state is RunState.RUNNING and now - run.started_at.timestamp() > 3600 * hours:
            messages.append(
                f"a run on {source} runs since {run.started_at:%Y-%m-%d %H:%M} UTC: {RUNBOOK}, a dead worker."
            )
    return messages
