"""The result in PostgreSQL: one transaction per conversation, every score kept, and a view of the ones that count.

hbaf.scores          rows by conversation, content and model
hbaf.conversations   which content and model of a conversation count
hbaf.current         the view: each utterance exactly once
hbaf.schema_version  steps of the DDL that were applied
"""

import json
from collections.abc import Collection, Iterator
from typing import Any

import pyarrow as pa
import sqlalchemy as sql

from hbaf.inbox.ledger.fence import Fence
from hbaf.inbox.publish.publication import publications_in
from hbaf.scoring.schema import COLUMNS, SCHEMA

_TYPES = {
    pa.string(): "text",
    pa.int64(): "bigint",
    pa.int32(): "integer",
    pa.float64(): "double precision",
    pa.float32(): "real",
    pa.bool_(): "boolean",
    pa.timestamp("us", tz="UTC"): "timestamptz",
}


def _type(kind: pa.DataType) -> str:
    if pa.types.is_dictionary(kind):
        return "text"
    return "jsonb" if pa.types.is_map(kind) else _TYPES[kind]


_COLUMN_LIST = ",\n  ".join(f'"{name}" {_type(kind)}' for name, kind in COLUMNS.items())

# Each is applied once, in order, and never changed afterwards: a new column is a new step.
STEPS: tuple[str, ...] = (
    f"""
create table hbaf.scores (
  {_COLUMN_LIST},
  primary key (conversation, conversation_digest, model_version, turn)
);
create table hbaf.conversations (
  conversation text primary key,
  source text not null,
  conversation_digest text not null,
  model_version text not null,
  published_at timestamptz not null default now()
);
create index on hbaf.conversations (source, published_at);
create view hbaf.current as
  select scores.* from hbaf.scores
  join hbaf.conversations using (conversation, conversation_digest, model_version);
""",
    # A model is known by its run: another registry may have given its name and number to another.
    """
alter table hbaf.conversations add column run_id text;
update hbaf.conversations set run_id = scores.run_id from hbaf.scores
  where scores.conversation = conversations.conversation
  and scores.conversation_digest = conversations.conversation_digest
  and scores.model_version = conversations.model_version;
drop view hbaf.current;
alter table hbaf.scores drop constraint scores_pkey;
alter table hbaf.scores add primary key (conversation, conversation_digest, run_id, turn);
create view hbaf.current as
  select scores.* from hbaf.scores join hbaf.conversations using (conversation, conversation_digest, run_id);
""",
)

_INSERT = "insert into hbaf.scores ({}) values ".format(", ".join(f'"{name}"' for name in COLUMNS))
_ROW = "({})".format(", ".join(["%s"] * len(COLUMNS)))
_POINT = """
insert into hbaf.conversations (conversation, source, conversation_digest, model_version, run_id)
values (%s, %s, %s, %s, %s)
on conflict (conversation) do update set
  conversation_digest = excluded.conversation_digest, model_version = excluded.model_version, run_id = excluded.run_id,
  published_at = now()
where (conversations.conversation_digest, conversations.run_id)
  is distinct from (excluded.conversation_digest, excluded.run_id)
"""
_BLOCK = 1000  # rows in one statement


class PostgresResult:
    """The tables in a database; made and brought up to date when opened."""

    def __init__(self, engine: sql.Engine) -> None:
        self.engine = engine
        with engine.begin() as connection:
            # Two that begin at once would both make the tables.
            connection.exec_driver_sql("select pg_advisory_xact_lock(hashtext('hbaf.schema_version'))")
            connection.exec_driver_sql("create schema if not exists hbaf")
            connection.exec_driver_sql(
                "create table if not exists hbaf.schema_version (step int primary key, at timestamptz default now())"
            )
            applied = connection.exec_driver_sql("select coalesce(max(step), 0) from hbaf.schema_version").scalar_one()
            if applied > len(STEPS):
                raise RuntimeError(f"the tables in schema hbaf are of a newer hbaf (step {applied}). Upgrade hbaf.")
            for step, statements in enumerate(STEPS[applied:], start=applied + 1):
                connection.exec_driver_sql(statements)
                connection.exec_driver_sql("insert into hbaf.schema_version (step) values (%s)", (step,))

    def replace(self, rows: pa.Table, fence: Fence) -> None:
        """Publishes conversations, each in a transaction of its own; publishing one again changes nothing.

        Args:
            rows: all of each conversation, in the published schema.

        Raises:
            hbaf.inbox.ledger.fence.LostLock: another writer has begun.
        """
        by_conversation: dict[str, list[tuple[Any, ...]]] = {}
        for row in rows.to_pylist():
            by_conversation.setdefault(row["conversation"], []).append(_values(row))
        for one in publications_in(rows):
            source = one.conversation.partition("/")[0]
            with self.engine.begin() as connection:
                fence.check_within(connection)
                cursor = connection.connection.cursor()
                for some in _blocks(by_conversation[one.conversation]):
                    # One statement for many rows: a statement for each costs a journey to the server.
                    values = b",".join(cursor.mogrify(_ROW, row) for row in some)
                    cursor.execute(_INSERT.encode() + values + b" on conflict do nothing")
                cursor.execute(_POINT, (one.conversation, source, one.digest, one.model_version, one.run_id))

    def remove(self, conversations: Collection[str], fence: Fence) -> None:
        """Takes conversations out, with every score of them.

        Raises:
            hbaf.inbox.ledger.fence.LostLock: another writer has begun.
        """
        names = list(conversations)
        with self.engine.begin() as connection:
            fence.check_within(connection)
            for table in ("hbaf.conversations", "hbaf.scores"):
                connection.execute(sql.text(f"delete from {table} where conversation = any(:names)"), {"names": names})

    def read(self, conversations: Collection[str]) -> pa.Table:
        """Rows of these conversations that count, in the published schema."""
        asked = sql.text("select * from hbaf.current where conversation = any(:names)")
        with self.engine.begin() as connection:
            rows = [dict(row) for row in connection.execute(asked, {"names": list(conversations)}).mappings()]
        for row in rows:
            row["probabilities"] = row["probabilities"] and list(row["probabilities"].items())
        return pa.Table.from_pylist(rows, schema=SCHEMA)

    def standing(self, source: str, names: Collection[str] | None = None) -> dict[str, tuple[str, str, int]]:
        """Conversation of a source -> (digest, run of its model, rows) of the score that counts; of some or all."""
        asked = """
            select conversation, conversations.conversation_digest, conversations.run_id, count(turn)
            from hbaf.conversations left join hbaf.scores using (conversation, conversation_digest, run_id)
            where conversations.source = :source and (:all or conversation = any(:names)) group by 1, 2, 3
        """
        given = {"source": source, "all": names is None, "names": list(names or ())}
        with self.engine.begin() as connection:
            rows = connection.execute(sql.text(asked), given)
            return {row[0]: (row[1], row[2], row[3]) for row in rows}


def _blocks(rows: list[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    return (rows[at : at + _BLOCK] for at in range(0, len(rows), _BLOCK))


def _values(row: dict[str, Any]) -> tuple[Any, ...]:
    pairs = row["probabilities"]
    # NUL is a character of Unicode that PostgreSQL keeps in no text.
    clean = {name: value.replace("\0", "") if isinstance(value, str) else value for name, value in row.items()}
    clean["probabilities"] = None if pairs is None else json.dumps({name: round(p, 7) for name, p in pairs})
    return tuple(clean[name] for name in COLUMNS)
