"""Feature columns as immutable shards keyed by content: put, get, missing, list, verify, forget, collect garbage.

    <url>/<column digest>/column.json            what the column is
    <url>/<column digest>/shards/<sha256>.arrow  rows: key, vector, problem (Arrow IPC)
    <url>/<column digest>/manifest/<sha256>.json one entry per shard, written last

Nothing is ever changed in place and no file is shared between writers: a writer that is killed leaves at most a shard
without an entry, which nobody sees. Every byte that is read is checked against the shard's sha256.
"""

import re
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from feature_store.files import Files
from feature_store.key_index import KeyIndex, StoredShard
from feature_store.manifest import (
    Column,
    ColumnInfo,
    Location,
    Problem,
    ShardEntry,
    StoreError,
    key_digests,
    open_sealed_json,
    sealed_json,
    shard_entry,
)
from feature_store.shard import decode_shard, encode_shard

# Inside the class `list` is the method of that name.
Strings: TypeAlias = list[str]
Reasons: TypeAlias = list[str | None]  # why a row has no vector
Problems: TypeAlias = list[Problem]
Infos: TypeAlias = list[ColumnInfo]
Entries: TypeAlias = list[ShardEntry]
BLOCK = 256  # manifest entries that are read at a time


def open_store(url: str | Path) -> "FeatureStore":
    """The store at a place, the same object again in the same thread: what it read of manifests is kept."""
    return _opened(str(url), threading.get_ident())


@lru_cache(maxsize=8)
def _opened(url: str, thread: int) -> "FeatureStore":
    return FeatureStore(url)


class FeatureStore:
    """A store at a local folder or any URL that fsspec knows (`s3://bucket/features`)."""

    def __init__(self, url: str | Path) -> None:
        self._files = Files(url)
        self.url = self._files.url
        self._indexes: dict[str, KeyIndex] = {}  # by column digest

    def missing(self, column: Column, keys: Sequence[str]) -> Strings:
        """The keys without a row, in their order, without repeats."""
        keys = list(dict.fromkeys(keys))
        shards, _ = self._index(column.digest).find(keys)
        return [key for key, shard in zip(keys, shards, strict=True) if shard < 0]

    def put(
        self,
        column: Column,
        keys: Sequence[str],
        vectors: np.ndarray,
        problems: Sequence[str | None] | None = None,
        origin: Mapping[str, Any] | None = None,
    ) -> None:
        """Publishes one shard. Putting what is there already changes nothing that `get` returns.

        Args:
            keys: distinct.
            vectors: (len(keys), column.dim) float32.
            problems: why a row has no vector; such a row is stored as NaN.
            origin: recorded in the shard's entry, such as library versions.

        Raises:
            StoreError: shapes or dtypes differ, a key comes twice, or the store cannot be written.
        """
        if not len(keys):
            return
        vectors = _checked(column, keys, vectors, problems)
        self._describe(column)
        content = encode_shard(column, keys, vectors, problems or [None] * len(keys))
        self._publish(column.digest, content, shard_entry(content, keys, vectors, time.time(), origin or {}))

    def get(self, column: Column, keys: Sequence[str]) -> tuple[np.ndarray, Reasons]:
        """The rows of these keys, in their order; a key may repeat. Reads one shard at a time.

        Returns:
            (len(keys), dim) float32 with NaN rows where a problem stands, and the problem of each row or None.

        Raises:
            StoreError: keys are missing, or a shard is damaged or gone.
        """
        try:
            return self._get(column, keys)
        except FileNotFoundError:
            # Between our look at the manifest and at the shard another process rewrote it (`forget`): look again.
            self._indexes.pop(column.digest, None)
            try:
                return self._get(column, keys)
            except FileNotFoundError as error:
                raise StoreError(
                    f"{column}: its manifest names a shard that is gone ({error}). Remove that entry with "
                    "`discard(problem)` for each problem of `verify()`, then extract again."
                ) from error

    def locate(self, digest: str, key: str) -> Location | None:
        """Where one key of a column lies, by the column's digest; None where it is not stored."""
        index = self._index(digest)
        shards, rows = index.find([key])
        if shards[0] < 0:
            return None
        entry = self._entry(digest, index.shards[shards[0]].shard)
        path = self._files.path(_shard_file(digest, entry.shard))
        created = datetime.fromtimestamp(entry.created, UTC)
        return Location(digest, entry.shard, path, int(rows[0]), created, entry.origin)

    def count(self, keys: Collection[str]) -> int:
        """Rows that `forget` of these keys would remove, over all columns."""
        digests = key_digests(list(keys))
        return sum(int(np.isin(entry.keys, digests).sum()) for name in self._columns() for entry in self._entries(name))

    def list(self) -> Infos:
        """What is stored, by name and digest."""
        infos = []
        for digest in self._columns():
            described = self._files.read_all([f"{digest}/column.json"])
            if not described:
                continue
            path, content = next(iter(described.items()))
            facts = open_sealed_json(content, self._files.path(path))
            index = self._index(digest)
            stored = sum(one.rows for one in index.shards)
            times = [datetime.fromtimestamp(one.created, UTC) for one in index.shards]
            infos.append(
                ColumnInfo(
                    name=facts["name"],
                    digest=digest,
                    dim=facts["dim"],
                    rows=len(index),
                    shards=len(index.shards),
                    bytes=sum(one.size for one in index.shards),
                    nan_share=sum(one.nan_rows for one in index.shards) / stored if stored else 0.0,
                    identity=facts["identity"],
                    created=min(times, default=None),
                    changed=max(times, default=None),
                )
            )
        return sorted(infos, key=lambda info: (info.name, info.digest))

    def verify(self, column: Column | str | None = None) -> Problems:
        """Reads and checks every byte of a column (by itself or its digest), or of all."""
        wanted = self._columns() if column is None else [column if isinstance(column, str) else column.digest]
        return [problem for digest in wanted for problem in self._verify_column(digest)]

    def discard(self, problem: Problem) -> None:
        """Removes the file that a problem of `verify` names, with the entry of its shard: its rows are missing then."""
        if problem.shard:
            self._remove_shard(problem.column, problem.shard)
        else:
            self._files.remove(f"{problem.column}/column.json")
        self._indexes.pop(problem.column, None)

    def forget(self, keys: Collection[str]) -> int:
        """Removes these keys from every column, by writing their shards anew without them.

        A forget that was interrupted is completed by running it again.

        Returns:
            The number of rows removed.
        """
        unwanted, removed = set(keys), 0
        digests = key_digests(list(unwanted))
        for column_digest in self._columns():
            for entry in self._entries(column_digest):
                if not np.isin(entry.keys, digests).any():
                    continue
                removed += self._rewrite_without(column_digest, entry, unwanted)
        return removed

    def collect_garbage(
        self, keep: Collection[str] | None = None, dry_run: bool = False, grace_seconds: float = 3600
    ) -> Strings:
        """Removes shards without an entry, temporary files, and columns whose digest is not in `keep`.

        Args:
            keep: digests of columns; None keeps every column.
            dry_run: only tell.
            grace_seconds: a file younger than this may belong to a writer at work and stays.

        Returns:
            The paths removed, or that would be.
        """
        garbage = []
        for digest in self._columns():
            unwanted = keep is not None and digest not in keep
            names = list(self._column_files(digest)) if unwanted else list(self._orphans(digest, grace_seconds))
            garbage += names
            if dry_run:
                continue
            for name in names:
                self._files.remove(name)
            if unwanted:
                for folder in ("/manifest", "/shards", ""):
                    self._files.remove(digest + folder)
                self._indexes.pop(digest, None)
        return [self._files.path(name) for name in garbage]

    def _find(self, digest: str, keys: Sequence[str]) -> tuple[KeyIndex, np.ndarray, np.ndarray]:
        """Where these keys lie.

        Looks at the manifest again only where what is known of it does not name them all: a listing grows with the
        column, and reading goes by small pieces.
        """
        known = self._indexes.get(digest)
        if known is not None:
            shards, rows = known.find(keys)
            if (shards >= 0).all():
                return known, shards, rows
        index = self._index(digest)
        return index, *index.find(keys)

    def _index(self, digest: str) -> KeyIndex:
        """What the manifest names now; only entries that are new are read."""
        shards = self._shards(digest)
        index = self._indexes.get(digest)
        known = set() if index is None else {one.shard for one in index.shards}
        if index is None or not known <= shards:
            index, known = KeyIndex(), set()
        for entries in self._entries_in_blocks(digest, sorted(shards - known)):
            index.add(entries)
        self._indexes[digest] = index
        return index

    def _shards(self, digest: str) -> set[str]:
        """Names of the shards that have an entry."""
        return {name.removesuffix(".json") for name in self._files.names(f"{digest}/manifest") if _is_entry(name)}

    def _entries(self, digest: str) -> Iterator[ShardEntry]:
        """Every entry of a column, a block of them in memory at a time."""
        return chain.from_iterable(self._entries_in_blocks(digest, sorted(self._shards(digest))))

    def _entries_in_blocks(self, digest: str, shards: Strings) -> Iterator[Entries]:
        for at in range(0, len(shards), BLOCK):
            names = [_entry_file(digest, shard) for shard in shards[at : at + BLOCK]]
            contents = self._files.read_all(names)
            yield [ShardEntry.from_json(content, self._files.path(path)) for path, content in contents.items()]

    def _entry(self, digest: str, shard: str) -> ShardEntry:
        name = _entry_file(digest, shard)
        return ShardEntry.from_json(self._files.read(name), self._files.path(name))

    def _get(self, column: Column, keys: Sequence[str]) -> tuple[np.ndarray, Reasons]:
        index, shards, rows = self._find(column.digest, keys)
        absent = int((shards < 0).sum())
        if absent:
            raise StoreError(
                f"{column}: {absent} of {len(keys)} keys are not in the store at {self.url}. "
                "Run `hbaf extract` for this corpus: it computes only what is missing."
            )
        vectors = np.empty((len(keys), column.dim), np.float32)
        problems: Reasons = [None] * len(keys)
        for number in np.unique(shards):
            entry = index.shards[number]
            stored_keys, stored, stored_problems = self._read_shard(column.digest, entry)
            if stored.shape[1] != column.dim:
                raise StoreError(f"{column}: has {stored.shape[1]} numbers per row, but {column.dim} were asked for")
            wanted = np.flatnonzero(shards == number)
            vectors[wanted] = stored[rows[wanted]]
            places, here = wanted.tolist(), rows[wanted].tolist()
            if [stored_keys[row] for row in here] != [keys[place] for place in places]:
                raise StoreError(f"{column}: shard {entry.shard[:12]} holds another key than its manifest says")
            if entry.nan_rows:
                for place, row in zip(places, here, strict=True):
                    problems[place] = stored_problems[row]
        return vectors, problems

    def _read_shard(self, digest: str, entry: ShardEntry | StoredShard) -> tuple[Strings, np.ndarray, Reasons]:
        name = _shard_file(digest, entry.shard)
        return decode_shard(self._files.read(name), entry.shard, self._files.path(name))

    def _describe(self, column: Column) -> None:
        name = f"{column.digest}/column.json"
        facts = {"digest": column.digest, "name": column.name, "dim": column.dim, "identity": dict(column.identity)}
        try:
            found = open_sealed_json(self._files.read(name), self._files.path(name))
        except FileNotFoundError:
            self._files.write(name, sealed_json(facts))
            return
        if found["dim"] != column.dim:
            raise StoreError(
                f"{column}: stored with {found['dim']} numbers per row, now {column.dim} came. "
                "Vectors of another size need another digest: raise the extractor's version."
            )

    def _publish(self, digest: str, content: bytes, entry: ShardEntry) -> None:
        # Data first: an entry never names a shard that is not whole. Written even if it is there: this heals damage.
        self._files.write(_shard_file(digest, entry.shard), content)
        self._files.write(_entry_file(digest, entry.shard), entry.to_json())

    def _remove_shard(self, digest: str, shard: str) -> None:
        self._files.remove(_entry_file(digest, shard))
        self._files.remove(_shard_file(digest, shard))

    def _rewrite_without(self, digest: str, entry: ShardEntry, unwanted: set[str]) -> int:
        keys, vectors, problems = self._read_shard(digest, entry)
        kept = [row for row, key in enumerate(keys) if key not in unwanted]
        if kept:
            facts = open_sealed_json(self._files.read(f"{digest}/column.json"), f"{digest}/column.json")
            column = Column(digest, facts["name"], facts["dim"], facts["identity"])
            kept_keys, kept_vectors = [keys[row] for row in kept], vectors[kept]
            content = encode_shard(column, kept_keys, kept_vectors, [problems[row] for row in kept])
            self._publish(digest, content, shard_entry(content, kept_keys, kept_vectors, entry.created, entry.origin))
        self._remove_shard(digest, entry.shard)
        return len(keys) - len(kept)

    def _verify_column(self, digest: str) -> Iterator[Problem]:
        described = f"{digest}/column.json"
        try:
            open_sealed_json(self._files.read(described), self._files.path(described))
        except (StoreError, FileNotFoundError) as error:
            yield Problem(digest, "", self._files.path(described), str(error))
        for shard in sorted(self._shards(digest)):
            path = _entry_file(digest, shard)
            try:
                entry = ShardEntry.from_json(self._files.read(path), self._files.path(path))
                path = _shard_file(digest, shard)
                keys, _, _ = self._read_shard(digest, entry)
                if not np.array_equal(key_digests(keys), entry.keys):
                    raise StoreError(f"{self._files.path(path)}: holds other keys than its manifest entry says")
            except FileNotFoundError:
                yield Problem(digest, shard, self._files.path(path), "the file is gone; extract again")
            except StoreError as error:
                yield Problem(digest, shard, self._files.path(path), str(error))

    def _columns(self) -> Strings:
        return sorted(name for name in self._files.list("") if re.fullmatch(r"[0-9a-f]{8,128}", name))

    def _column_files(self, digest: str) -> Iterator[str]:
        # Entries first: what is removed by half is unseen, never seen and unreadable.
        for folder in ("manifest", "shards"):
            for name in self._files.list(f"{digest}/{folder}"):
                yield f"{digest}/{folder}/{name}"
        for name in self._files.list(digest):
            if name not in ("manifest", "shards"):
                yield f"{digest}/{name}"

    def _orphans(self, digest: str, grace_seconds: float) -> Iterator[str]:
        youngest = time.time() - grace_seconds
        # Shards are listed before entries, so one that is published meanwhile is seen with its entry.
        found = {folder: self._files.list(f"{digest}{folder}") for folder in ("/shards", "/manifest", "")}
        for folder, names in found.items():
            for name, (_, changed) in names.items():
                unlisted = folder == "/shards" and f"{name.removesuffix('.arrow')}.json" not in found["/manifest"]
                if (unlisted or name.endswith(".tmp")) and (changed is None or changed <= youngest):
                    yield f"{digest}{folder}/{name}"


def _checked(
    column: Column, keys: Sequence[str], vectors: np.ndarray, problems: Sequence[str | None] | None
) -> np.ndarray:
    if vectors.shape != (len(keys), column.dim) or vectors.dtype != np.float32:
        raise StoreError(
            f"{column}: {len(keys)} keys need vectors ({len(keys)}, {column.dim}) float32, "
            f"not {vectors.shape} {vectors.dtype}"
        )
    if len(set(keys)) != len(keys):
        raise StoreError(f"{column}: {len(keys) - len(set(keys))} keys come twice in one put. Put each key once.")
    if problems is None:
        return vectors
    if len(problems) != len(keys):
        raise StoreError(f"{column}: {len(keys)} keys came with {len(problems)} problems. Give one or None per key.")
    bad = np.array([problem is not None for problem in problems])
    return np.where(bad[:, None], np.float32(np.nan), vectors)


def _is_entry(name: str) -> bool:
    return name.endswith(".json") and not name.startswith(".")


def _shard_file(digest: str, shard: str) -> str:
    return f"{digest}/shards/{shard}.arrow"


def _entry_file(digest: str, shard: str) -> str:
    return f"{digest}/manifest/{shard}.json"
