"""Removes a conversation, a speaker or a corpus from everything that the home keeps, and says which models knew it.

The source itself (the recordings, their manifest, the example corpus) is never touched: it is its owner's to delete.
"""

import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from hbaf.home import home_folder
from hbaf.inbox.ledger.database import DATABASE, DATABASES, databases_used
from hbaf.privacy.journal import alone, begin, close, open_journals
from hbaf.privacy.places import files_that_hold
from hbaf.privacy.plan import ForgetError, Plan, kind_of, plan_of
from hbaf.privacy.receipts import Receipt
from hbaf.privacy.stores import STORES, tables_of
from hbaf.privacy.subject import Kind, Subject
from hbaf.scoring.store import ScoreStore


def forget(
    name: str | None = None,
    *,
    kind: Kind | None = None,
    older_than: timedelta | None = None,
    scores: tuple[Path, ...] = (),
    dry_run: bool = False,
) -> Receipt:
    """Forgets one subject, or everything that was not prepared or scored for a while.

    What an earlier forget left undone, of whatever subject, is completed first.

    Args:
        name: a corpus name, a dialogue id (or `corpus/dialogue`), or a speaker.
        kind: which of these, where the name alone does not tell.
        older_than: in place of a name: what was last prepared or scored before that.
        scores: folders of scores outside the home, which the home does not know.
        dry_run: only count.

    Raises:
        ForgetError: nothing has that name, several kinds of things have it, or a database that scores went to is not
            the one of the environment.
    """
    if (name is None) == (older_than is None):
        raise ForgetError("say what to forget: a name, or an age such as --older-than 90d.")
    if databases := databases_used():
        raise ForgetError(
            f"nothing is forgotten: scores of this home also went to {', '.join(databases)}, and this environment "
            f"names another database, or none. Set {DATABASE} to its address and run this again; where it is no more, "
            f"remove {home_folder() / 'inbox' / DATABASES}."
        )
    outside = tuple(str(place.absolute()) for place in scores)
    with alone():
        completed = {} if dry_run else {plan.subject: complete(plan) for plan in open_journals()}
        store = ScoreStore(tables_of(outside))
        if older_than is not None:
            subject = Subject(before=time.time() - older_than.total_seconds())
        else:
            assert name is not None
            subject = Subject(kind or kind_of(name, store), name)
        plan = plan_of(subject, store, outside)
        if dry_run:
            return plan.receipt
        if name is not None and not plan.receipt.touches_anything:
            before = [receipt for one, receipt in completed.items() if one.name == name and kind in (None, one.kind)]
            if before:
                return before[0]
            raise ForgetError(
                f"no {subject.kind} of that name is kept in {home_folder()}. Names are compared letter by letter."
            )
        return complete(begin(plan))


def complete(plan: Plan) -> Receipt:
    """Takes out of every store what a plan names; done again it does the same."""
    receipt = plan.receipt
    for store in STORES:
        receipt = store.remove(plan, receipt)
    receipt = replace(receipt, left_in=tuple(files_that_hold(plan.words))).written("done")
    close(plan)
    return receipt


def complete_interrupted() -> list[Receipt]:
    """Completes what earlier ones left undone; nothing where another process does."""
    with alone(wait=False) as free:
        return [complete(plan) for plan in open_journals()] if free else []
