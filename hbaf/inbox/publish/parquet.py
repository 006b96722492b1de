"""The result as a folder of Parquet files that any tool reads, and in which every utterance stands exactly once.

    <url>/part-00001.parquet ...   about 50,000 rows each
    <url>/_schema.json             version and columns

A conversation stays in the part that it was first published in. A part is only ever replaced whole: written beside and
renamed locally, put in one request on an object store. So whoever reads sees each conversation as it was before or
after, never both, and there is nothing to compact.
"""

import io
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_store.files import Files
from hbaf.scoring.schema import COLUMNS, SCHEMA, SCHEMA_VERSION

SCHEMA_FILE = "_schema.json"


class DatasetError(RuntimeError):
    """A folder is no dataset of published scores, or one of a newer version."""


class ParquetDataset:
    """A dataset at a folder or URL; made when something is published."""

    def __init__(self, url: str) -> None:
        self._files = Files(url)
        self.url = self._files.url

    def replace(self, rows: pa.Table, parts: Mapping[str, int]) -> pa.Table:
        """Publishes conversations; what stood there of them before is superseded.

        A conversation that stands there already with the same content and model is left as it is.

        Args:
            rows: all of each conversation, in the published schema.
            parts: conversation -> its part.

        Returns:
            The rows of these conversations as they stand there now.

        Raises:
            DatasetError: the folder is of another kind or a newer version.
            feature_store.manifest.StoreError: it cannot be written.
        """
        self._describe()
        part_of = pa.array([parts[name] for name in rows["conversation"].to_pylist()], pa.int64())
        now = []
        for part in sorted(set(parts.values())):
            coming = rows.filter(pc.equal(part_of, part))
            there = self._read(part)
            kept, same = _merge(there, coming)
            if len(same) < len(coming):
                fresh = coming.filter(pc.invert(pc.is_in(coming["conversation"], same["conversation"])))
                self._write(part, pa.concat_tables([kept, same, fresh]))
                same = pa.concat_tables([same, fresh])
            now.append(same)
        return pa.concat_tables(now) if now else rows

    def remove(self, conversations: Collection[str]) -> None:
        """Takes conversations out, part by part; a part without rows goes."""
        names = pa.array(sorted(conversations), pa.string())
        for part in self.parts():
            there = self._read(part)
            left = there.filter(pc.invert(pc.is_in(there["conversation"], names)))
            if not len(left):
                self._files.remove(_file(part))
            elif len(left) < len(there):
                self._write(part, left)

    def parts(self) -> list[int]:
        """Numbers of the parts that exist, ascending."""
        found = (re.fullmatch(r"part-(\d+)\.parquet", name) for name in self._files.list(""))
        return sorted(int(match[1]) for match in found if match)

    def tables(self, columns: Sequence[str] | None = None, filters: pc.Expression | None = None) -> Iterator[pa.Table]:
        """The rows, one part at a time: some columns, some rows, or all."""
        for part in self.parts():
            yield self._read(part, columns, filters)

    def read(self, conversations: Collection[str] | None = None) -> pa.Table:
        """Rows of these conversations, or all."""
        filters = None if conversations is None else pc.field("conversation").isin(sorted(conversations))
        return pa.concat_tables([SCHEMA.empty_table(), *self.tables(filters=filters)]).unify_dictionaries()

    def _read(self, part: int, columns: Sequence[str] | None = None, filters: pc.Expression | None = None) -> pa.Table:
        schema = SCHEMA if columns is None else pa.schema([field for field in SCHEMA if field.name in columns])
        try:
            content = self._files.read(_file(part))
        except FileNotFoundError:
            return schema.empty_table()
        return pq.read_table(io.BytesIO(content), columns=schema.names, filters=filters).cast(schema)

    def _write(self, part: int, table: pa.Table) -> None:
        sink = pa.BufferOutputStream()
        pq.write_table(table.unify_dictionaries(), sink, compression="zstd")
        self._files.write(_file(part), sink.getvalue().to_pybytes())

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


def _merge(there: pa.Table, coming: pa.Table) -> tuple[pa.Table, pa.Table]:
    """(rows of other conversations, rows of the coming ones that are as they shall be)."""
    touched = pc.is_in(there["conversation"], pc.unique(coming["conversation"]))
    kept, mine = there.filter(pc.invert(touched)), there.filter(touched)
    return kept, mine.filter(pc.is_in(_keys(mine), pc.unique(_keys(coming))))


def _keys(table: pa.Table) -> pa.ChunkedArray:
    """(rows,) conversation, content and model in one string."""
    parts = [table[name].cast(pa.string()) for name in ("conversation", "conversation_digest", "run_id")]
    return pc.binary_join_element_wise(*parts, "\n")


def _file(part: int) -> str:
    return f"part-{part:05d}.parquet"
