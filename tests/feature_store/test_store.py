"""The contract of the feature store: on a local folder, on a file system in memory, and on a local S3 server."""

import gc
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from feature_store import key_index
from feature_store.files import Files, Replaced
from feature_store.key_index import KeyIndex
from feature_store.manifest import Column, ShardEntry, StoreError, key_digests, shard_entry
from feature_store.store import FeatureStore

COLUMN = Column("ab" * 32, "toy", 4, {"name": "toy", "version": 1})


def rows(keys: list[str], dim: int = 4) -> np.ndarray:
    """A vector that depends on the key alone."""
    seeds = key_digests(keys).view("u8")[::2]
    return np.stack([np.random.default_rng(int(seed)).normal(size=dim) for seed in seeds]).astype(np.float32)


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


@pytest.fixture(params=["local", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FeatureStore:
    if request.param == "s3":
        return FeatureStore(request.getfixturevalue("s3_bucket"))
    return FeatureStore(tmp_path / "features" if request.param == "local" else f"memory://{uuid.uuid4()}/features")


def test_rows_come_back_in_the_order_asked_for(store: FeatureStore) -> None:
    for prefix in "abc":
        keys = names(prefix, 5)
        store.put(COLUMN, keys, rows(keys))
    wanted = ["c4", "a0", "b2", "a0", "c1"]
    vectors, problems = FeatureStore(store.url).get(COLUMN, wanted)
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, rows(wanted))
    assert problems == [None] * 5


def test_missing_keeps_order_and_drops_repeats(store: FeatureStore) -> None:
    assert store.missing(COLUMN, ["b", "a", "b"]) == ["b", "a"]
    store.put(COLUMN, ["a"], rows(["a"]))
    assert store.missing(COLUMN, ["c", "b", "a", "c"]) == ["c", "b"]
    assert store.missing(COLUMN, []) == []


def test_another_store_object_sees_new_shards_and_removed_ones(store: FeatureStore) -> None:
    other = FeatureStore(store.url)
    assert other.missing(COLUMN, ["a"]) == ["a"]
    store.put(COLUMN, ["a", "b"], rows(["a", "b"]))
    assert other.missing(COLUMN, ["a"]) == []
    store.forget(["a"])
    assert other.missing(COLUMN, ["a", "b"]) == ["a"]


def test_a_problem_row_is_nan_and_tells_why(store: FeatureStore) -> None:
    store.put(COLUMN, ["a", "b"], rows(["a", "b"]), [None, "too short"])
    vectors, problems = store.get(COLUMN, ["b", "a"])
    assert np.isnan(vectors[0]).all()
    np.testing.assert_array_equal(vectors[1], rows(["a"])[0])
    assert problems == ["too short", None]
    assert store.list()[0].nan_share == 0.5


def test_absent_keys_are_counted_and_the_next_step_named(store: FeatureStore) -> None:
    store.put(COLUMN, ["a"], rows(["a"]))
    with pytest.raises(StoreError, match=r"column toy abababababab: 2 of 3 keys .*hbaf extract"):
        store.get(COLUMN, ["a", "x", "y"])


def test_equal_rows_put_twice_are_one_shard_and_unequal_ones_one_row(store: FeatureStore) -> None:
    store.put(COLUMN, ["a", "b"], rows(["a", "b"]))
    store.put(COLUMN, ["a", "b"], rows(["a", "b"]))
    assert (store.list()[0].shards, store.list()[0].rows) == (1, 2)
    store.put(COLUMN, ["b", "c"], rows(["x", "c"]))
    info = store.list()[0]
    assert (info.shards, info.rows) == (2, 3)
    np.testing.assert_array_equal(store.get(COLUMN, ["b"])[0], rows(["b"]))  # the first writer wins


def test_list_tells_what_is_stored(store: FeatureStore) -> None:
    store.put(COLUMN, ["a"], rows(["a"]), origin={"numpy": "2"})
    store.put(Column("cd" * 32, "other", 2), ["a"], rows(["a"], 2))
    other, toy = store.list()
    assert (other.name, toy.name, toy.dim, toy.rows, toy.shards) == ("other", "toy", 4, 1, 1)
    assert toy.identity == {"name": "toy", "version": 1}
    assert toy.bytes > 16
    assert toy.created is not None
    assert abs(toy.created.timestamp() - time.time()) < 60


@pytest.mark.parametrize(
    ("keys", "vectors", "problems", "message"),
    [
        (["a"], np.zeros((2, 4), np.float32), None, r"\(1, 4\) float32, not \(2, 4\)"),
        (["a"], np.zeros((1, 3), np.float32), None, r"not \(1, 3\)"),
        (["a"], np.zeros((1, 4)), None, "float64"),
        (["a", "a"], np.zeros((2, 4), np.float32), None, "1 keys come twice"),
        (["a"], np.zeros((1, 4), np.float32), ["x", "y"], "1 keys came with 2 problems"),
    ],
)
def test_put_refuses_what_does_not_fit(
    store: FeatureStore, keys: list[str], vectors: np.ndarray, problems: list[str | None] | None, message: str
) -> None:
    with pytest.raises(StoreError, match=message):
        store.put(COLUMN, keys, vectors, problems)
    assert store.list() == []


def test_another_dim_under_the_same_digest_is_refused(store: FeatureStore) -> None:
    store.put(COLUMN, ["a"], rows(["a"]))
    with pytest.raises(StoreError, match="stored with 4 numbers per row, now 5"):
        store.put(Column(COLUMN.digest, "toy", 5), ["b"], rows(["b"], 5))


def test_a_digest_that_is_no_digest_never_becomes_a_path() -> None:
    with pytest.raises(StoreError, match="hexadecimal"):
        Column("../../etc", "evil", 4)


def test_forget_removes_rows_of_every_column_and_every_trace(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    second = Column("cd" * 32, "second", 2)
    store.put(COLUMN, ["keep", "secret-key"], rows(["keep", "secret-key"]))
    store.put(COLUMN, ["far"], rows(["far"]))
    store.put(second, ["secret-key"], rows(["secret-key"], 2))
    assert store.forget(["secret-key", "never stored"]) == 2
    assert store.missing(COLUMN, ["keep", "secret-key", "far"]) == ["secret-key"]
    np.testing.assert_array_equal(store.get(COLUMN, ["keep", "far"])[0], rows(["keep", "far"]))
    assert store.list()[0].shards == 0  # of "second"
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"secret-key" in path.read_bytes()]
    assert store.forget(["secret-key"]) == 0
    assert store.verify() == []


def test_a_forget_that_stopped_halfway_is_completed(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    store.put(COLUMN, ["a", "b"], rows(["a", "b"]))
    # As after a kill between publishing the new shard and removing the old one.
    store.put(COLUMN, ["b"], rows(["b"]))
    assert store.forget(["a"]) == 1
    assert store.missing(COLUMN, ["a", "b"]) == ["a"]
    assert store.list()[0].shards == 1


def test_a_flipped_byte_on_any_storage_is_found_and_named(store: FeatureStore) -> None:
    store.put(COLUMN, ["a", "b"], rows(["a", "b"]))
    store.put(COLUMN, ["c"], rows(["c"]))
    name = sorted(store._files.list(f"{COLUMN.digest}/shards"))[0]
    content = bytearray(store._files.read(f"{COLUMN.digest}/shards/{name}"))
    content[len(content) // 2] ^= 1
    store._files.write(f"{COLUMN.digest}/shards/{name}", bytes(content))
    (problem,) = store.verify()
    assert name in problem.path
    assert "damaged" in problem.what
    store.discard(problem)
    assert store.verify() == []
    assert store.missing(COLUMN, ["a", "b", "c"]) in (["a", "b"], ["c"])


def test_two_writers_on_any_storage_end_with_one_good_column(store: FeatureStore) -> None:
    from concurrent.futures import ThreadPoolExecutor

    keys = names("k", 24)

    def write(order: list[str]) -> None:
        own = FeatureStore(store.url)
        for start in range(0, len(order), 6):
            wanted = own.missing(COLUMN, order[start : start + 6])
            own.put(COLUMN, wanted, rows(wanted) if wanted else rows(["-"])[:0])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, [keys, keys[::-1]]))
    fresh = FeatureStore(store.url)
    np.testing.assert_array_equal(fresh.get(COLUMN, keys)[0], rows(keys))
    assert fresh.verify() == []
    assert fresh.list()[0].rows == 24


@pytest.mark.parametrize("place", [0, 100, -3])
def test_a_flipped_byte_is_found_and_the_shard_named(tmp_path: Path, place: int) -> None:
    store = FeatureStore(tmp_path)
    store.put(COLUMN, ["good"], rows(["good"]))
    store.put(COLUMN, ["bad"], rows(["bad"]))
    shard = next(path for path in tmp_path.rglob("*.arrow") if b"bad" in path.read_bytes())
    content = bytearray(shard.read_bytes())
    content[place] ^= 1
    shard.write_bytes(content)
    with pytest.raises(StoreError, match=rf"{re.escape(str(shard))}: shard {shard.stem[:12]} is damaged"):
        store.get(COLUMN, ["good", "bad"])
    np.testing.assert_array_equal(store.get(COLUMN, ["good"])[0], rows(["good"]))
    (problem,) = store.verify(COLUMN)
    assert (problem.shard, problem.path) == (shard.stem, str(shard))
    store.discard(problem)
    assert store.missing(COLUMN, ["good", "bad"]) == ["bad"]
    store.put(COLUMN, ["bad"], rows(["bad"]))
    assert store.verify() == []


def test_putting_again_heals_a_damaged_shard(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    store.put(COLUMN, ["a"], rows(["a"]))
    next(tmp_path.rglob("*.arrow")).write_bytes(b"rubbish")
    store.put(COLUMN, ["a"], rows(["a"]))
    np.testing.assert_array_equal(store.get(COLUMN, ["a"])[0], rows(["a"]))


def test_a_damaged_manifest_entry_is_found(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    store.put(COLUMN, ["a"], rows(["a"]))
    entry = next(tmp_path.rglob("manifest/*.json"))
    entry.write_text(entry.read_text().replace('"rows": 1', '"rows": 2'))
    with pytest.raises(StoreError, match=entry.name):
        FeatureStore(tmp_path).get(COLUMN, ["a"])
    (problem,) = store.verify()
    assert problem.path == str(entry)
    store.discard(problem)
    assert FeatureStore(tmp_path).missing(COLUMN, ["a"]) == ["a"]


def test_a_shard_that_is_gone_is_named(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    store.put(COLUMN, ["a"], rows(["a"]))
    next(tmp_path.rglob("*.arrow")).unlink()
    with pytest.raises(StoreError, match="names a shard that is gone"):
        store.get(COLUMN, ["a"])
    assert "gone" in store.verify()[0].what


def test_garbage_is_orphans_and_unwanted_columns(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    old = Column("cd" * 32, "old", 2)
    store.put(COLUMN, ["a"], rows(["a"]))
    store.put(old, ["a"], rows(["a"], 2))
    orphan = tmp_path / COLUMN.digest / "shards" / ("0" * 64 + ".arrow")
    half = orphan.with_name(".half.tmp")
    for path in (orphan, half):
        path.write_bytes(b"x")
    assert store.collect_garbage() == []  # too young: a writer may be at work
    assert set(store.collect_garbage(dry_run=True, grace_seconds=-1)) == {str(orphan), str(half)}
    assert orphan.exists()
    store.collect_garbage(keep={COLUMN.digest}, grace_seconds=-1)
    assert not orphan.exists()
    assert not half.exists()
    assert not (tmp_path / old.digest).exists()
    assert [info.name for info in store.list()] == ["toy"]
    np.testing.assert_array_equal(store.get(COLUMN, ["a"])[0], rows(["a"]))


def test_garbage_of_an_object_store(store: FeatureStore) -> None:
    store.put(COLUMN, ["a"], rows(["a"]))
    assert store.collect_garbage(keep=set(), dry_run=True)
    assert store.missing(COLUMN, ["a"]) == []
    store.collect_garbage(keep=set())
    assert store.list() == []
    assert store.missing(COLUMN, ["a"]) == ["a"]


def test_a_file_is_replaced_only_if_it_is_still_the_one_that_was_read(s3_bucket: str) -> None:
    files = Files(s3_bucket)
    assert files.version("a") == ""
    files.write("a", b"1", "")
    read = files.version("a")
    files.write("a", b"2", read)
    for outdated in (read, ""):
        with pytest.raises(Replaced, match="another writer replaced it"):
            files.write("a", b"3", outdated)
    assert files.read("a") == b"2"
    files.write("a", b"3")
    assert files.read("a") == b"3"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a user whom permissions bind")
def test_a_read_only_folder_gives_a_clear_error(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o500)
    with pytest.raises(StoreError, match="cannot be written"):
        FeatureStore(folder).put(COLUMN, ["a"], rows(["a"]))


def test_a_file_in_the_place_of_the_folder_gives_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "features").write_text("not a folder")
    with pytest.raises(StoreError, match="cannot be"):
        FeatureStore(tmp_path / "features").put(COLUMN, ["a"], rows(["a"]))


def test_a_full_disk_leaves_no_half_file(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    store = FeatureStore(tmp_path)
    store.put(COLUMN, ["a"], rows(["a"]))
    before = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    keys = names("k", 4000)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A limit on the size of files fails a write halfway, as a full disk does.
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limit[1]))
    try:
        with pytest.raises(StoreError, match="cannot be written"):
            store.put(COLUMN, keys, rows(keys))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == before


# The writers below are scripts, as spawned processes cannot import a test module by name.
WRITER = textwrap.dedent(
    """
    import sys, numpy as np
    from feature_store.manifest import Column
    from feature_store.store import FeatureStore
    url, size, most, step = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    store, column = FeatureStore(url), Column("ab" * 32, "toy", 2000)
    for start in range(0, most, size):
        keys = [f"{row}" for row in range(start, min(start + size, most))]
        values = np.arange(start, start + len(keys), dtype=np.float32) * step
        store.put(column, keys, np.repeat(values[:, None], 2000, axis=1))
        print(start, flush=True)
    """
)
WIDE = Column("ab" * 32, "toy", 2000)


def start_writer(folder: Path, size: int, most: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(folder), str(size), str(most), "1"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_that_put_the_same_keys_converge(tmp_path: Path) -> None:
    # They cut their shards differently, so the same keys lie in different shards.
    writers = [start_writer(tmp_path, 20, 400), start_writer(tmp_path, 33, 400)]
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    store = FeatureStore(tmp_path)
    vectors, _ = store.get(WIDE, [f"{row}" for row in range(400)])
    np.testing.assert_array_equal(vectors[:, 7], np.arange(400))
    assert (store.list()[0].rows, store.list()[0].shards) == (400, 20 + 13)
    assert store.verify() == []


def test_a_killed_writer_leaves_only_whole_shards(tmp_path: Path) -> None:
    for delay in (0.0, 0.003, 0.01):
        with start_writer(tmp_path, 50, 10_000_000) as writer:
            assert writer.stdout is not None
            done = int(next(line for line in writer.stdout if line.strip() == "150"))
            time.sleep(delay)
            writer.kill()
        store = FeatureStore(tmp_path)
        assert store.verify() == []
        vectors, _ = store.get(WIDE, [f"{row}" for row in range(done + 50)])
        np.testing.assert_array_equal(vectors[:, 0], np.arange(done + 50))


def test_the_index_finds_keys_among_many(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    narrow = Column("ef" * 32, "narrow", 1)
    keys = names("key ", 20_000)
    store.put(narrow, keys, np.arange(20_000, dtype=np.float32)[:, None])
    index = store._index(narrow.digest)
    assert len(index) == 20_000
    shards, at = index.find(["key 19999", "nobody", "key 0"])
    assert shards.tolist() == [0, -1, 0]
    assert at[[0, 2]].tolist() == [19_999, 0]


def entries_of(shards: list[list[str]], created: list[float]) -> list[ShardEntry]:
    vectors = np.zeros((1, 1), np.float32)
    made = [shard_entry(f"{number}".encode(), keys, vectors, 0.0, {}) for number, keys in enumerate(shards)]
    return [replace(entry, created=at) for entry, at in zip(made, created, strict=True)]


@pytest.mark.parametrize("in_memory", [1_000_000, 1], ids=["memory", "disk"])
def test_the_index_is_that_of_a_dictionary(in_memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever comes together, in blocks, in memory or on disk: of a key in several shards the oldest has it."""
    monkeypatch.setattr(key_index, "IN_MEMORY", in_memory)
    monkeypatch.setattr(key_index, "BLOCK", 7)
    random = np.random.default_rng(0)
    shards = [[f"key {key}" for key in random.choice(150, size=12, replace=False)] for _ in range(40)]
    created = random.permutation(40).astype(float).tolist()
    entries, index = entries_of(shards, created), KeyIndex()
    for at in (0, 1, 2, 9, 10, 30):
        index.add(entries[at : {0: 1, 1: 2, 2: 9, 9: 10, 10: 30, 30: 40}[at]])
    oldest: dict[str, tuple[float, int, int]] = {}
    for number, keys in enumerate(shards):
        for row, key in enumerate(keys):
            oldest[key] = min(oldest.get(key, (np.inf, 0, 0)), (created[number], number, row))
    asked = [f"key {number}" for number in range(160)]
    for _ in range(2):  # in several runs, then in one
        found, rows = index.find(asked)
        for key, shard, row in zip(asked, found.tolist(), rows.tolist(), strict=True):
            assert (key in oldest) == (shard >= 0)
            if shard >= 0:
                assert (index.shards[shard].shard, row) == (entries[oldest[key][1]].shard, oldest[key][2])
        assert len(index) == len(oldest)


def test_what_is_kept_of_a_column_does_not_grow_with_its_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many shards, one by one: few runs, all long ones on disk, no entry in memory, and each entry is read once."""
    monkeypatch.setattr(key_index, "IN_MEMORY", 64)
    store, narrow = FeatureStore(tmp_path), Column("ef" * 32, "narrow", 1)
    read: list[str] = []
    read_all = store._files.read_all
    monkeypatch.setattr(store._files, "read_all", lambda names: read.extend(names) or read_all(names))
    for shard in range(100):
        keys = [f"{shard} {row}" for row in range(8)]
        assert store.missing(narrow, keys) == keys
        store.put(narrow, keys, np.zeros((8, 1), np.float32))
    assert store.missing(narrow, ["0 0", "99 7", "100 0"]) == ["100 0"]
    index = store._indexes[narrow.digest]
    assert len(read) == len(set(read)) == len(index.shards) == 100
    assert len(index._runs) <= 7  # each at least twice as long as the next
    assert sum(run.keys.nbytes for run in index._runs if not run.pages) <= 2 * 64 * 16
    assert not [one for one in gc.get_objects() if isinstance(one, ShardEntry)]
