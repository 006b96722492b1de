"""Where each key of a column lies, in memory that does not grow with the column.

Keys stand in sorted runs. New ones make a run of their own, and runs of like size are merged, so that a key is moved as
often as the column has doubled, however many shards come one by one. A long run lies in a temporary file without a
name; memory holds the pages that a question touches, and only while it is answered.
"""

import mmap
import tempfile
from collections.abc import Iterator, Sequence
from typing import IO, NamedTuple

import numpy as np

from feature_store.manifest import KEY, ShardEntry, key_digests

IN_MEMORY = 2**16  # keys of a run from which on it lies on disk
BLOCK = 2**16  # keys that are merged at a time


class StoredShard(NamedTuple):
    """What is kept of a shard's entry."""

    shard: str
    rows: int
    size: int
    nan_rows: int
    created: float


class _Run(NamedTuple):
    """Sorted keys (n,) S16, each once, with the number of the shard (n,) int32 and the row (n,) int32 of each."""

    keys: np.ndarray
    shards: np.ndarray
    rows: np.ndarray
    pages: tuple[mmap.mmap, ...] = ()

    def part(self, begin: int, end: int) -> "_Run":
        return _Run(self.keys[begin:end], self.shards[begin:end], self.rows[begin:end])

    def up_to(self, key: np.bytes_) -> "_Run":
        return self.part(0, int(np.searchsorted(self.keys, key, "right")))

    def let_go(self) -> None:
        """Memory need not hold its pages any longer."""
        for pages in self.pages:
            if hasattr(mmap, "MADV_DONTNEED"):
                pages.madvise(mmap.MADV_DONTNEED)


class KeyIndex:
    """The keys of some shards.

    Attributes:
        shards: in the order in which they were added.
    """

    def __init__(self, entries: Sequence[ShardEntry] = ()) -> None:
        self.shards: list[StoredShard] = []
        self._runs: list[_Run] = []
        self.add(entries)

    def add(self, entries: Sequence[ShardEntry]) -> None:
        """Takes in more shards; their entries are not kept."""
        if not entries:
            return
        first = len(self.shards)
        ordered = sorted(entries, key=lambda entry: (entry.created, entry.shard))
        self.shards += [StoredShard(one.shard, one.rows, one.size, one.nan_rows, one.created) for one in ordered]
        sizes = [len(one.keys) for one in ordered]
        every = np.concatenate([one.keys for one in ordered])
        keys, at = np.unique(every, return_index=True)  # of equal ones the first, so that of the oldest shard
        shards = np.repeat(np.arange(first, len(self.shards), dtype=np.int32), sizes)
        rows = np.concatenate([np.arange(size, dtype=np.int32) for size in sizes])
        self._runs.append(_Run(keys, shards[at], rows[at]))
        while len(self._runs) > 1 and len(self._runs[-2].keys) < 2 * len(self._runs[-1].keys):
            self._merge_last()

    def __len__(self) -> int:
        """Distinct keys."""
        while len(self._runs) > 1:
            self._merge_last()
        return len(self._runs[0].keys) if self._runs else 0

    def find(self, keys: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Shard number (an index into `shards`, -1 when absent) and row of each key, both (keys,) int32."""
        shards, rows = np.full(len(keys), -1, np.int32), np.zeros(len(keys), np.int32)
        wanted = key_digests(keys)
        order = np.argsort(wanted)  # neighbours lie on the same pages
        wanted = wanted[order]
        for run in self._runs:
            at = np.minimum(np.searchsorted(run.keys, wanted), len(run.keys) - 1)
            there = np.flatnonzero(run.keys[at] == wanted)
            found, places = run.shards[at[there]], order[there]
            better = self._older(found, shards[places])
            shards[places[better]], rows[places[better]] = found[better], run.rows[at[there]][better]
            run.let_go()
        return shards, rows

    def _older(self, shards: np.ndarray, than: np.ndarray) -> np.ndarray:
        """(n,) bool: where there is no other shard, or a younger one: every process finds the same row of a key."""
        better = than < 0
        for place in np.flatnonzero(~better):
            one, other = self.shards[shards[place]], self.shards[than[place]]
            better[place] = (one.created, one.shard) < (other.created, other.shard)
        return better

    def _merge_last(self) -> None:
        second, first = self._runs.pop(), self._runs.pop()
        total = len(first.keys) + len(second.keys)
        if total <= IN_MEMORY:
            parts = [*self._merged(first, second)]
            keys_of, shards_of, rows_of = zip(*(part[:3] for part in parts), strict=True)
            self._runs.append(_Run(np.concatenate(keys_of), np.concatenate(shards_of), np.concatenate(rows_of)))
            return
        with tempfile.TemporaryFile() as keys, tempfile.TemporaryFile() as shards, tempfile.TemporaryFile() as rows:
            for part in self._merged(first, second):
                for file, values in zip((keys, shards, rows), (part.keys, part.shards, part.rows), strict=True):
                    file.write(values.tobytes())
                first.let_go()
                second.let_go()
            pages = tuple(_mapped(file) for file in (keys, shards, rows))
        arrays = [
            np.frombuffer(mapped, kind) for mapped, kind in zip(pages, map(np.dtype, (KEY, "i4", "i4")), strict=True)
        ]
        self._runs.append(_Run(arrays[0], arrays[1], arrays[2], pages))

    def _merged(self, first: _Run, second: _Run) -> Iterator[_Run]:
        """Both runs as one, in blocks; of a key in both the row of the older shard."""
        at, on = 0, 0
        while at < len(first.keys) or on < len(second.keys):
            one, two = first.part(at, at + BLOCK), second.part(on, on + BLOCK)
            # Up to the smaller of the last keys, where more may come behind it.
            more = ((one, at + BLOCK < len(first.keys)), (two, on + BLOCK < len(second.keys)))
            last = [part.keys[-1] for part, is_cut in more if is_cut]
            if last:
                one, two = one.up_to(min(last)), two.up_to(min(last))
            at, on = at + len(one.keys), on + len(two.keys)
            keys, shards, rows = (np.concatenate(pair) for pair in zip(one[:3], two[:3], strict=True))
            order = np.argsort(keys, kind="stable")
            keys, shards, rows = keys[order], shards[order], rows[order]
            twice = np.flatnonzero(keys[1:] == keys[:-1])  # the second stands behind the first
            swapped = twice[self._older(shards[twice + 1], shards[twice])]
            shards[swapped], rows[swapped] = shards[swapped + 1], rows[swapped + 1]
            kept = np.ones(len(keys), bool)
            kept[twice + 1] = False
            yield _Run(keys[kept], shards[kept], rows[kept])


def _mapped(file: IO[bytes]) -> mmap.mmap:
    """The file's bytes, which stay when it is closed."""
    file.flush()
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
