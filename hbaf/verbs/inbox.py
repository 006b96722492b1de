"""Verbs of scheduled scoring: what arrived, score it, score it again, replay it."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from hbaf.verbs.options import Purpose, Quiet, Set, source_parameters

if TYPE_CHECKING:
    from hbaf.inbox.entries import Entry
    from hbaf.inbox.ledger.states import State
    from hbaf.inbox.scheduled import SourceScores

SourceUrl = Annotated[str, Parameter(help="Folder, or any URL that fsspec knows, where conversations arrive.")]
SourceSet = Annotated[
    Set,
    Parameter(
        name="--set", negative="", help="source.NAME=VALUE, as `source.quiet_minutes=30`; words.NAME=VALUE transcribes."
    ),
]
Channels = Annotated[
    str | None,
    Parameter(help="Speaker of each audio channel, from 0, as `0=agent,1=customer`, where people are apart."),
]
Transcribe = Annotated[
    bool, Parameter(negative="", help="Transcribe recordings that come without words (the extra `words`).")
]


def inbox(
    action: Literal["list", "score", "retry", "ignore"] = "list",
    name: str | None = None,
    /,
    *,
    source: str | None = None,
    reason: str = "",
    all_: Annotated[bool, Parameter(name="--all", negative="")] = False,
    purpose: Purpose | None = None,
    model: str | None = None,
    channels: Channels = None,
    transcribe: Transcribe = False,
    set_: SourceSet = None,
) -> int:
    """Lists conversations that arrived for scheduled scoring; scores, retries or ignores them.

    A conversation that cannot be scored is held in quarantine until it is retried or ignored, its files change, or the
    source gets other settings. A source of `hbaf schedule` is scored with its settings there.

    Try:

        hbaf inbox score ~/calls --purpose research

        hbaf inbox score ~/calls --purpose research --channels 0=agent,1=customer --transcribe

        hbaf inbox list

        hbaf inbox retry calls/2026:11:call7

        hbaf inbox ignore calls/test-call --reason "a test of the line"

    Args:
        action: `list` the entries; `score` a folder or URL now; `retry` or `ignore` an entry.
        name: For `score` the folder or URL; for `retry` and `ignore` the entry's name; `retry all`: everything in
            quarantine.
        source: Show only the source of this name.
        reason: For `ignore`: why; recorded with the entry.
        all_: For `list`: also show conversations whose scores are published.
        model: For `score`: name of the registered model; default: the only one with a champion.
    """
    from hbaf.home import prepare_environment
    from hbaf.inbox.entries import Inbox, InboxError
    from hbaf.inbox.ledger.database import Ledger
    from hbaf.inbox.ledger.states import SHOWN, State

    prepare_environment()
    if action == "score":
        return _score(name, purpose, model, set_, channels, transcribe)
    lines = Inbox(Ledger.open(), source)
    if action == "list":
        _print(lines.entries([state for state in SHOWN if all_ or state is not State.PUBLISHED]), lines.counts())
        return 0
    if name is None:
        raise InboxError(f"say which entry: `hbaf inbox {action} NAME`. `hbaf inbox list` shows the names.")
    done = lines.retry(name) if action == "retry" else lines.ignore(name, reason)
    for one in done:
        print(f"{one}: {'is read again by the next run' if action == 'retry' else 'left out'}")
    return 0


def rescore(
    source: SourceUrl,
    *,
    since: str,
    purpose: Purpose,
    model: str | None = None,
    set_: SourceSet = None,
) -> int:
    """After a promotion: scores conversations that arrived since a given day again, with the new champion.

    The earlier scores of a conversation stay published until the new ones are. If interrupted, run the same command
    again, or let the next scheduled run finish it.

    Try:

        hbaf rescore ~/calls --since 2026-11-01 --purpose research

    Args:
        since: Day or moment, as 2026-11-01 or 2026-11-01T18:30, in UTC.
        model: Name of the registered model; default: the only one with a champion.
    """
    from hbaf.home import prepare_environment
    from hbaf.inbox.rescore import rescore as again
    from hbaf.privacy.retention import apply_retention

    prepare_environment()
    apply_retention()
    _tell(again(source_parameters(source, set_), moment(since), purpose=purpose, model=model))
    return 0


def verify(
    source: SourceUrl,
    *,
    conversations: int = 20,
    seed: int = 0,
    repair: Annotated[bool, Parameter(negative="")] = False,
    set_: SourceSet = None,
    quiet: Quiet = False,
) -> int:
    """Checks that all published scores are recorded correctly, and scores some again; exit code 1 on a difference.

    First the ledger is compared with the published dataset (and PostgreSQL): each published conversation must stand
    there once, with the content, model and number of rows that were recorded, and nothing else. Then some conversations
    are scored again on this machine. Nothing is reused for that: audio is decoded, features are extracted, and the same
    model version predicts.

    Try:

        hbaf verify ~/calls

        hbaf verify ~/calls --conversations 0

        hbaf verify ~/calls --repair

    Args:
        conversations: How many conversations are scored again, drawn at random; 0: all.
        seed: Random seed of that choice.
        repair: Makes ledger and dataset agree instead of scoring again, and prints what it did: lost rows are written
            again from PostgreSQL, or scored by the next run; what was forgotten or stands twice is removed.
        quiet: Print only the summary.
    """
    from hbaf.home import prepare_environment
    from hbaf.inbox.verify_scores import verify_agreement, verify_scores

    prepare_environment()
    parameters = source_parameters(source, set_)
    differences = verify_agreement(parameters, repair=repair)
    for one in [] if quiet else differences or []:
        print(f"{one.conversation}: {one.fault}{f' -> {one.mended}' if repair else ''}")
    if differences is None:
        print("the ledger of this home does not know this source: nothing to compare with")
    elif not differences:
        print("ledger and dataset agree")
    elif repair:
        print(f"ledger and dataset differed on {len(differences)} conversations, and were made to agree")
    else:
        print(
            f"ledger and dataset DIFFER on {len(differences)} conversations; `hbaf verify {source} --repair` mends it"
        )
    if repair:
        return 0
    found = verify_scores(parameters, published=parameters.place, conversations=conversations, seed=seed)
    for name, what in {**found.differing, **found.not_replayed}.items():
        if not quiet:
            print(f"{name}: {what}")
    verdict = "the same" if found.same else f"{len(found.differing)} DIFFER"
    print(f"{found.rows} utterances replayed: {verdict}; largest difference of a probability {found.largest:.1e}")
    if found.not_replayed:
        print(f"{len(found.not_replayed)} conversations could not be replayed")
    return 0 if found.same and not differences else 1


class MomentError(ValueError):
    """A day or a moment is not understood."""


def moment(text: str) -> datetime:
    """`2026-11-01` or `2026-11-01T18:30+01:00`; UTC where no zone is given.

    Raises:
        MomentError: it is of another form.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise MomentError(f"--since {text}: not a day or moment, as 2026-11-01 or 2026-11-01T18:30.") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _score(
    url: str | None,
    purpose: Purpose | None,
    model: str | None,
    set_: list[str] | None,
    channels: str | None,
    transcribe: bool,
) -> int:
    from hbaf.inbox.entries import InboxError
    from hbaf.inbox.schedule.sources import read_schedule
    from hbaf.inbox.scheduled import score_source
    from hbaf.privacy.retention import apply_retention

    known = read_schedule().at(url) if url is not None else None
    purpose = purpose or (known.purpose if known else None)
    if url is None or purpose is None:
        raise InboxError("say where conversations arrive and what for: `hbaf inbox score FOLDER --purpose research`.")
    apply_retention()
    parameters = source_parameters(url, set_, channels, transcribe)
    _tell(score_source(parameters, purpose=purpose, model=model or (known.model if known else None)))
    return 0


def _tell(scores: "SourceScores") -> None:
    done = ", ".join(f"{number} {what}" for what, number in scores.counts.items()) or "nothing new"
    cached = " (MLflow cannot be reached: the champion that it named last)" if scores.champion_from == "cache" else ""
    print(f"{scores.source}: {done}; {scores.rows} utterances with {scores.model_version}{cached}")
    print(f"published: {scores.published}")
    if scores.report is not None:
        print(f"report: {scores.report}")
    if scores.counts.get("waiting"):
        print(
            "waiting: ready once unchanged for `source.quiet_minutes`, or with a marker; `hbaf inbox list` shows which"
        )
    if scores.counts.get("quarantined"):
        print("in quarantine: `hbaf inbox list` says why")


def _scored(entry: "Entry") -> str:
    """What is published of a conversation."""
    if entry.state != "published":
        return ""
    unscored = f", {entry.unscored} of them unscored" if entry.unscored else ""
    return f"{entry.rows} utterances{unscored}, {entry.model_version}"


def _print(shown: "list[Entry]", counts: "dict[State, int]") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in ("state", "name", "since (UTC)", "reason"):
        table.add_column(heading, overflow="fold")
    for entry in shown:
        name = entry.name if entry.kind == "conversation" else f"{entry.source}/{entry.name}"
        # Names and reasons come from files: they are text, never markup.
        table.add_row(entry.state, Text(name), f"{entry.since:%Y-%m-%d %H:%M}", Text(entry.reason or _scored(entry)))
    console = Console()
    if shown:
        console.print(table)
    listed = [f"{number} {state}" for state, number in counts.items() if number]
    console.print(", ".join(listed) or "nothing arrived yet; `hbaf inbox score FOLDER --purpose research` looks")
