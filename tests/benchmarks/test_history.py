"""What a run and a look cost by how much was scored before: ledger, published dataset, monitor, feature store.

No model runs: a history of so many utterances is made up in a home, and what every run or look does is timed on it, in
processor time. The exponent is that of time against history between two sizes; 0: what was before costs nothing.

    HBAF_HISTORY=10000,100000,1000000 make bench BENCH=history    # default: the first two
"""

import hashlib
import math
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from feature_store.manifest import Column
from feature_store.store import FeatureStore
from hbaf.home import directory
from hbaf.inbox.entries import Inbox
from hbaf.inbox.ledger.database import Ledger
from hbaf.inbox.ledger.records import Found
from hbaf.inbox.ledger.tables import CONVERSATIONS
from hbaf.inbox.publish.parquet import ParquetDataset
from hbaf.inbox.publish.publication import Publication, publications_in
from hbaf.inbox.publish.published_scores import score_store
from hbaf.inbox.source import Arrival, ArrivedFile
from hbaf.registry.models import RegisteredModel
from hbaf.scoring.schema import Provenance, as_rows

TURNS, PART, ARRIVAL = 10, 50_000, 10_000  # utterances of a conversation, a part, an arrival
NEW = 100  # conversations that come
SHARD = 256  # rows of a shard of the feature store
DAY = 86_400.0
FAR = 100_000_000
MODEL = RegisteredModel("hbaf-calls", "1", Path("/nowhere"), "0" * 32)
NARROW = Column("ab" * 32, "narrow", 1)
EMOTIONS = ("anger", "joy", "neutral")


def rows(first: int, conversations: int, at: float) -> pa.Table:
    """Scored rows of conversations, as they are published."""
    number = np.arange(first * TURNS, (first + conversations) * TURNS)
    dialogue = pd.Series(number // TURNS).map("c{:09}".format)
    table = pd.DataFrame({"dialogue_id": dialogue, "turn": number % TURNS, "corpus": "calls", "speaker": "A"})
    table["utterance_id"] = "calls/" + dialogue + "/" + table["turn"].astype("str")
    table["text"] = pd.Series(number).map("so many words are said in turn {}".format)
    table = table.assign(status="scored", label="joy", confidence=0.5, uncertain=False)
    table = table.assign(**{f"p_{emotion}": 1 / len(EMOTIONS) for emotion in EMOTIONS})
    moment = datetime.fromtimestamp(at, UTC)
    shared = Provenance("calls", MODEL.label, MODEL.run_id, "cache", "heard", "read", "research", moment)
    found = {
        f"calls/{name}": (f"day-{int(name[1:]) * TURNS // ARRIVAL}.csv", digest(name)) for name in dialogue.unique()
    }
    return as_rows(table, EMOTIONS, shared, found)


def digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def arrival_of(dialogue: str) -> str:
    return f"day-{int(dialogue[1:]) * TURNS // ARRIVAL}.csv"


def arrival(name: str) -> Arrival:
    return Arrival(name, "table", (ArrivedFile(name, 1, 0.0, "1"),), True)


def arrivals(utterances: int) -> list[Arrival]:
    return [arrival(f"day-{number}.csv") for number in range(utterances // ARRIVAL + 1)]


class History:
    """So many utterances, scored one part a day until now."""

    def __init__(self, utterances: int) -> None:
        self.utterances, self.conversations, self.now = utterances, utterances // TURNS, time.time()
        self.ledger = Ledger.open()
        self.dataset = ParquetDataset(str(directory("published", "calls")))
        self.store = str(directory("features"))
        with self.ledger.alone("calls", self.dataset.url) as fence:
            source = self.ledger.of("calls", fence=fence)
            source.register("/calls", self.dataset.url)
            source.note(arrivals(utterances), None)
            source.was_read(arrivals(utterances))
            for part, first in enumerate(range(0, self.conversations, PART // TURNS), 1):
                size = min(PART // TURNS, self.conversations - first)
                at = self.now - DAY * math.ceil((self.conversations - first - size) / (PART // TURNS))
                table = rows(first, size, at)
                publications = publications_in(table)
                self.dataset.replace(table, {one.conversation: part for one in publications}, fence)
                with self.ledger.engine.begin() as connection:
                    connection.execute(CONVERSATIONS.insert(), [self.line(one, part, at) for one in publications])
        store = FeatureStore(self.store)
        for first in range(0, utterances, SHARD):
            keys = [f"{number}" for number in range(first, min(first + SHARD, utterances))]
            store.put(NARROW, keys, np.zeros((len(keys), 1), np.float32), origin={"numpy": "2"})

    def line(self, one: Publication, part: int, at: float) -> dict[str, object]:
        name, content = one.conversation, one.digest
        times = dict.fromkeys(("first_seen", "state_at", "published_at"), at)
        published = {"published_digest": content, "model_version": MODEL.label, "run_id": MODEL.run_id, "unscored": 0}
        kept = {"source": "calls", "conversation": name, "arrival": arrival_of(name[6:])}
        return {**kept, **times, **published, "digest": content, "state": "published", "part": part, "rows": TURNS}

    def measured(self) -> dict[str, float]:
        """Seconds of processor time of each thing that a run or a look does."""
        seconds: dict[str, float] = {}

        def timed(what: str, work: Callable[[], object]) -> None:
            began = time.process_time()
            work()
            seconds[what] = time.process_time() - began

        coming = rows(self.conversations, NEW, self.now)
        publications = publications_in(coming)
        found = [Found(one.conversation, "new.csv", one.digest, one.rows) for one in publications]
        parts: dict[str, int] = {}
        with self.ledger.alone("calls", self.dataset.url) as fence:
            source = self.ledger.of("calls", fence=fence)
            listing = [
                *arrivals(self.utterances),
                Arrival("new.csv", "table", (ArrivedFile("new.csv", 1, 0.0, "1"),), True),
            ]
            timed("ledger: listing noted", lambda: source.note(listing, None))
            timed("ledger: what is to be read", source.to_read)
            timed("ledger: 100 conversations taken in", lambda: source.take_in(found, MODEL))
            timed("ledger: their part", lambda: parts.update(source.parts_for({one.name: one.rows for one in found})))
            timed("dataset: 1,000 rows published", lambda: self.dataset.replace(coming, parts, fence))
            timed("ledger: noted as published", lambda: source.published(publications))
            timed("ledger: newest 200 for the report", lambda: source.newest(200))
        timed("ledger: counts of states", lambda: Inbox(self.ledger, "calls").counts())
        timed("dataset: parts listed", self.dataset.parts)
        day = score_store(), MODEL.run_id, self.now - DAY / 2, self.now + DAY
        timed("monitor: rows of the last half day", lambda: day[0].rows(*day[1:]))
        store, before = FeatureStore(self.store), memory()
        keys = [f"new {number}" for number in range(SHARD)]
        timed("store: first look of a process", lambda: store.missing(NARROW, keys))
        seconds["store: megabytes that it holds"] = memory() - before
        store.put(NARROW, keys, np.zeros((SHARD, 1), np.float32))
        timed("store: look after one more shard", lambda: store.missing(NARROW, keys))
        return seconds


def memory() -> float:
    """Megabytes resident now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


@pytest.mark.benchmark
@pytest.mark.timeout(7200)
def test_what_history_costs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = sorted(int(size) for size in os.environ.get("HBAF_HISTORY", "10000,100000").split(","))
    found = []
    for size in sizes:
        monkeypatch.setenv("HBAF_HOME", str(tmp_path / f"home-{size}"))
        found.append(History(size).measured())
    print(
        f"\n| what | {' | '.join(f'{size:,}' for size in sizes)} | exponent | {FAR:,} |\n|{'---|' * (len(sizes) + 3)}"
    )
    for what in found[0]:
        values = [max(one[what], 1.0 if "megabytes" in what else 1e-4) for one in found]
        exponent = math.log(values[-1] / values[-2]) / math.log(sizes[-1] / sizes[-2])
        far = values[-1] * (FAR / sizes[-1]) ** max(exponent, 0.0)
        shown = " | ".join(f"{value:.4f}" for value in values)
        print(f"| {what} | {shown} | {exponent:.2f} | {far:.3g} |")
