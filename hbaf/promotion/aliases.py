"""The aliases champion, challenger and previous: moved by one process at a time, and back again."""

import json
import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hbaf.events.event import Event, Kind
from hbaf.events.outbox import deliver, note
from hbaf.files import append_line, read_lines
from hbaf.home import home_folder
from hbaf.registry.models import CHAMPION, NoModelError
from hbaf.registry.tracking import MlflowClient, mlflow
from hbaf.stop import clean_up
from hbaf.waiting import Busy, again, alone

CHALLENGER = "challenger"  # the last candidate that was judged and did not become the champion
PREVIOUS = "previous"  # the champion before this one
JOURNAL = "hbaf.move"  # tag of a registered model while its aliases are moved
TICKET = ".promoting"  # ending of the name that holds the lock in a shared registry
STALE = 300.0  # seconds after which a ticket belongs to a process that died; what it guards takes one or two


class PromotionConflict(RuntimeError):
    """Another process moves the aliases of this model, or has moved them meanwhile."""


@dataclass(frozen=True)
class Move:
    """The champion changed from one version to another."""

    model: str
    before: str
    after: str


def version_with(name: str, alias: str) -> str | None:
    """The version that has the alias, None if there is none."""
    try:
        return str(MlflowClient().get_model_version_by_alias(name, alias).version)
    except mlflow.exceptions.MlflowException:
        return None


class Turn:
    """The right to move a model's aliases, for one process at a time."""

    def __init__(self, ticket: str = "", token: str = ""):
        self.ticket, self.token = ticket, token

    def check(self) -> None:
        """Asked right before a move: a ticket that looked dead may have been taken over.

        Raises:
            PromotionConflict: it is another's now.
        """
        if self.ticket and (holder := _holder(self.ticket)) != self.token:
            raise PromotionConflict(
                f"{self.ticket}: taken over by {holder or 'nobody'}. Nothing was changed; run again."
            )


@contextmanager
def turn(name: str, wait: float = 60.0) -> Iterator[Turn]:
    """Only one process at a time is inside, whoever shares the registry.

    With an embedded database a lock on a file beside it, which the system frees when its process dies. With a server
    or another database a ticket: a registered model of that name, which a registry can hold only once; one that is five
    minutes old belonged to a process that died.

    Args:
        wait: seconds for another to finish.

    Raises:
        PromotionConflict: another holds it for longer.
    """
    uri = str(mlflow.get_registry_uri())
    client = MlflowClient()
    if uri.startswith("sqlite:"):
        from sqlalchemy.engine import make_url

        database = Path(str(make_url(uri).database)).absolute()
        try:
            with alone(database.with_name(f".{database.name}.{name}.promoting.lock"), seconds=wait):
                finish_move(name)
                yield Turn()
        except Busy as error:
            raise PromotionConflict(_busy(name, "this machine")) from error
        return
    ticket, token = name + TICKET, f"{socket.gethostname()}, process {os.getpid()}, {secrets.token_hex(4)}"
    try:
        again(lambda: _take(client, ticket, token), lambda error: isinstance(error, Busy), wait)
    except Busy as error:
        raise PromotionConflict(_busy(name, _holder(ticket) or "another process")) from error
    try:
        finish_move(name)
        yield Turn(ticket, token)
    finally:
        clean_up(f"ticket {ticket}", lambda: _holder(ticket) == token and client.delete_registered_model(ticket))


def _take(client: MlflowClient, ticket: str, token: str) -> None:
    try:
        client.create_registered_model(ticket, {"holder": token}, "A promotion is under way; gone in a moment.")
        return
    except mlflow.exceptions.MlflowException as error:
        # It is there, or was when the name was refused and is gone by the time that MLflow looked it up.
        if error.error_code not in ("RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST"):
            raise
    try:
        made = client.get_registered_model(ticket).creation_timestamp / 1000
        if time.time() - made > STALE:
            client.delete_registered_model(ticket)
    except mlflow.exceptions.MlflowException:
        pass  # its holder was done between the two questions
    raise Busy(ticket)


def _holder(ticket: str) -> str:
    try:
        return str(MlflowClient().get_registered_model(ticket).tags.get("holder", ""))
    except mlflow.exceptions.MlflowException:
        return ""


def _busy(name: str, who: str) -> str:
    return f"{name}: another promotion is under way ({who}). Nothing was changed; run again when it is done."


def make_champion(name: str, version: str, expected: str | None, mine: Turn, reason: str) -> Move:
    """Gives a version the alias `champion`; the one before becomes `previous`.

    Args:
        expected: the champion that the version was held against; None if there was none.

    Raises:
        PromotionConflict: there is another champion by now.
    """
    present = version_with(name, CHAMPION)
    if present != expected:
        raise PromotionConflict(
            f"{name}: version {present} became the champion while version {version} was held against "
            f"{f'version {expected}' if expected else 'the floors'}. Nothing was changed; promote again to hold it "
            "against the new one."
        )
    mine.check()
    return _move(Move(name, present or "", version), "promotion", reason)


def rollback(name: str | None = None, *, reason: str = "") -> Move:
    """Swaps champion and previous; done twice, all is as before.

    Args:
        name: registered model; default: the only one that has both aliases.
        reason: why, for the record.

    Raises:
        NoModelError: there is no previous champion, or several models have one and none is named.
    """
    client = MlflowClient()
    if name is None:
        found = [m.name for m in client.search_registered_models() if {CHAMPION, PREVIOUS} <= set(m.aliases or {})]
        if len(found) != 1:
            which = f"{len(found)} models have a previous champion: {', '.join(found)}. Name one."
            raise NoModelError(
                which if found else "no model has a previous champion, so there is nothing to go back to."
            )
        name = found[0]
    with turn(name) as mine:
        champion, previous = version_with(name, CHAMPION), version_with(name, PREVIOUS)
        if champion is None or previous is None or champion == previous:
            raise NoModelError(f"{name}: no previous champion, so there is nothing to go back to.")
        mine.check()
        move = _move(Move(name, champion, previous), "rollback", reason)
    deliver()
    return move


def _move(move: Move, what: str, reason: str) -> Move:
    """Writes the move into the registry, then carries it out.

    A process that is killed between two aliases leaves a move that the next one finishes, from any machine.
    """
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    line = {
        "at": at, "what": what, "model": move.model, "from": move.before, "to": move.after, "reason": reason[:2000],
        "id": secrets.token_hex(4),
    }  # fmt: skip
    MlflowClient().set_registered_model_tag(move.model, JOURNAL, json.dumps(line))
    finish_move(move.model)
    return move


def finish_move(name: str) -> None:
    """Finishes the move that the journal of a model names, where there is one; call it in turn.

    Each step may be done twice. A move to a version that was deleted meanwhile is taken back.
    """
    client = MlflowClient()
    try:
        noted = client.get_registered_model(name).tags.get(JOURNAL)
    except mlflow.exceptions.MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return  # its first version is being registered
    if not noted:
        return
    line = json.loads(noted)
    before, after = line["from"], line["to"]
    if not _exists(name, after):
        if before and _exists(name, before):
            client.set_registered_model_alias(name, CHAMPION, before)
        client.delete_registered_model_tag(name, JOURNAL)
        return
    if before and before != after and _exists(name, before):
        client.set_registered_model_alias(name, PREVIOUS, before)
    client.set_registered_model_alias(name, CHAMPION, after)
    if line["what"] == "promotion" and version_with(name, CHALLENGER) == after:
        client.delete_registered_model_alias(name, CHALLENGER)
    _record(name, line)
    client.delete_registered_model_tag(name, JOURNAL)


def _exists(name: str, version: str) -> bool:
    try:
        MlflowClient().get_model_version(name, version)
    except mlflow.exceptions.MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False
    return True


def _record(name: str, line: dict[str, str]) -> None:
    """Into the home's ledger, once, and onto both versions."""
    kind, before = Kind.PROMOTED if line["what"] == "promotion" else Kind.ROLLED_BACK, line["from"]
    facts = {"version": line["to"], "before": before, "reason": line["reason"]}
    now = f"version {line['to']} is the champion"
    message = f"{name}: {now} in place of version {before}" if before else f"{name}: {now}, the first one"
    note(Event(kind, name, message, facts, id=line["id"]))
    ledger = home_folder() / "promotions.jsonl"
    if line not in read_lines(ledger):
        append_line(ledger, line)
    client = MlflowClient()
    message = (
        f"{line['at']} {line['what']} from version {line['from'] or 'none'} to {line['to']}: "
        f"{line['reason'] or 'no reason given'}"
    )
    for version in filter(None, (line["from"], line["to"])):
        if _exists(name, version):
            client.set_model_version_tag(name, version, "hbaf.last_move", message[:5000])
