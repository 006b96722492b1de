"""Events on their way: written down first, then sent; what cannot be sent now goes with the next one, or the next run.

Nothing that raises an event fails because nobody takes it. Targets are the webhooks (`hbaf.events.webhook`) and the
functions of the entry point group `hbaf.events`, by which `flows` passes events on to Prefect.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path

from hbaf.events.event import Event
from hbaf.events.webhook import NotDelivered, WebhookError, addresses, send, shown, signing_secret
from hbaf.files import StorageError, append_line, read_lines, write_atomically
from hbaf.home import directory, home_folder
from hbaf.waiting import Busy, again, alone

LISTENERS = "hbaf.events"  # entry point group: functions that take an event, and raise NotDelivered
PATIENCE = 15.0  # seconds in which a target is tried again before the event waits for the next occasion
LONGEST = 3 * 86_400.0  # seconds that an event waits; after that it is in `hbaf events` alone

log = logging.getLogger(__name__)


def publish(event: Event) -> None:
    """Notes an event and sends it with all that wait."""
    note(event)
    deliver()


def note(event: Event) -> None:
    """Writes an event down, once by its id; `deliver` sends it. That it cannot be written is logged."""
    try:
        if any(line["id"] == event.id for line in read_lines(_list())):
            return
        write_atomically(directory("events", "waiting") / f"{event.at:017.6f}-{event.id}.json", _waiting(event, []))
        append_line(_list(), event.as_json())
    except (OSError, StorageError) as error:
        log.warning("the event %s could not be written down: %s", event.kind, error)


def deliver() -> list[str]:
    """Sends what waits, oldest first; another process that is at it does it for both.

    Returns:
        What went wrong, a line for each target.
    """
    try:
        if not any(_waiting_files()):
            return []
        with alone(directory("events") / ".lock", seconds=0):
            problems = _deliver_all()
    except Busy:
        return []
    except Exception as error:  # what moved has moved, whatever becomes of the news of it
        problems = [f"{type(error).__name__}: {error}"]
    for problem in problems:
        log.warning("events wait: %s", problem)
    return problems


def events() -> list[Event]:
    """All that happened, oldest first."""
    return [Event.of_json(line) for line in read_lines(_list())]


def waiting() -> list[Event]:
    """What is not sent to everybody yet."""
    return [_read(file)[0] for file in _waiting_files()]


def _deliver_all() -> list[str]:
    targets, problems = _targets()
    given_up: dict[str, str] = {}  # target -> why; it is not asked again in this round
    for file in _waiting_files():
        event, reached = _read(file)
        for name, (title, target) in targets.items():
            if name in reached or name in given_up:
                continue
            try:
                again(partial(target, event), lambda error: isinstance(error, NotDelivered) and error.passes, PATIENCE)
            except Exception as error:  # a listener of somebody else may raise anything
                given_up[name] = str(error) if isinstance(error, NotDelivered) else f"{title}: {error!r}"
                continue
            reached.append(name)
            write_atomically(file, _waiting(event, reached))
        late = time.time() - event.at > LONGEST
        if late and not set(targets) <= set(reached):
            log.warning("the event %s of %s is given up: nobody took it for three days", event.kind, event.subject)
        if late or (not problems and set(targets) <= set(reached)):
            file.unlink(missing_ok=True)
    return [*problems, *given_up.values()]


def _targets() -> tuple[dict[str, tuple[str, Callable[[Event], object]]], list[str]]:
    """Key -> how it is called and what sends there; and what is wrong with the settings."""
    found: dict[str, tuple[str, Callable[[Event], object]]] = {}
    problems = []
    try:
        for address in addresses():
            key = hashlib.sha256(address.encode()).hexdigest()[:16]
            found[key] = (shown(address), partial(send, address=address, secret=signing_secret()))
    except WebhookError as error:
        problems.append(str(error))
    for listener in entry_points(group=LISTENERS):
        try:
            found[listener.name] = (listener.name, listener.load())
        except Exception as error:  # of another package, which may be broken in any way
            problems.append(f"{listener.name}: {error!r}")
    return found, problems


def _list() -> Path:
    return home_folder() / "events.jsonl"


def _waiting_files() -> Iterator[Path]:
    yield from sorted(directory("events", "waiting").glob("*.json"))


def _waiting(event: Event, reached: list[str]) -> bytes:
    return json.dumps({"event": event.as_json(), "reached": reached}).encode()


def _read(file: Path) -> tuple[Event, list[str]]:
    content = json.loads(file.read_text())
    return Event.of_json(content["event"]), content["reached"]
