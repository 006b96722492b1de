"""The sources that are scored by themselves: a list in the home, from which flows and infra make deployments.

`<home>/inbox/schedule.json` says what a person asked for, and beside it what was put on a Prefect server last: only
what was asked anew since then is sent there again, so that what somebody changed on the server stays.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from hbaf.files import one_place
from hbaf.home import directory, home_folder, located, portable, write_atomically
from hbaf.inbox.schedule.every import parse_every
from hbaf.inbox.source import SourceParameters
from hbaf.parameters import Parameters
from hbaf.scoring.purpose import Purpose
from hbaf.waiting import alone

FILE = "schedule.json"  # in the home's inbox
FORMAT = 1


class ScheduleError(ValueError):
    """A source cannot be scheduled so; the message names the next step."""


class Sent(Parameters):
    """What was put on a server."""

    every: str
    parameters: dict[str, Any]
    active: bool


class ScheduledSource(Parameters):
    """A source, how often it is scored, and what for."""

    source: SourceParameters
    purpose: Purpose
    every: str = Field(description="As `hbaf.inbox.schedule.every` reads it.")
    model: str | None = Field(None, description="Registered model; none: the only one with a champion.")
    active: bool = True
    sent: Sent | None = Field(None, description="What a server was told last; none: nothing yet.")

    @field_validator("every")
    @classmethod
    def _clear(cls, every: str) -> str:
        parse_every(every)
        return every

    @property
    def name(self) -> str:
        """The source's name, unique in the list."""
        return self.source.label

    @property
    def parameters(self) -> dict[str, Any]:
        """Of the flow `score-corpus`: what differs from its defaults."""
        named = {"model": self.model} if self.model else {}
        return {"purpose": self.purpose, "source": self.source.model_dump(mode="json", exclude_defaults=True), **named}

    def asked(self) -> Sent:
        """What a server is to be told."""
        return Sent(every=self.every, parameters=self.parameters, active=self.active)


@dataclass
class Schedule:
    """The list.

    Attributes:
        sources: by name.
        removed: names whose deployments are still to be taken from the server.
    """

    sources: dict[str, ScheduledSource] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)

    def find(self, named: str) -> ScheduledSource:
        """The source of a name, a folder or a URL.

        Raises:
            ScheduleError: there is none.
        """
        found = self.sources.get(named) or self.at(named)
        if found is None:
            known = ", ".join(sorted(self.sources)) or "none yet"
            raise ScheduleError(
                f"{named}: no scheduled source of that name or place ({known}). `hbaf schedule list` shows them."
            )
        return found

    def at(self, url: str) -> ScheduledSource | None:
        """The source at a folder or URL."""
        return next((one for one in self.sources.values() if place_of(one.source.url) == place_of(url)), None)

    def put(self, wanted: ScheduledSource) -> dict[str, tuple[Any, Any]]:
        """Adds a source, or changes the one at its place; what changed, by setting: (before, now).

        Raises:
            ScheduleError: the name is another source's, or the source is known under another name.
        """
        before = self.at(wanted.source.url)
        taken = self.sources.get(wanted.name)
        if before is not None and before.name != wanted.name:
            raise ScheduleError(
                f"{wanted.source.url}: scheduled as {before.name} already. `hbaf schedule remove {before.name}` first, "
                f"or leave the name {wanted.name} out."
            )
        if taken is not None and before is None:
            raise ScheduleError(
                f"{wanted.name}: the source at {taken.source.url} is called so already. Give this one another name: "
                "`--name NAME`."
            )
        self.sources[wanted.name] = wanted
        self.removed.discard(wanted.name)
        return {} if before is None else differences(_settings(before), _settings(wanted))


def place_of(url: str) -> str:
    """A folder or URL by one name."""
    return url.rstrip("/") if "://" in url else str(one_place(url))


def check_address(url: str) -> None:
    """Refuses an address with a password: it would stand in the list, in Prefect and in its pages.

    Raises:
        ScheduleError: there is one in it.
    """
    if re.search(r"://[^/@]*:[^/@]*@", url):
        raise ScheduleError(
            f"{re.sub('://[^/@]*@', '://', url)}: the address holds a password, which a schedule would keep and show. "
            "Leave it out; the storage's own settings (environment, key file) give it to the worker."
        )


def read_schedule() -> Schedule:
    """The list of this home; empty where nothing is scheduled.

    Raises:
        ScheduleError: the file is damaged, or a newer hbaf wrote it.
    """
    file = home_folder() / "inbox" / FILE
    if not file.exists():
        return Schedule()
    try:
        kept = json.loads(file.read_text())
        form = int(kept["format"])
        if form <= FORMAT:
            listed = [ScheduledSource(**_at_home(one)) for one in kept["sources"]]
            return Schedule({one.name: one for one in listed}, set(kept["removed"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ScheduleError(
            f"{file}: is not a list of scheduled sources ({error}). Put a copy back, or remove it and add the sources "
            "anew: their deployments are kept."
        ) from error
    raise ScheduleError(f"{file}: written by a newer hbaf (format {form}). Upgrade hbaf to use it.")


@contextmanager
def changed_schedule() -> Iterator[Schedule]:
    """The list, to be changed; written when the block ends well. Nobody else changes it meanwhile."""
    folder = directory("inbox")
    with alone(folder / ".schedule.lock"):
        schedule = read_schedule()
        yield schedule
        listed = [_from_home(one) for _, one in sorted(schedule.sources.items())]
        content = {"format": FORMAT, "sources": listed, "removed": sorted(schedule.removed)}
        write_atomically(folder / FILE, json.dumps(content, indent=1).encode(), private=True)


def note_sent(sent: Mapping[str, Sent], removed: set[str]) -> None:
    """Notes what a server was told, and which deployments are gone from it."""
    with changed_schedule() as schedule:
        for name, told in sent.items():
            if name in schedule.sources:
                schedule.sources[name] = schedule.sources[name].model_copy(update={"sent": told})
        schedule.removed -= removed


def differences(before: Any, now: Any, name: str = "") -> dict[str, tuple[Any, Any]]:
    """Dotted setting -> (before, now), None where it was or is not there."""
    if not (isinstance(before, dict) and isinstance(now, dict)):
        return {} if before == now else {name: (before, now)}
    found: dict[str, tuple[Any, Any]] = {}
    for key in sorted({*before, *now}):
        found |= differences(before.get(key), now.get(key), f"{name}.{key}" if name else key)
    return found


def _settings(one: ScheduledSource) -> dict[str, Any]:
    return {**one.parameters, "every": one.every, "active": one.active}


def _from_home(one: ScheduledSource) -> dict[str, Any]:
    """A source in the home is named from there, so that the home can be moved."""
    values = one.model_dump(mode="json", exclude_defaults=True)
    return {**values, "source": {**values["source"], "url": portable(one.source.url)}}


def _at_home(values: dict[str, Any]) -> dict[str, Any]:
    return {**values, "source": {**values["source"], "url": located(values["source"]["url"])}}


def shown_place(url: str) -> str:
    """A folder as a person types it: below the home directory with `~`, in quotation marks where it needs them."""
    import shlex

    path = place_of(url)
    own = f"{Path.home()}/"
    return f"~/{shlex.quote(path[len(own) :])}" if path.startswith(own) else shlex.quote(path)
