"""Is what is published right: do ledger and dataset agree, and does this environment still give the same scores?

For the second, stored conversations are read, extracted and scored anew.
"""

import tempfile
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from hbaf.inbox.agreement import Agreement, Difference
from hbaf.inbox.ledger.database import Ledger
from hbaf.inbox.publish.parquet import ParquetDataset
from hbaf.inbox.read_arrivals import read_arrivals
from hbaf.inbox.scheduled import Places
from hbaf.inbox.shards import load_predictor
from hbaf.inbox.source import Arrival, Source, SourceParameters
from hbaf.registry.cached_champion import model_that_scored
from hbaf.scoring.schema import as_scores
from hbaf.scoring.score import score_rows

TOLERANCE = 1e-3  # of a probability: other batches and processors differ by about 1e-6, other libraries by 1e-4


@dataclass(frozen=True)
class Replay:
    """What a replay found.

    Attributes:
        rows: compared; conversations whose files changed or are gone cannot be.
        differing: utterance id -> what differs.
        largest: greatest difference of a probability, 0..1.
        not_replayed: conversation -> why.
    """

    rows: int
    differing: dict[str, str]
    largest: float
    not_replayed: dict[str, str]

    @property
    def same(self) -> bool:
        """Whether no row differs."""
        return not self.differing


def verify_agreement(parameters: SourceParameters, *, repair: bool = False) -> list[Difference] | None:
    """What ledger and published places differ on, after the run that may be at work; None: the ledger knows no source.

    Args:
        repair: makes them agree; a ledger that does not know the source takes in what is published.

    Raises:
        hbaf.inbox.ledger.records.LedgerError: another source is published at that place.
    """
    database = Ledger.open()
    if not repair and parameters.label not in {one.source for one in database.sources()}:
        return None
    with database.alone(parameters.label, parameters.place) as fence:
        ledger = database.of(parameters.label, fence=fence)
        places = Places.of(parameters, database)
        agreement = Agreement(ledger, places.parquet, places.postgres, fence)
        if repair:
            ledger.register(Source(parameters).shown, places.parquet.url)
            places.parquet.claim(fence)
        differences = agreement.differences()
        if repair:
            agreement.repair(differences)
    return differences


def verify_scores(
    parameters: SourceParameters,
    *,
    published: str,
    conversations: int = 20,
    seed: int = 0,
    workers: int | None = None,
    tolerance: float = TOLERANCE,
) -> Replay:
    """Replays stored conversations with the model version that scored them; no stored feature is used.

    Args:
        published: folder or URL of the Parquet dataset.
        conversations: how many, drawn by seed; 0: all.

    Raises:
        hbaf.features.columns.ExtractorMismatch: this installation makes other features by design.
        hbaf.registry.models.NoModelError: a version is gone.
    """
    dataset = ParquetDataset(published)
    names = sorted({name for table in dataset.tables(["conversation"]) for name in table["conversation"].to_pylist()})
    if conversations and conversations < len(names):
        names = sorted(np.random.default_rng(seed).choice(names, conversations, replace=False))
    stored = as_scores(dataset.read(names))
    listing = {arrival.name: arrival for arrival in Source(parameters).arrivals()}
    not_replayed: dict[str, str] = {}
    by_arrival: dict[str, list[str]] = defaultdict(list)
    for name, arrival in stored.drop_duplicates("conversation")[["conversation", "arrival"]].itertuples(index=False):
        if arrival in listing:
            by_arrival[arrival].append(name)
        else:
            not_replayed[name] = "its files are gone"
    found = [
        _replayed(listing[arrival], parameters, stored[stored["conversation"].isin(wanted)], workers, not_replayed)
        for arrival, wanted in by_arrival.items()
    ]
    both = pd.concat([stored.iloc[:0].assign(difference=0.0, what=""), *found], ignore_index=True)
    wrong = both[(both["difference"] > tolerance) | (both["what"] != "")]
    differing = {
        str(row.utterance_id): str(row.what) or f"a probability by {row.difference:.4f}"
        for row in wrong.itertuples(index=False)
    }
    return Replay(len(both), differing, float(both["difference"].max() if len(both) else 0.0), not_replayed)


def _replayed(
    arrival: Arrival,
    parameters: SourceParameters,
    stored: pd.DataFrame,
    workers: int | None,
    not_replayed: dict[str, str],
) -> pd.DataFrame:
    """Stored rows with `difference` (of a probability) and `what` (a label or status that differs)."""
    with tempfile.TemporaryDirectory(prefix="hbaf-verify-") as folder:
        root = Source(parameters).local_root([arrival], Path(folder))
        read = read_arrivals([arrival], root, parameters, workers=workers)
        digests = {one.name: one.digest for one in read.found}
        rows = []
        for name, group in stored.groupby("conversation"):
            if digests.get(str(name)) != group["conversation_digest"].iloc[0]:
                not_replayed[str(name)] = "its content is another now; the next run scores it"
                continue
            model = model_that_scored(str(group["model_version"].iloc[0]), str(group["run_id"].iloc[0]))
            predictor = load_predictor(model.folder)
            table = read.corpus.utterances
            own = table[(table["corpus"] + "/" + table["dialogue_id"]) == name].reset_index(drop=True)
            corpus = replace(read.corpus, utterances=own)
            scores = score_rows(corpus, model, predictor, workers=workers, keep_features="none")
            rows.append(_compared(group, scores, predictor.emotions))
    return pd.concat(rows) if rows else stored.iloc[:0].assign(difference=0.0, what="")


def _compared(stored: pd.DataFrame, scores: pd.DataFrame, emotions: tuple[str, ...]) -> pd.DataFrame:
    there = stored.set_index("utterance_id")
    here = scores.set_index("utterance_id").reindex(there.index)
    columns = [f"p_{emotion}" for emotion in emotions]
    before = there.reindex(columns=columns).to_numpy("float64")
    after = here[columns].to_numpy("float64")
    differences = np.abs(np.nan_to_num(before, nan=-1.0) - np.nan_to_num(after, nan=-1.0)).max(1)
    what = [
        "" if old == new else f"status {old} then, {new} now"
        for old, new in zip(there["status"], here["status"], strict=True)
    ]
    return there.reset_index().assign(difference=differences, what=what)
