"""Columns that a run refers to stay, others go once they are old enough."""

import numpy as np
import pytest

from feature_store.manifest import Column
from feature_store.store import FeatureStore
from hbaf.cli import main
from hbaf.features.columns import default_store
from hbaf.registry.columns_in_use import columns_in_use, unused_columns
from hbaf.registry.tracking import run


def put(store: FeatureStore, digest: str, name: str, **identity: str) -> str:
    column = Column(digest * 32, name, 3, {"name": name, **identity})
    store.put(column, ["key"], np.ones((1, 3), np.float32))
    return column.digest


def hbaf(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    return int(stopped.value.code or 0)


@pytest.fixture
def store(tmp_path: object) -> FeatureStore:
    return FeatureStore(str(tmp_path))


def test_who_uses_a_column(store: FeatureStore) -> None:
    trained, forgotten = put(store, "a1", "mfcc"), put(store, "b2", "mfcc")
    imported, fold = put(store, "c3", "imported"), put(store, "d4", "finetuned", encoder="e")
    whole = put(store, "e5", "finetuned", encoder="e")
    with run("test", tags={"audio_column": trained, "text_column": whole}) as log:
        pass
    kept, stale = put(store, "f6", "selected", run=log.run_id), put(store, "a7", "selected", run="0" * 32)
    columns = store.list()
    used = columns_in_use(columns)
    assert set(used) == {trained, imported, fold, whole, kept}
    assert used[trained] == f"run {log.run_id[:12]}"
    assert {column.digest for column in unused_columns(columns, used, -1)} == {forgotten, stale}
    assert unused_columns(columns, used, 3600) == [], "somebody may be about to train on it"


def test_the_verb_lists_verifies_and_collects(store: FeatureStore, capsys: pytest.CaptureFixture[str]) -> None:
    digest = put(store, "b2", "forgotten")
    where = ("--store", store.url)
    assert hbaf("features", *where) == 0
    listed = capsys.readouterr().out
    assert "forgotten" in listed
    assert "nothing" in listed
    assert hbaf("features", "--collect", *where) == 0
    assert "1 columns kept" in capsys.readouterr().out
    assert hbaf("features", "--collect", "--dry-run", "--grace-hours=-1", *where) == 0
    assert "would remove forgotten" in capsys.readouterr().out
    assert [column.digest for column in store.list()] == [digest]
    assert hbaf("features", "--collect", "--grace-hours=-1", *where) == 0
    assert FeatureStore(store.url).list() == []


def test_a_flipped_byte_is_named_by_the_verb(store: FeatureStore, capsys: pytest.CaptureFixture[str]) -> None:
    from pathlib import Path

    put(store, "b2", "mfcc")
    assert hbaf("features", "--verify", "--store", store.url) == 0
    (shard,) = Path(store.url).glob("*/shards/*.arrow")
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(bytes(content))
    capsys.readouterr()
    assert hbaf("features", "--verify", "--store", store.url) == 1
    assert shard.name in capsys.readouterr().out


def test_without_a_store_named_the_home_is_meant() -> None:
    assert default_store().url.endswith("features")
