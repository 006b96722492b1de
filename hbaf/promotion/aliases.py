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

from hbaf.home import home_folder
from hbaf.registry.models import CHAMPION, NoModelError
from hbaf.registry.tracking import MlflowClient, mlflow
from hbaf.waiting import Busy, again, alone

CHALLENGER = "challenger"  # the last candidate that was judged and did not become the champion
PREVIOUS = "previous"  # the champion before this one
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
        yield Turn(ticket, token)
    finally:
        if _holder(ticket) == token:
            client.delete_registered_model(ticket)


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


def crown(name: str, version: str, expected: str | None, mine: Turn, reason: str) -> Move:
    """Gives a version the alias `champion`; the one before becomes `previous`.

    Args:
        expected: the champion that the version was held against; None if there was none.

    Raises:
        PromotionConflict: there is another champion by now.
    """
    client = MlflowClient()
    present = version_with(name, CHAMPION)
    if present != expected:
        raise PromotionConflict(
            f"{name}: version {present} became the champion while version {version} was held against "
            f"{f'version {expected}' if expected else 'the floors'}. Nothing was changed; promote again to hold it "
            "against the new one."
        )
    mine.check()
    if present is not None and present != version:
        # First, so that a kill between the two loses no champion.
        client.set_registered_model_alias(name, PREVIOUS, present)
    client.set_registered_model_alias(name, CHAMPION, version)
    if version_with(name, CHALLENGER) == version:
        client.delete_registered_model_alias(name, CHALLENGER)
    return _recorded(Move(name, present or "", version), "promotion", reason)


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
        client.set_registered_model_alias(name, CHAMPION, previous)
        client.set_registered_model_alias(name, PREVIOUS, champion)
        move = _recorded(Move(name, champion, previous), "rollback", reason)
    return move


def _recorded(move: Move, what: str, reason: str) -> Move:
    """Into the home's ledger and onto both versions."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    line = {"at": at, "what": what, "model": move.model, "from": move.before, "to": move.after, "reason": reason}
    with (home_folder() / "promotions.jsonl").open("a") as ledger:
        ledger.write(json.dumps(line) + "\n")
    client = MlflowClient()
    said = f"{at} {what} from version {move.before or 'none'} to {move.after}: {reason or 'no reason given'}"
    for version in filter(None, (move.before, move.after)):
        client.set_model_version_tag(move.model, version, "hbaf.last_move", said[:5000])
    return move
