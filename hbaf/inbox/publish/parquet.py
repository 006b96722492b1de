"""The result as a folder of Parquet files that any tool reads, and in which every utterance stands exactly once.

    <url>/part-00001.parquet ...   about 50,000 rows each
    <url>/_schema.json             version and columns
    <url>/_writer.json             who may write: the newest writer (hbaf.inbox.ledger.fence)

A conversation stays in the part that it was first published in. A part is only ever replaced whole: written beside and
renamed locally, put in one request on an object store. So whoever reads sees each conversation as it was before or
after, never both, and there is nothing to compact.

An earlier writer that does not know yet that it lost its lock cannot write: on a local disk nobody else writes between
its question who may and its renaming; S3 replaces a part only if it is still the one that was read.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_store.files import Files, Replaced
from hbaf.home import portable
from hbaf.inbox.ledger.fence import Fence
from hbaf.inbox.publish.publication import Publication, publications_in
from hbaf.scoring.schema import COLUMNS, SCHEMA, SCHEMA_VERSION
from hbaf.waiting import alone

SCHEMA_FILE, WRITER_FILE, LOCK = "_schema.json", "_writer.json", ".writer.lock"
TRIES = 5  # to replace a part of an object store that another writer replaces meanwhile
SAME_SCHEME = {"s3a": "s3", "gcs": "gs"}


class DatasetError(RuntimeError):
    """A folder is no dataset of published scores, or one of a newer version."""


class ParquetDataset:
    """A dataset at a folder or URL; made when something is published."""

    def __init__(self, url: str) -> None:
        self._files = Files(url)
        self.url = self._files.url

    @property
    def canonical(self) -> str:
        """The place by one name alone."""
        return canonical(self.url)

    @property
    def token(self) -> int:
        """The number of its newest writer; 0 where nobody noted one."""
        return int(self._writer().get("token", 0))

    @property
    def owner(self) -> str:
        """The source that is published here; "" where nobody noted it."""
        return str(self._writer().get("source", ""))

    def claim(self, fence: Fence) -> None:
        """Ends the right of earlier writers; does nothing where nothing is published.

        Raises:
            hbaf.inbox.ledger.fence.LostLock: a newer writer has claimed it.
            feature_store.manifest.StoreError: it cannot be written.
        """
        if SCHEMA_FILE in self._files.list(""):
            with self._undisturbed():
                self._note_writer(fence)

    def replace(self, rows: pa.Table, parts: Mapping[str, int], fence: Fence) -> pa.Table:
        """Publishes conversations; what stood there of them before is superseded.

        A conversation that stands there already whole with the same content and model is left as it is.

        Args:
            rows: all of each conversation, in the published schema.
            parts: conversation -> its part.

        Returns:
            The rows of these conversations as they stand there now.

        Raises:
            DatasetError: the folder is of another kind or a newer version.
            hbaf.inbox.ledger.fence.LostLock: another writer may be at work.
            feature_store.manifest.StoreError: it cannot be written.
        """
        fence.check()
        self._describe()
        self.claim(fence)
        part_of = pa.array([parts[name] for name in rows["conversation"].to_pylist()], pa.int64())
        now = []
        for part in sorted(set(parts.values())):
            coming = rows.filter(pc.equal(part_of, part))
            names = pc.unique(coming["conversation"])
            there = self._change(part, partial(_merged, coming), fence)
            now.append(there.filter(pc.is_in(there["conversation"], names)))
        return pa.concat_tables(now) if now else rows

    def remove(self, conversations: Collection[str], fence: Fence, parts: Collection[int] | None = None) -> None:
        """Takes conversations out, part by part; a part without rows goes, but for S3.

        Args:
            parts: only out of these; default: all.

        Raises:
            hbaf.inbox.ledger.fence.LostLock: another writer may be at work.
            feature_store.manifest.StoreError: it cannot be written.
        """
        self.claim(fence)
        names = pa.array(sorted(conversations), pa.string())

        def left(there: pa.Table) -> pa.Table:
            others = there.filter(pc.invert(pc.is_in(there["conversation"], names)))
            return others if len(others) < len(there) else there

        for part in self.parts() if parts is None else sorted(parts):
            self._change(part, left, fence)

    def parts(self) -> list[int]:
        """Numbers of the parts that exist, ascending."""
        found = (re.fullmatch(r"part-(\d+)\.parquet", name) for name in self._files.list(""))
        return sorted(int(match[1]) for match in found if match)

    def tables(self, columns: Sequence[str] | None = None, filters: pc.Expression | None = None) -> Iterator[pa.Table]:
        """The rows, one part at a time: some columns, some rows, or all."""
        for part in self.parts():
            yield self.part(part, columns, filters)

    def read(self, conversations: Collection[str] | None = None) -> pa.Table:
        """Rows of these conversations, or all."""
        filters = None if conversations is None else pc.field("conversation").isin(sorted(conversations))
        return pa.concat_tables([SCHEMA.empty_table(), *self.tables(filters=filters)]).unify_dictionaries()

    def part(self, part: int, columns: Sequence[str] | None = None, filters: pc.Expression | None = None) -> pa.Table:
        """The rows of one part; none where it does not exist."""
        schema = SCHEMA if columns is None else pa.schema([field for field in SCHEMA if field.name in columns])
        try:
            with self._files.open(_file(part)) as file:
                return pq.read_table(file, columns=schema.names, filters=filters).cast(schema)
        except FileNotFoundError:
            return schema.empty_table()

    def _change(self, part: int, change: Callable[[pa.Table], pa.Table], fence: Fence) -> pa.Table:
        """Replaces a part by what becomes of it, unless that is the same; returns its rows now."""
        for tries_left in reversed(range(TRIES)):
            # The version first: of a part that is replaced between the two, what is written is refused.
            version, there = self._files.version(_file(part)), self.part(part)
            now = change(there)
            if now is there:
                return there
            try:
                self._write(part, now, version, fence)
            except Replaced:
                if not tries_left:
                    raise
            else:
                return now
        raise AssertionError

    def _write(self, part: int, table: pa.Table, version: str | None, fence: Fence) -> None:
        sink = pa.BufferOutputStream()
        pq.write_table(table.unify_dictionaries(), sink, compression="zstd")
        fence.check()
        with self._undisturbed():
            self._note_writer(fence)
            if len(table) or version:  # to remove a file knows no condition; one without rows is replaced under one
                self._files.write(_file(part), sink.getvalue().to_pybytes(), version)
            else:
                self._files.remove(_file(part))

    @contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """On a local disk nobody else asks who may write, or writes; an object store has no such locks."""
        if not self._files.local:
            yield
            return
        folder = Path(self.url)
        folder.mkdir(parents=True, exist_ok=True)
        with alone(folder / LOCK):
            yield

    def _writer(self) -> dict[str, str | int]:
        try:
            return json.loads(self._files.read(WRITER_FILE))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise DatasetError(
                f"{self.url}/{WRITER_FILE}: is not JSON. Remove it while no run is at work; the next run makes it."
            ) from error

    def _note_writer(self, fence: Fence) -> None:
        """Notes the newest writer, inside the lock, and refuses an earlier one."""
        version, known = self._files.version(WRITER_FILE), self._writer()
        if known.get("writer") == fence.writer:
            return
        if int(known.get("token", 0)) >= fence.token:
            raise fence.lost("a newer writer has claimed the dataset")
        facts = {"token": fence.token, "writer": fence.writer, "source": known.get("source") or fence.source}
        try:
            self._files.write(WRITER_FILE, json.dumps(facts).encode(), version)
        except Replaced as error:
            raise fence.lost("a newer writer has claimed the dataset") from error

    def _describe(self) -> None:
        """Writes what the columns are, if it is not there."""
        try:
            found = json.loads(self._files.read(SCHEMA_FILE))["schema_version"]
        except FileNotFoundError:
            facts = {"schema_version": SCHEMA_VERSION, "columns": {name: str(kind) for name, kind in COLUMNS.items()}}
            self._files.write(SCHEMA_FILE, json.dumps(facts, indent=1).encode())
            return
        except (ValueError, KeyError) as error:
            raise DatasetError(
                f"{self.url}/{SCHEMA_FILE}: not the description of a dataset of hbaf. Publish to a folder of its own."
            ) from error
        if found > SCHEMA_VERSION:
            raise DatasetError(f"{self.url}: written by a newer hbaf (schema {found}). Upgrade hbaf to add to it.")


def canonical(url: str) -> str:
    """A place by one name alone, whatever links or slashes lead there; one inside the home is named from there."""
    scheme, _, rest = url.rpartition("://")
    if scheme in ("", "file", "local"):
        return portable(Path(rest).expanduser().resolve())
    return f"{SAME_SCHEME.get(scheme, scheme)}://{rest.rstrip('/')}"


def _merged(coming: pa.Table, there: pa.Table) -> pa.Table:
    """A part with the coming conversations; the very same table where all of them stand there as they shall be."""
    touched = pc.is_in(there["conversation"], pc.unique(coming["conversation"]))
    standing = [_key(one) for one in publications_in(there.filter(touched))]
    # Half a conversation, or one that stands there with two contents or models, is superseded.
    times = Counter(name for name, *_ in standing)
    right = {_key(one) for one in publications_in(coming)}.intersection(standing)
    same = pa.array(sorted(name for name, *_ in right if times[name] == 1), pa.string())
    fresh = coming.filter(pc.invert(pc.is_in(coming["conversation"], same)))
    if not len(fresh):
        return there
    kept = there.filter(pc.or_(pc.invert(touched), pc.is_in(there["conversation"], same)))
    return pa.concat_tables([kept, fresh])


def _key(one: Publication) -> tuple[str, str, str, int]:
    """What makes two publications of a conversation the same."""
    return one.conversation, one.digest, one.run_id, one.rows


def _file(part: int) -> str:
    return f"part-{part:05d}.parquet"
