"""What the property tests share: how long they run, and contents that are anything or nearly right.

`HBAF_EXAMPLES=20000 pytest -m slow -k anything` tries as many of each; docs/operations.md has the figures of an hour.
"""

import json
import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

quick = settings(
    deadline=None, database=None, derandomize=True, print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
EXAMPLES = int(os.environ.get("HBAF_EXAMPLES", "400"))
many = settings(quick, max_examples=EXAMPLES)
TIMEOUT = 1800 + 3 * EXAMPLES  # seconds: a check takes about one on a busy machine

LINES = ("What a wonderful day", "Stop shouting at me", "I am not sure about that")
COLUMNS = ["dialogue", "turn", "speaker", "text", "audio", "start", "end", "channel", "emotion", "split", "x"]


def nested(levels: int) -> bytes:
    """A line of JSON as deep as that."""
    return b'{"dialogue": "1", "turn": 0, "text": ' + b'{"a":' * levels + b"1" + b"}" * levels + b"}"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(max_size=8), inside, max_size=4),
    max_leaves=12,
)
_rows = st.dictionaries(st.sampled_from(COLUMNS), json_values | st.sampled_from(["7", "0", "A", *LINES]))
_lines = st.lists(_rows, max_size=4).map(lambda found: "\n".join(json.dumps(row) for row in found).encode())
_cells = st.text(max_size=12) | st.sampled_from(["7", "0", "1.5", "00:00:01", '"', "", *LINES])
separated = st.tuples(
    st.lists(st.sampled_from(COLUMNS) | st.text(max_size=6), min_size=1, max_size=6)
    | st.just(["dialogue", "turn", "text"]),
    st.lists(st.lists(_cells, max_size=6), max_size=5),
    st.sampled_from(",;\t|"),
    st.sampled_from(["utf-8", "utf-16", "utf-8-sig", "cp1252", "latin-1"]),
).map(lambda made: "\n".join(made[2].join(cells) for cells in (made[0], *made[1])).encode(made[3], errors="replace"))
_captions = st.lists(st.text(max_size=30) | st.sampled_from(["00:00.000 --> 00:01.000", "<v A>hello", ""])).map(
    lambda found: "\n".join(["WEBVTT", "", *found]).encode(errors="replace")
)
_json_documents = json_values.map(lambda value: json.dumps(value).encode())
contents = st.binary(max_size=200) | _lines | st.integers(1, 3000).map(nested) | separated | _captions | _json_documents
