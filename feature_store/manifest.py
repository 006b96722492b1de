"""What a column is, which shards it has, and where each key lies.

A column is one representation of many items, such as 6373 acoustic numbers per utterance. Its rows lie in immutable
shards. Each shard has a manifest entry of its own, a small JSON file, so that writers never change a shared file:
a shard exists for readers exactly when its entry does.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

FORMAT_VERSION = 1
DIGEST_BYTES = 16  # of one key in the index: two of 10^9 keys collide with a chance of 10^-21
KEY = f"S{DIGEST_BYTES}"


class StoreError(RuntimeError):
    """The store cannot do what was asked; the message names the column, what came and the next step."""


@dataclass(frozen=True)
class Column:
    """One representation.

    Attributes:
        digest: sha256 of what the vectors depend on, in hexadecimal; the column's folder.
        name: for people.
        dim: numbers per row.
        identity: what the digest was made from; recorded and not compared, must survive JSON.
    """

    digest: str
    name: str
    dim: int
    identity: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9a-f]{8,128}", self.digest):
            raise StoreError(f"column {self.name!r}: the digest must be 8-128 hexadecimal digits, not {self.digest!r}")
        if self.dim < 1:
            raise StoreError(f"column {self.name!r}: dim must be at least 1, not {self.dim}")

    def __str__(self) -> str:
        return f"column {self.name} {self.digest[:12]}"


@dataclass(frozen=True, eq=False)
class ShardEntry:
    """The manifest entry of one shard.

    Attributes:
        shard: the shard's name: the sha256 of its bytes, so two writers of equal rows write one file.
        rows: number of rows.
        size: bytes.
        keys: (rows,) digests of the keys, dtype S16, in row order.
        nan_rows: rows without a vector.
        minimum: smallest finite number, None without one.
        maximum: largest finite number, None without one.
        created: seconds since 1970; the oldest shard wins where two hold the same key.
        origin: what is worth knowing of the writer, such as library versions.
    """

    shard: str
    rows: int
    size: int
    keys: np.ndarray
    nan_rows: int
    minimum: float | None
    maximum: float | None
    created: float
    origin: Mapping[str, Any]

    def to_json(self) -> bytes:
        """The entry as sealed JSON."""
        return sealed_json(
            {
                "shard": self.shard,
                "rows": self.rows,
                "size": self.size,
                "keys": base64.b64encode(self.keys.tobytes()).decode(),
                "nan_rows": self.nan_rows,
                "minimum": self.minimum,
                "maximum": self.maximum,
                "created": self.created,
                "origin": dict(self.origin),
            }
        )

    @classmethod
    def from_json(cls, content: bytes, path: str) -> "ShardEntry":
        """The entry in sealed JSON; `path` is for the message if it is damaged."""
        facts = open_sealed_json(content, path)
        facts["keys"] = np.frombuffer(base64.b64decode(facts["keys"]), dtype=KEY)
        return cls(**facts)


def shard_entry(
    content: bytes, keys: Sequence[str], vectors: np.ndarray, created: float, origin: Mapping[str, Any]
) -> ShardEntry:
    """Describes a shard.

    Args:
        content: the shard's bytes.
        keys: one per row.
        vectors: (rows, dim) float32.
    """
    finite = np.isfinite(vectors)
    return ShardEntry(
        shard=hashlib.sha256(content).hexdigest(),
        rows=len(keys),
        size=len(content),
        keys=key_digests(keys),
        nan_rows=int(np.isnan(vectors).any(axis=1).sum()),
        minimum=float(vectors.min(where=finite, initial=np.inf)) if finite.any() else None,
        maximum=float(vectors.max(where=finite, initial=-np.inf)) if finite.any() else None,
        created=created,
        origin=origin,
    )


@dataclass(frozen=True)
class ColumnInfo:
    """What `FeatureStore.list` tells of a column.

    Attributes:
        name: for people.
        digest: the column's folder.
        dim: numbers per row.
        rows: distinct keys.
        shards: files.
        bytes: size of all shards.
        nan_share: share of stored rows without a vector, 0..1.
        identity: what the digest was made from.
        created: when the first shard was written; None for a column without shards.
        changed: when the last one was.
    """

    name: str
    digest: str
    dim: int
    rows: int
    shards: int
    bytes: int
    nan_share: float
    identity: Mapping[str, Any]
    created: datetime | None
    changed: datetime | None = None


@dataclass(frozen=True)
class Location:
    """Where one row of a column lies.

    Attributes:
        column: the column's digest.
        shard: the sha256 of the shard's bytes.
        path: the shard's file or object.
        row: from 0.
        created: when the shard was written.
        origin: what its writer recorded, such as library versions.
    """

    column: str
    shard: str
    path: str
    row: int
    created: datetime
    origin: Mapping[str, Any]


@dataclass(frozen=True)
class Problem:
    """Something wrong in the store.

    Attributes:
        column: digest of the column.
        shard: name of the shard, "" where the column's own description is meant.
        path: the file.
        what: rule, what came and the next step.
    """

    column: str
    shard: str
    path: str
    what: str


def key_digests(keys: Sequence[str]) -> np.ndarray:
    """(keys,) S16: keys of any length at one size."""
    joined = b"".join(hashlib.blake2b(key.encode(), digest_size=DIGEST_BYTES).digest() for key in keys)
    return np.frombuffer(joined, dtype=KEY)


def sealed_json(facts: Mapping[str, Any]) -> bytes:
    """JSON that carries a checksum of itself: a flipped byte in a manifest is found like one in a shard."""
    body = {"format": FORMAT_VERSION, **facts}
    return json.dumps({**body, "seal": _seal(body)}, sort_keys=True).encode()


def open_sealed_json(content: bytes, path: str) -> dict[str, Any]:
    """What `sealed_json` wrote, without format and seal.

    Raises:
        StoreError: it is damaged or a newer version wrote it.
    """
    try:
        body = json.loads(content)
        seal = body.pop("seal")
        damaged = seal != _seal(body)
    except (ValueError, KeyError, AttributeError, TypeError):
        damaged = True
    if damaged:
        raise StoreError(
            f"{path}: does not match its own checksum, so it was changed or damaged after it was written. "
            "Delete this one file and extract again: only its rows are computed anew."
        )
    if body.pop("format") > FORMAT_VERSION:
        raise StoreError(f"{path}: written by a newer version of the feature store. Upgrade, or use another store.")
    return body


def _seal(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
