"""Pickles of a few bytes that would cost gigabytes, hours or the interpreter are refused at once."""

import json
import pickle
import subprocess
import sys
import time
from collections import OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import pytest

from hbaf.corpus.published.pickle_cost import check_cost
from hbaf.corpus.published.restricted_pickle import load_pickle
from hbaf.corpus.schema import CorpusError

SHARED = b"\x80\x02K\x01" + b"".join(b"q%ch%c\x86" % (n, n) for n in range(60))  # each tuple holds the one before twice
DEEP = b"\x80\x02)" + b"\x85" * 200_000
BYTES = b"\x80\x02c__builtin__\nbytes\nJ\xff\xff\xff\x7f\x85R."
LIST = b"\x80\x02(" + b"K\x01" * 300_000 + b"lq\x000"
TEXT = b"\x80\x02X" + (1 << 20).to_bytes(4, "little") + b"a" * (1 << 20) + b"q\x000"
COPIES = {
    "a list that is copied again and again": LIST + b"c__builtin__\nlist\nq\x010" + b"h\x01h\x00\x85R" * 5_000,
    "a text that is encoded again and again": (TEXT + b"c_codecs\nencode\nq\x010" + b"h\x01h\x00\x85R" * 5_000),
}
COSTLY = {
    **{name: content + b"." for name, content in COPIES.items()},
    "a tuple that doubles in each step": SHARED + b".",
    "the same as a key": b"\x80\x02}" + SHARED[2:] + b"K\x01s.",
    "the same as text": b"\x80\x02c__builtin__\nstr\n" + SHARED[2:] + b"\x85R.",
    "deep tuples": DEEP + b".",
    "deep tuples as a key": b"\x80\x02}" + DEEP[2:] + b"K\x01s.",
    "bytes of a length alone": BYTES,
    "a bytearray of a length alone": BYTES.replace(b"bytes", b"bytearray"),
    "an array of a length alone": (
        b"\x80\x02cnumpy.core.numeric\n_frombuffer\n(J\xff\xff\xff\x7fcnumpy\ndtype\nU\x02u1\x85RK\x01U\x01CtR."
    ),
    "bytes that are not there": b"\x80\x04\x8e" + (1 << 32).to_bytes(8, "little") + b"x.",
    "a number of a value that is far away": b"\x80\x02Nr\xff\xff\xff\x7f.",
    "a frame that is not there": b"\x80\x04\x95" + (1 << 40).to_bytes(8, "little") + b"N.",
}


# Each is read in a child of one process, so that Python and its libraries start once; the child's peak begins anew.
READ_EACH = """
import json, os, sys
from pathlib import Path
from tests.peak_memory import peak
from hbaf.corpus.published.restricted_pickle import load_pickle
from hbaf.corpus.schema import CorpusError
for path in sorted(Path(sys.argv[1]).iterdir()):
    if child := os.fork():
        os.waitpid(child, 0)
        continue
    used = peak()
    try:
        load_pickle(path)
        end = "read"
    except CorpusError as error:
        end = f"refused {error}"
    print(json.dumps([path.stem, end, peak() - used]), flush=True)
    os._exit(0)
"""


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, int]]:
    """How reading each ended and the kilobytes that it took; one that killed its process is missing."""
    folder = tmp_path_factory.mktemp("pickles")
    for number, content in enumerate(COSTLY.values()):
        (folder / f"{number:02}.pkl").write_bytes(content)
    command = [sys.executable, "-c", READ_EACH, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {list(COSTLY)[int(number)]: (end, more) for number, end, more in lines}


@pytest.mark.parametrize("name", COSTLY)
def test_what_would_cost_is_refused_at_once(name: str, ends: dict[str, tuple[str, int]]) -> None:
    end, more = ends[name]
    assert end.startswith("refused")
    assert more < 200_000  # kilobytes


def test_data_of_the_usual_make_is_not(tmp_path: Path) -> None:
    vectors = np.arange(12, dtype=np.float32).reshape(3, 4)
    table = {f"Ses{n}": [vectors, vectors[0], list(range(5))] for n in range(50)}
    data = (
        table,
        defaultdict(list, {"a": [1]}),
        OrderedDict(b=2),
        {("x", 1): {1, 2}},
        frozenset("ab"),
        b"raw",
        1 << 80,
    )
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        content = pickle.dumps(data, protocol=protocol)
        check_cost(content)
        (tmp_path / "data.pkl").write_bytes(content)
        found = load_pickle(tmp_path / "data.pkl")
        assert found[3] == data[3]
        assert found[5:] == data[5:]
        assert np.array_equal(found[0]["Ses7"][0], vectors)


def test_cost_grows_with_the_file_alone() -> None:
    content = pickle.dumps([float(n) for n in range(300_000)])
    began = time.perf_counter()
    check_cost(content)
    assert time.perf_counter() - began < 30


def test_half_a_pickle_is_said(tmp_path: Path) -> None:
    (tmp_path / "half.pkl").write_bytes(pickle.dumps(list(range(1000)))[:-50])
    with pytest.raises(CorpusError, match="not a whole pickle"):
        load_pickle(tmp_path / "half.pkl")
