"""Tables that an older hbaf made in PostgreSQL are brought up to date, and a conversation counts by content and run."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sql

from hbaf.inbox.ledger.database import Ledger
from hbaf.inbox.publish.postgres import STEPS, PostgresResult
from hbaf.scoring.schema import SCHEMA
from tests.inbox.test_kills import database

__all__ = ["database"]  # a fixture


@pytest.fixture
def engine(database: str) -> Iterator[sql.Engine]:
    made = sql.create_engine(database)
    with made.begin() as connection:
        connection.exec_driver_sql("drop schema if exists hbaf cascade")
    yield made
    made.dispose()


def rows(run_id: str, label: str = "joy") -> pa.Table:
    """One utterance of one conversation, by the model that a run made; both are called `hbaf-calls/1`."""
    row = {"utterance_id": "calls/a/0", "conversation": "calls/a", "source": "calls", "dialogue_id": "a", "turn": 0}
    said = {"status": "scored", "label": label, "probabilities": [(label, 1.0)]}
    made = {"conversation_digest": "d", "model_version": "hbaf-calls/1", "run_id": run_id}
    return pa.Table.from_pylist([row | said | made], schema=SCHEMA)


def current(engine: sql.Engine) -> list[tuple[str, str]]:
    with engine.begin() as connection:
        return [(r.run_id, r.label) for r in connection.execute(sql.text("select run_id, label from hbaf.current"))]


@pytest.mark.slow  # starts PostgreSQL
def test_rows_of_an_older_hbaf_count_by_their_run(engine: sql.Engine, tmp_path: Path) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("create schema hbaf")
        connection.exec_driver_sql("create table hbaf.schema_version (step int primary key, at timestamptz)")
        connection.exec_driver_sql(STEPS[0])
        connection.exec_driver_sql("insert into hbaf.schema_version (step) values (1)")
        given = "'calls/a', 'd', 'hbaf-calls/1'"
        connection.exec_driver_sql(
            "insert into hbaf.scores"
            " (utterance_id, turn, conversation, conversation_digest, model_version, run_id, label)"
            f" values ('calls/a/0', 0, {given}, 'one', 'joy')"
        )
        connection.exec_driver_sql(
            "insert into hbaf.conversations (source, conversation, conversation_digest, model_version)"
            f" values ('calls', {given})"
        )
    result = PostgresResult(engine)
    assert current(engine) == [("one", "joy")]
    with Ledger(engine).alone("calls", str(tmp_path)) as fence:
        result.replace(rows("two", "anger"), fence)
        assert current(engine) == [("two", "anger")]
        result.replace(rows("two", "anger"), fence)
    assert current(engine) == [("two", "anger")]
