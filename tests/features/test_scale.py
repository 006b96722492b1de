"""A corpus of 100,000 utterances: extracted, continued and extended in memory that the shard bounds."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# A cheap extractor of one's own: what is measured is the store and the way to it, not a model.
PROGRAM = textwrap.dedent(
    """
    import json, sys, time
    from pathlib import Path
    import numpy as np, pandas as pd
    from feature_store.store import FeatureStore
    from hbaf.corpus.schema import Corpus, as_utterances, empty_splits
    from hbaf.features.extract import extract_column, read_column
    from tests.peak_memory import peak as peak_now

    folder, dialogues, read = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "read"
    number = np.arange(dialogues * 10)
    table = as_utterances(pd.DataFrame({
        "corpus": "big", "dialogue_id": [f"d{n // 10:06d}" for n in number], "turn": number % 10, "speaker": "A",
        "text": [f"utterance number {n}" for n in number], "audio_problem": "none named"}))
    corpus = Corpus("big", folder, table, empty_splits())
    store = FeatureStore(folder / "store")
    before = peak_now()
    began = time.perf_counter()
    column = extract_column(corpus, f"{folder / 'wide.py'}:Wide", store, batch_size=256)
    seconds = time.perf_counter() - began
    peak = peak_now()
    if read:  # a thousand dialogues at a time, as scoring of a large corpus would
        for start in range(0, len(table), 10_000):
            part = corpus.with_utterances(table.iloc[start : start + 10_000].reset_index(drop=True))
            vectors, present = read_column(part, column, store)
            assert present.all()
            assert (vectors[:, 0] == number[start : start + 10_000] % 1000).all()
    info = store.list()[0]
    print(json.dumps({"before": before // 1024, "peak": peak // 1024, "seconds": seconds, "rows": info.rows,
        "after": peak_now() // 1024, "shards": info.shards,
        "megabytes": info.bytes // 2**20}))
    """
)
WIDE = '''
from pathlib import Path

import numpy as np


class Wide:
    """512 numbers of a text, the first one its number in the corpus; writes down how many it was asked for."""

    name, modality, dim, licence, commercial, in_processes, selected = "wide", "text", 512, "", True, False, False

    def identity(self):
        return {"name": "wide"}

    def extract(self, items):
        with (Path(__file__).parent / "asked").open("a") as file:
            file.write(f"{len(items)}\\n")
        out = np.ones((len(items), self.dim), np.float32)
        out[:, 0] = [int(item.split()[-1]) % 1000 for item in items]
        return out
'''


def command(folder: Path, dialogues: int, read: bool = False) -> list[str]:
    return [sys.executable, "-c", PROGRAM, str(folder), str(dialogues), "read" if read else "no"]


def extract(folder: Path, dialogues: int, read: bool = False) -> dict[str, float]:
    done = subprocess.run(command(folder, dialogues, read), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def asked(folder: Path) -> int:
    """How many utterances the extractor was asked for since the last check."""
    file = folder / "asked"
    count = sum(map(int, file.read_text().split())) if file.exists() else 0
    file.unlink(missing_ok=True)
    return count


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "wide.py").write_text(WIDE)
    return tmp_path


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_hundred_thousand_utterances_in_bounded_memory(folder: Path) -> None:
    found = extract(folder, 10_000, read=True)
    print(f"\n100,000 utterances x 512: {found}")
    assert found["rows"] == 100_000
    assert found["megabytes"] > 180, "the vectors themselves are 195 MB"
    # Keys and tables of 100,000 rows are there; the vectors never are.
    assert found["peak"] - found["before"] < 150
    assert found["after"] - found["before"] < 250
    assert asked(folder) == 100_000
    assert extract(folder, 10_010)["rows"] == 100_100
    assert asked(folder) == 100, "ten new dialogues, and nothing else, are computed"


@pytest.mark.timeout(250)
def test_killed_and_continued_does_at_most_one_shard_again(folder: Path) -> None:
    dialogues = 2_000
    process = subprocess.Popen(command(folder, dialogues), cwd=ROOT, stdout=subprocess.DEVNULL)
    shards = folder / "store"
    for _ in range(2_000):
        if len(list(shards.glob("*/manifest/*.json"))) >= 5:
            break
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    published = 256 * len(list(shards.glob("*/manifest/*.json")))
    before = asked(folder)
    assert published < dialogues * 10
    found = extract(folder, dialogues)
    assert found["rows"] == dialogues * 10
    again = before + asked(folder) - dialogues * 10
    assert 0 <= again <= 2 * 256, "the shard at work and the batch behind it"
