"""The verb of sources that are scored by themselves."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from hbaf.verbs.inbox import Channels, SourceSet, Transcribe
from hbaf.verbs.options import Purpose, source_parameters

if TYPE_CHECKING:
    from hbaf.inbox.schedule.sources import ScheduledSource

NO_SERVER = 3  # exit code of flows.source_deployments


def schedule(
    action: Literal["list", "add", "pause", "resume", "remove"] = "list",
    source: str | None = None,
    /,
    *,
    purpose: Purpose | None = None,
    every: Annotated[str | None, Parameter(help="10m, 1h, 1d, or five fields of cron in UTC, as '0 3 * * *'.")] = None,
    name: Annotated[str | None, Parameter(help="Short name of the source; default: the folder's.")] = None,
    model: str | None = None,
    channels: Channels = None,
    transcribe: Transcribe = False,
    set_: SourceSet = None,
    json_: Annotated[bool, Parameter(name="--json", negative="", help="For `list`: print JSON, for programs.")] = False,
) -> int:
    """Scores what arrives in folders by itself: every hour, every night, as long as a Prefect server and a worker run.

    Each source is a deployment of its own in Prefect (`score NAME`), made at once where a server runs and else by the
    next `make up` or `make deploy`, which keep what was changed on the server. Without a server, `hbaf inbox score`
    from cron does the same. Each run writes the source's report anew; `list` names its page.

    Try:

        hbaf schedule add ~/calls --purpose research --every 1h

        hbaf schedule add ~/calls --channels 0=agent,1=customer

        hbaf schedule list

        hbaf schedule pause calls

        hbaf schedule resume calls

        hbaf schedule remove calls

    Args:
        action: `list` the sources; `add` one, or change the settings that are given of one that is there; `pause`,
            `resume` or `remove` one (its scores stay).
        source: For `add` the folder or URL; for the others that or the name.
        model: Name of the registered model; default: the only one with a champion.
    """
    from hbaf.home import prepare_environment
    from hbaf.inbox.schedule.sources import ScheduleError, read_schedule

    prepare_environment()
    if action == "list":
        return _list(json_)
    if source is None:
        raise ScheduleError(
            "say which folder: `hbaf schedule add FOLDER --purpose research --every 1h`."
            if action == "add"
            else f"say which source: `hbaf schedule {action} NAME`. `hbaf schedule list` shows the names."
        )
    if action == "add":
        given = {"purpose": purpose, "every": every, "model": model}
        known = read_schedule().at(source)
        changes = [*(set_ or []), *([f"source.name={name}"] if name else [])]
        wanted = _wanted(known, source_parameters(source, changes, channels, transcribe), given)
        _add(wanted)
    else:
        _change(action, source)
    _apply()
    return 0


def _wanted(known: "ScheduledSource | None", parameters: Any, given: dict[str, Any]) -> "ScheduledSource":
    """What is asked for, as far as it can be checked before a run."""
    from hbaf.inbox.schedule.every import parse_every
    from hbaf.inbox.schedule.sources import ScheduledSource, ScheduleError, check_address
    from hbaf.inbox.source import Source

    check_address(parameters.url)
    lacking = [f"--{name}" for name in ("purpose", "every") if given[name] is None and known is None]
    if lacking:
        raise ScheduleError(
            f"{parameters.url}: a new source needs {' and '.join(lacking)}, as `hbaf schedule add "
            f"{parameters.url} --purpose research --every 1h`."
        )
    if given["every"] is not None:
        parse_every(given["every"])
    place = parameters.url if "://" in parameters.url else Source(parameters).root
    before = {} if known is None else known.model_dump(exclude={"source"}, exclude_defaults=True)
    changes = {name: value for name, value in given.items() if value is not None}
    source = parameters.model_copy(update={"url": place})
    return ScheduledSource(**{**before, **changes, "source": source.model_dump(exclude_defaults=True)})


def _add(wanted: "ScheduledSource") -> None:
    from hbaf.inbox.schedule.checks import check_source
    from hbaf.inbox.schedule.sources import changed_schedule

    notes = check_source(wanted)
    with changed_schedule() as schedule:
        new = wanted.name not in schedule.sources
        changed = schedule.put(wanted)
    if new:
        print(f"{wanted.name}: {wanted.source.url} is scored every {wanted.every} for {wanted.purpose}")
    elif not changed:
        print(f"{wanted.name}: scheduled so already; nothing changed")
    for setting, (before, now) in changed.items():
        print(f"{wanted.name}: {setting} {_plain(before)} -> {_plain(now)}")
    for note in notes:
        print(f"  {note}")


def _change(action: str, named: str) -> None:
    from hbaf.inbox.schedule.sources import changed_schedule

    with changed_schedule() as schedule:
        one = schedule.find(named)
        if action == "remove":
            del schedule.sources[one.name]
            schedule.removed.add(one.name)
        else:
            schedule.sources[one.name] = one.model_copy(update={"active": action == "resume"})
    kept = "; its scores and its report stay" if action == "remove" else ""
    print(f"{one.name}: {action}d{kept}")


def _on_server(verb: str) -> "subprocess.CompletedProcess[str] | None":
    """Asks the flows, which this package never imports, to speak with the Prefect server; None where none is named."""
    from hbaf.home import may_name_prefect, prefect_environment

    environment = prefect_environment()
    if not may_name_prefect(environment):
        return None
    command = [sys.executable, "-c", "import sys; from flows.source_deployments import main; sys.exit(main())", verb]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return None if done.returncode == NO_SERVER else done


def _apply() -> None:
    done = _on_server("apply")
    if done is None:
        print("no Prefect server is named here: `make up` or `make deploy` makes this hold there")
        return
    print(done.stdout, end="")
    if done.returncode:
        message = done.stderr.strip().splitlines()[-1:] or ["it gave no reason"]
        print(f"not on the Prefect server yet: {message[0]}. `make up` or `make deploy` does it.", file=sys.stderr)


def _list(as_json: bool) -> int:
    from hbaf.inbox.schedule.sources import read_schedule

    sources = read_schedule().sources
    shown = _on_server("show") if sources else None
    reachable = shown is not None and shown.returncode == 0
    there: dict[str, Any] = json.loads(shown.stdout) if shown is not None and reachable else {}
    lines = [_line(one, there.get(one.name)) for one in sources.values()]
    if as_json:
        print(json.dumps(lines, indent=1))
        return 0
    if not lines:
        print("nothing is scheduled yet: `hbaf schedule add FOLDER --purpose research --every 1h`")
    for line in lines:
        print(f"{line['name']}: every {line['every']} for {line['purpose']}, {_state(line, reachable)}")
        print(f"  where     {line['url']}")
        if line["last_run"]:
            print(f"  last run  {_time(line['last_run'])}, {line['last_state']}")
        held = ", ".join(f"{number} {state}" for state, number in line["counts"].items()) or "nothing arrived yet"
        reasons = f"; `hbaf inbox list --source {line['name']}` says why" if "quarantined" in line["counts"] else ""
        print(f"  calls     {held}{reasons}")
        print(f"  report    {line['report'] or 'written by the first run'}")
    return 0


def _line(one: "ScheduledSource", on_server: dict[str, Any] | None) -> dict[str, Any]:
    """What there is to say of a source: as asked, as the server has it, and what came of it."""
    from hbaf.inbox.entries import Inbox
    from hbaf.inbox.ledger.database import Ledger
    from hbaf.inbox.publish.living_report import report_of

    ledger, page = Ledger.existing(), report_of(one.name)
    runs = ledger.runs(one.name, 1) if ledger else []
    counts = Inbox(ledger, one.name).counts() if ledger else {}
    return {
        "name": one.name,
        "url": one.source.url,
        "purpose": one.purpose,
        "every": one.every,
        "state": "active" if one.active else "paused",
        "on_server": on_server,
        "last_run": runs[0].started_at.isoformat() if runs else None,
        "last_state": str(runs[0].state) if runs else None,
        "counts": {str(state): number for state, number in counts.items() if number},
        "report": str(page) if page.exists() else None,
    }


def _state(line: dict[str, Any], reachable: bool) -> str:
    """The state of a source, with what the server says otherwise."""
    server = line["on_server"]
    if server is None:
        why = "not on the Prefect server yet: `make deploy`" if reachable else "no Prefect server runs: `make up`"
        return f"{line['state']}; {why}"
    state = "active" if server["active"] else "paused"
    found = state if state == line["state"] else f"{state} on the Prefect server"
    return found + (f", next {_time(server['next'])}" if server["next"] and server["active"] else "")


def _time(text: str) -> str:
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _plain(value: Any) -> str:
    return "default" if value is None else json.dumps(value) if isinstance(value, dict) else str(value)
