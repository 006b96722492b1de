"""The ledger's tables and how rows are read and changed in blocks. All times are seconds since 1970."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import sqlalchemy as sql

BLOCK = 500  # names in one statement

TABLES = sql.MetaData()
META = sql.Table("hbaf_inbox_meta", TABLES, sql.Column("version", sql.Integer, primary_key=True))
SOURCES = sql.Table(
    "hbaf_inbox_sources",
    TABLES,
    sql.Column("source", sql.Text, primary_key=True),
    sql.Column("url", sql.Text, nullable=False),
    sql.Column("published", sql.Text, nullable=False),
)
ARRIVALS = sql.Table(
    "hbaf_inbox_arrivals",
    TABLES,
    sql.Column("source", sql.Text, primary_key=True),
    sql.Column("arrival", sql.Text, primary_key=True),
    sql.Column("fingerprint", sql.Text, nullable=False),
    sql.Column("state", sql.Text, nullable=False),
    sql.Column("reason", sql.Text, nullable=False, default=""),
    sql.Column("first_seen", sql.Float, nullable=False),  # seconds since 1970, as all times here
    sql.Column("changed_at", sql.Float, nullable=False),  # when this fingerprint was seen first
    sql.Column("state_at", sql.Float, nullable=False),
    sql.Index("hbaf_inbox_arrivals_by_state", "state", "source"),
)
CONVERSATIONS = sql.Table(
    "hbaf_inbox_conversations",
    TABLES,
    sql.Column("source", sql.Text, primary_key=True),
    sql.Column("conversation", sql.Text, primary_key=True),  # "<source>/<dialogue_id>"
    sql.Column("arrival", sql.Text, nullable=False),
    sql.Column("digest", sql.Text, nullable=False),
    sql.Column("state", sql.Text, nullable=False),
    sql.Column("reason", sql.Text, nullable=False, default=""),
    sql.Column("first_seen", sql.Float, nullable=False),
    sql.Column("state_at", sql.Float, nullable=False),
    # What is published, which stays while a newer content waits or is in quarantine.
    sql.Column("part", sql.Integer),
    sql.Column("published_digest", sql.Text),
    sql.Column("model_version", sql.Text),
    sql.Column("run_id", sql.Text),  # of the run that made the model: what tells it from another's of that label
    sql.Column("rows", sql.Integer),
    sql.Column("unscored", sql.Integer),
    sql.Column("published_at", sql.Float),
    sql.Column("rescore", sql.Boolean, nullable=False, default=False),
    sql.Index("hbaf_inbox_by_digest", "source", "digest"),
    sql.Index("hbaf_inbox_by_arrival", "source", "arrival"),
    # What each run and each look asks must not cost more the more was published before.
    sql.Index("hbaf_inbox_by_part", "source", "part", "rows"),
    sql.Index("hbaf_inbox_by_state", "state", "source"),
    sql.Index("hbaf_inbox_by_rescore", "source", "rescore"),
    sql.Index("hbaf_inbox_by_time", "source", "published_at"),
)
RUNS = sql.Table(
    "hbaf_inbox_runs",
    TABLES,
    sql.Column("run", sql.Integer, primary_key=True, autoincrement=True),
    sql.Column("source", sql.Text, nullable=False),
    sql.Column("model_version", sql.Text, nullable=False),
    sql.Column("run_id", sql.Text),
    sql.Column("champion_from", sql.Text, nullable=False),
    sql.Column("purpose", sql.Text, nullable=False),
    sql.Column("state", sql.Text, nullable=False),
    sql.Column("started_at", sql.Float, nullable=False),
    sql.Column("ended_at", sql.Float),
    sql.Column("counts", sql.Text, nullable=False, default="{}"),
    sql.Column("error", sql.Text, nullable=False, default=""),
)
# What was forgotten, so that no later run takes it in again, without its name: whoever knows the name can check it.
FORGOTTEN = sql.Table(
    "hbaf_inbox_forgotten",
    TABLES,
    sql.Column("source", sql.Text, primary_key=True),
    sql.Column("digest", sql.Text, primary_key=True),  # sha256 of salt and the name of the conversation or arrival
    sql.Column("arrival", sql.Text, nullable=False),  # sha256 of salt and the arrival's name; "" where it holds more
    sql.Column("salt", sql.Text, nullable=False),  # one for a source
    sql.Column("at", sql.Float, nullable=False),
)
# Who may write to a published place: the number that its newest writer took. It only grows.
PLACES = sql.Table(
    "hbaf_inbox_places",
    TABLES,
    sql.Column("place", sql.Text, primary_key=True),
    sql.Column("token", sql.BigInteger, nullable=False),
)
# What arrivals of a source were read with last: with other settings what is in quarantine is read again.
SETTINGS = sql.Table(
    "hbaf_inbox_settings",
    TABLES,
    sql.Column("source", sql.Text, primary_key=True),
    sql.Column("digest", sql.Text, nullable=False),
)


def in_blocks(names: Collection[str]) -> Iterator[list[str]]:
    """Names in parts that one statement may hold."""
    ordered = list(names)
    return (ordered[at : at + BLOCK] for at in range(0, len(ordered), BLOCK))


def arrivals_at(source: str, names: Collection[str]) -> sql.ColumnElement[bool]:
    """Arrivals of these names."""
    return (ARRIVALS.c.source == source) & ARRIVALS.c.arrival.in_(list(names))


def conversations_at(source: str, names: Collection[str]) -> sql.ColumnElement[bool]:
    """Conversations of these names."""
    return (CONVERSATIONS.c.source == source) & CONVERSATIONS.c.conversation.in_(list(names))


def update_conversations(connection: sql.Connection, source: str, rows: Sequence[dict[str, Any]]) -> None:
    """Sets columns of conversations, all of the same ones; a statement for each would cost more than its work."""
    if not rows:
        return
    place = (CONVERSATIONS.c.source == source) & (CONVERSATIONS.c.conversation == sql.bindparam("which"))
    values: dict[str, Any] = {name: sql.bindparam(f"new_{name}") for name in rows[0] if name != "conversation"}
    given = [
        {"which": row["conversation"], **{f"new_{name}": value for name, value in row.items() if name in values}}
        for row in rows
    ]
    connection.execute(CONVERSATIONS.update().where(place).values(values), given)
