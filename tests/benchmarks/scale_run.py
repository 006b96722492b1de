"""Scheduled scoring of many utterances whose features are ready, in a process of its own that tells time and memory.

    python tests/benchmarks/scale_run.py train FOLDER [MEMBERS]
    python tests/benchmarks/scale_run.py store FOLDER FIRST LAST [STEP]
    python tests/benchmarks/scale_run.py score FOLDER TABLES
    python tests/benchmarks/scale_run.py dask FOLDER TABLES WORKERS

A source of tables with 1,000 conversations of ten turns each. Reading, validation, ledger, prediction and publishing
are the ordinary ones; sound is never opened: its measured facts and all vectors (512 and 384 numbers) are made up, and
an extractor that is asked to compute stops the run.
"""

import argparse
import hashlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from hbaf.features.own_class import NAMED  # noqa: E402
from tests import peak_memory  # noqa: E402  # found beside the tree that is measured

CONVERSATIONS, TURNS = 1_000, 10  # of one table
STORE_SHARD = 256  # rows, as extraction makes them
WORDS = np.array(["yes", "no", "maybe", "well", "then", "never", "always", "please", "thanks", "sorry"])
EXTRACTOR = '''
class Ready:
    licence, commercial, in_processes, selected = "", True, False, False

    def identity(self):
        return {"name": self.name}

    def extract(self, items):
        raise RuntimeError("the features are ready: nothing is to be computed")


class Heard(Ready):
    """512 numbers of a signal."""

    name, modality, dim = "heard", "audio", 512


class Read(Ready):
    """384 numbers of a text."""

    name, modality, dim = "read", "text", 384
'''


def source_of(folder: Path, tables: int) -> Path:
    """Tables with one recording each that nobody opens."""
    source = folder / f"source-{tables}"
    source.mkdir()
    for table in range(tables):
        write_table(source, table)
    return source


def rows_of(table: int) -> pd.DataFrame:
    """What the manifest of a table holds."""
    random = np.random.default_rng(table)
    rows = CONVERSATIONS * TURNS
    number = np.arange(rows)
    said = WORDS[random.integers(len(WORDS), size=(rows, 8))]
    return pd.DataFrame(
        {
            "dialogue": [f"c{conversation:04}" for conversation in number // TURNS],
            "turn": number % TURNS,
            "speaker": np.where(number % 2, "A", "B"),
            "text": [f"{' '.join(words)} {table} {row}" for row, words in enumerate(said)],
            "audio": "calls.wav",
            "start": number * 2.0,
            "end": number * 2.0 + 1.9,
        }
    )


def write_table(source: Path, table: int) -> None:
    folder = source / f"day-{table:04}"
    folder.mkdir()
    rows_of(table).to_csv(folder / "calls.csv", index=False)
    (folder / "calls.wav").write_bytes(b"RIFF")
    (folder / "_SUCCESS").touch()


def digest_of(audio: str) -> str:
    return hashlib.sha256(audio.encode()).hexdigest()


def given_facts(corpus: Any, **_: Any) -> Any:
    """In place of measuring sound: a digest by file, and the length that the table says."""
    table = corpus.utterances
    table = table.assign(
        audio_digest=table["audio"].map({audio: digest_of(str(audio)) for audio in table["audio"].unique()}),
        seconds=table["end"] - table["start"],
        sample_rate=pd.Series(16_000, index=table.index, dtype="Int64"),
        loudness=-20.0,
        clipped=0.0,
        voiced_share=0.8,
    )
    return replace(corpus, utterances=table.astype({"audio_digest": "str"}))


def patch_facts() -> None:
    from hbaf.inbox import read_arrivals

    read_arrivals.add_facts = given_facts


def features(folder: Path) -> dict[str, Any]:
    own = folder / "own.py"
    own.write_text(EXTRACTOR)
    named = {"audio": f"{own}:Heard", "text": f"{own}:Read"}
    os.environ[NAMED] = ",".join(named.values())
    return {**named, "workers": 1}


def read_table(folder: Path, table: int) -> Any:
    """The corpus of one table, as scoring reads it."""
    from hbaf.inbox.read_arrivals import read_arrivals
    from hbaf.inbox.source import Source, SourceParameters

    parameters = SourceParameters(url=str(folder), name="calls")
    (arrival,) = (one for one in Source(parameters).arrivals() if one.name == f"day-{table:04}/calls.csv")
    return read_arrivals([arrival], folder, parameters).corpus


def put_vectors(utterances: pd.DataFrame, settings: Any, seed: int) -> None:
    """Vectors of every utterance, in shards of the size and in the order that extraction would leave."""
    from feature_store.manifest import Column
    from hbaf.corpus.sound.facts import utterance_keys
    from hbaf.features.columns import default_store, extractors
    from hbaf.features.extractor import extractor_digest

    random = np.random.default_rng(seed)
    store = default_store()
    texts = utterances["text"].tolist()
    for modality, extractor in extractors(settings).items():
        keys = utterance_keys(utterances, modality).tolist()
        if modality == "text":
            keys = [keys[row] for row in sorted(range(len(keys)), key=lambda row: (len(texts[row]), keys[row]))]
        column = Column(extractor_digest(extractor), extractor.name, extractor.dim, extractor.identity())
        for at in range(0, len(keys), STORE_SHARD):
            some = keys[at : at + STORE_SHARD]
            store.put(column, some, random.standard_normal((len(some), extractor.dim), dtype=np.float32))


def train(folder: Path, members: int = 1) -> None:
    """A model of recipe `demo` on forty conversations, as the champion that a home keeps."""
    from hbaf.features.columns import extract_features
    from hbaf.parameters import from_recipe
    from hbaf.registry.runs import train_package
    from hbaf.training.run_log import SilentRunLog

    few = {"max_epochs": 1, "members": members}
    settings, model, training = from_recipe("demo", features=features(folder), training=few)
    place = folder / "train"
    place.mkdir()
    write_table(place, 0)
    whole = read_table(place, 0)
    dialogues = whole.utterances["dialogue_id"].unique()[:40].tolist()
    table = whole.utterances[whole.utterances["dialogue_id"].isin(dialogues)].reset_index(drop=True)
    table["emotion"] = pd.Series(np.array(["joy", "anger", "neutral"])[np.arange(len(table)) % 3], dtype="str")
    splits = pd.DataFrame({"dialogue_id": dialogues, "split": ["train"] * 30 + ["dev"] * 5 + ["test"] * 5})
    corpus = replace(whole, utterances=table, splits=splits, emotions=("anger", "joy", "neutral"))
    put_vectors(table, settings, 10**6)
    package = train_package(
        corpus, extract_features(corpus, settings), settings, model, training,
        folder=folder, log=SilentRunLog(), origin={"run_id": "0" * 32},
    )  # fmt: skip
    package.save(folder / "package")


def fill_store(folder: Path, first: int, last: int, step: int = 1) -> None:
    """Vectors of tables; two processes may share them by `step`."""
    from hbaf.parameters import from_recipe

    settings, _, _ = from_recipe("demo", features=features(folder))
    for table in range(first, last, step):
        rows = rows_of(table).assign(channel=None, text_problem=None, audio_problem=None)
        put_vectors(rows.assign(audio_digest=digest_of(f"day-{table:04}/calls.wav")), settings, table)
        print(f"table {table}", flush=True)


def score(folder: Path, tables: int) -> dict[str, float]:
    from hbaf.inbox.scheduled import score_source
    from hbaf.inbox.shards import score_shard, validate_shard
    from hbaf.inbox.source import SourceParameters

    source = source_of(folder, tables)
    features(folder)
    seconds: Counter[str] = Counter()
    steps = {validate_shard: "read", score_shard: "predict"}
    peaks: list[float] = []

    def timed(step: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterator[Any]:
        for task in tasks:
            step_began = time.process_time()
            result = step(task)
            seconds[steps[step]] += time.process_time() - step_began
            if step is score_shard:
                peaks.append(peak())
                if len(peaks) % 10 == 0:
                    rows, so_far = len(peaks) * CONVERSATIONS * TURNS, time.perf_counter() - began
                    print(f"{rows:,} rows, {so_far:.0f} s, {peaks[-1]:.0f} MB", file=sys.stderr, flush=True)
            yield result

    began, cpu_began = time.perf_counter(), time.process_time()
    parameters = SourceParameters(url=str(source), name="calls", shard=1)
    done = score_source(parameters, purpose="research", workers=1, map_shards=timed)
    whole, processor = time.perf_counter() - began, time.process_time() - cpu_began
    assert done.rows == tables * CONVERSATIONS * TURNS, done
    return {
        "rows": done.rows,
        "seconds": whole,
        "processor": processor,
        **seconds,
        "peak": peak(),
        "peak_after_a_tenth": peaks[len(peaks) // 10],
        "bytes": sum(file.stat().st_size for file in Path(done.published).iterdir()),
    }


def score_on_dask(folder: Path, tables: int, workers: int) -> dict[str, float]:
    """The same through the flow, its shards on Dask workers of this machine, which are there before the clock runs."""
    from hbaf.home import prepare_environment

    prepare_environment()
    from dask.distributed import LocalCluster

    from flows.shard_runner import ShardRunner, _on_dask
    from hbaf.inbox.source import SourceParameters

    source = SourceParameters(url=str(source_of(Path(os.environ["HBAF_HOME"]), tables)), name="calls", shard=1)
    features(folder)
    facts = "import sys; sys.path.insert(0, {!r}); from tests.benchmarks.scale_run import patch_facts; patch_facts()"
    with LocalCluster(
        n_workers=workers, threads_per_worker=1, dashboard_address=None, preload=[facts.format(str(ROOT))]
    ) as cluster:
        score_shards = _on_dask(ShardRunner(kind="dask", address=cluster.scheduler_address, workers=workers))
        began = time.perf_counter()
        done = score_shards(source, "research", None)
        whole = time.perf_counter() - began
    assert done.rows == tables * CONVERSATIONS * TURNS, done
    return {"rows": done.rows, "seconds": whole}


def peak() -> float:
    """Megabytes of this process at their most."""
    return peak_memory.peak() / 1024


def new_home(folder: Path, name: str) -> None:
    """A home that has the champion, and the store of all; nothing scored yet."""
    home = folder / name
    (home / "champions" / "versions").mkdir(parents=True, exist_ok=True)
    (folder / "features").mkdir(exist_ok=True)
    if not (home / "features").exists():
        (home / "features").symlink_to(folder / "features")
    if (folder / "package").exists() and not (home / "champions" / "only.json").exists():
        said = {"name": "hbaf-calls", "version": "1", "run_id": "0" * 32}
        (home / "champions" / "versions" / "hbaf-calls-v1").mkdir(exist_ok=True)
        (home / "champions" / "versions" / "hbaf-calls-v1" / said["run_id"]).symlink_to(folder / "package")
        (home / "champions" / "only.json").write_text(json.dumps(said))
    os.environ |= {"HBAF_HOME": str(home), "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    os.environ.pop("HBAF_SCORES_DATABASE", None)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["train", "store", "score", "dask"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("numbers", type=int, nargs="*")
    asked = parser.parse_args()
    new_home(asked.folder, "-".join(["home", asked.what, *map(str, asked.numbers)]))
    patch_facts()
    if asked.what == "train":
        train(asked.folder, *asked.numbers)
    elif asked.what == "store":
        fill_store(asked.folder, *asked.numbers)
    elif asked.what == "dask":
        print(json.dumps(score_on_dask(asked.folder, *asked.numbers)))
    else:
        print(json.dumps(score(asked.folder, *asked.numbers)))
