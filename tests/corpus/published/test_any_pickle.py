"""Any bytes in the place of a pickle are data or one message; data comes back as it was written."""

import pickle
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbaf.corpus.published.restricted_pickle import load_pickle
from hbaf.corpus.schema import CorpusError
from tests.properties import TIMEOUT, many, quick

arrays = st.tuples(
    st.lists(st.integers(0, 4), max_size=3), st.sampled_from(["<f4", "<f8", ">f4", "<i8", "u1", "?", "<U5"])
).map(lambda made: np.zeros(made[0], made[1]))
keys = st.text(max_size=8) | st.integers() | st.tuples(st.text(max_size=4), st.integers(0, 9))
texts = st.text(max_size=20) | st.binary(max_size=20)
data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts | arrays,
    lambda inside: (
        st.lists(inside, max_size=4)
        | st.tuples(inside, inside)
        | st.dictionaries(keys, inside, max_size=4)
        | st.dictionaries(keys, inside, max_size=3).map(OrderedDict)
        | st.dictionaries(keys, inside, max_size=3).map(lambda made: defaultdict(list, made))
        | st.sets(keys, max_size=4)
        | st.frozensets(keys, max_size=4)
    ),
    max_leaves=12,
)
protocols = st.integers(0, pickle.HIGHEST_PROTOCOL)
kinds = st.sampled_from(["set", "insert", "delete", "repeat"])
changes = st.lists(st.tuples(kinds, st.integers(0), st.binary(min_size=1, max_size=4)), min_size=1, max_size=4)
programs = [
    b"cos\nsystem\n(S'false'\ntR.", b"cbuiltins\neval\n(V1\ntR.", b"cnumpy\nload\n(V/etc/passwd\ntR.",
    b"ctorch._utils\n_rebuild_tensor\n.", b"ccollections\ndefaultdict\ncos\nsystem\n\x85R.",
]  # fmt: skip


def same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and one.shape == other.shape and bool((one == other).all())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


def changed(content: bytes, steps: list[tuple[str, int, bytes]]) -> bytes:
    for kind, where, piece in steps:
        at = where % (len(content) + 1)
        before, after = content[:at], content[at:]
        match kind:
            case "set":
                content = before + piece + after[len(piece) :]
            case "insert":
                content = before + piece + after
            case "delete":
                content = before + after[len(piece) :]
            case _:
                content = before + after[:8] * 3 + after[8:]
    return content


def check_round_trip(folder: Path, value: Any, protocol: int) -> None:
    path = folder / "data.pkl"
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    assert same(value, load_pickle(path))


def check_any(folder: Path, content: bytes) -> None:
    path = folder / "data.pkl"
    path.write_bytes(content)
    try:
        load_pickle(path)
    except CorpusError as error:
        assert "data.pkl" in str(error)  # noqa: PT017  # both ends are right: data, or this message


anything = (
    st.binary(max_size=200)
    | st.tuples(st.builds(pickle.dumps, data, protocol=protocols), changes).map(lambda made: changed(*made))
    | st.tuples(st.sampled_from(programs), changes).map(lambda made: changed(*made))
)


@settings(quick, max_examples=60)
@given(value=data, protocol=protocols)
def test_data_comes_back(tmp_path: Path, value: Any, protocol: int) -> None:
    check_round_trip(tmp_path, value, protocol)


@settings(quick, max_examples=100)
@given(content=anything)
def test_anything_as_a_pickle(tmp_path: Path, content: bytes) -> None:
    check_any(tmp_path, content)


@pytest.mark.slow
@pytest.mark.timeout(TIMEOUT)
@many
@given(value=data, protocol=protocols)
def test_much_data_comes_back(tmp_path: Path, value: Any, protocol: int) -> None:
    check_round_trip(tmp_path, value, protocol)


@pytest.mark.slow
@pytest.mark.timeout(TIMEOUT)
@many
@given(content=anything)
def test_much_of_anything_as_a_pickle(tmp_path: Path, content: bytes) -> None:
    check_any(tmp_path, content)
