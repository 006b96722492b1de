"""Who may write to a published place: its newest writer alone, however long an earlier one believes in its lock.

A lock that a connection holds can be lost unnoticed. So whoever takes it also takes a number, greater than all before
it (a fencing token), and every write asks first whether that is still the newest one.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field

import sqlalchemy as sql

from hbaf.inbox.ledger.tables import PLACES

CONNECTION_ENDED = "the connection that held its lock ended"


class LostLock(RuntimeError):
    """Another writer may be at work, so this one has stopped; what it had not published is left to the next run."""


@dataclass(frozen=True)
class Fence:
    """The right of one writer to a published place.

    Attributes:
        place: where the scores go, as the ledger names it.
        source: whose scores; "" for a place that the ledger knows no source of.
        token: greater than that of every writer before.
        is_locked: whether the locks that were taken with it are still held.
        writer: tells two ledgers apart whose numbers are equal by chance.
    """

    engine: sql.Engine
    place: str
    source: str
    token: int
    is_locked: Callable[[], bool]
    writer: str = field(default_factory=lambda: os.urandom(8).hex())

    def check(self) -> None:
        """Asks the locks and the ledger.

        Raises:
            LostLock: a lock's connection ended, or another writer has begun.
        """
        if not self.is_locked():
            raise self.lost(CONNECTION_ENDED)
        with self.engine.begin() as connection:
            self.check_within(connection)

    def check_within(self, connection: sql.Connection) -> None:
        """Asks inside a transaction; until that ends nobody takes a newer number.

        Raises:
            LostLock: another writer has begun.
        """
        # An update that changes nothing locks the row, also where a database knows no `for share`.
        own = (PLACES.c.place == self.place) & (PLACES.c.token == self.token)
        if not connection.execute(PLACES.update().where(own).values(token=self.token)).rowcount:
            raise self.lost("a newer run has begun")

    def lost(self, why: str) -> LostLock:
        """The error of a writer that may not go on."""
        return LostLock(
            f"{self.source or self.place}: this run has stopped, as {why}. What it did not publish is published by the "
            "next run; start it again if none is at work."
        )


def take(engine: sql.Engine, place: str, source: str, beyond: int, is_locked: Callable[[], bool]) -> Fence:
    """The newest right to a place, which ends all earlier ones.

    Args:
        beyond: the greatest number that the place itself knows; another home may have written there.
    """
    own = PLACES.c.place == place
    with engine.begin() as connection:
        known = sql.case((PLACES.c.token < beyond, beyond), else_=PLACES.c.token)
        if connection.execute(PLACES.update().where(own).values(token=known + 1)).rowcount:
            token = int(connection.scalar(sql.select(PLACES.c.token).where(own)) or 0)
        else:
            token = beyond + 1
            connection.execute(PLACES.insert().values(place=place, token=token))
    return Fence(engine, place, source, token, is_locked)
