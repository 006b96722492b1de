"""The two steps of a shard, for any process on any machine that sees the home and the source: read, then score.

Between them goes a small reference; the tables lie in a folder of the shard.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from feature_store.manifest import StoreError
from hbaf.corpus.schema import Corpus, CorpusReference, load_corpus, save_corpus
from hbaf.features.columns import ExtractorMismatch
from hbaf.home import published as written
from hbaf.inbox.ledger.records import Found
from hbaf.inbox.read_arrivals import read_arrivals
from hbaf.inbox.source import Arrival, Source, SourceParameters
from hbaf.inference.predictor import Predictor
from hbaf.registry.models import RegisteredModel
from hbaf.scoring.purpose import Purpose
from hbaf.scoring.schema import SCHEMA, Provenance, as_rows
from hbaf.scoring.score import score_rows
from hbaf.scoring.unscored import UNSCORED

# What stops a run: the next conversation would meet it too.
NOBODYS_CONVERSATION = (OSError, ImportError, MemoryError, ExtractorMismatch, StoreError)


@dataclass(frozen=True)
class Shard:
    """Arrivals that are worked on together, and the folder for what passes between the steps."""

    source: SourceParameters
    arrivals: tuple[Arrival, ...]
    folder: Path
    workers: int | None = None


@dataclass(frozen=True)
class ValidatedShard:
    """What was read.

    Attributes:
        found: conversations with their digests and problems.
        refused: (arrival, why it cannot be read).
    """

    shard: Shard
    corpus: CorpusReference
    found: tuple[Found, ...]
    refused: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ScoringOrder:
    """What is to be scored with what: fixed when a run begins, so that a promotion meanwhile changes nothing."""

    validated: ValidatedShard
    conversations: tuple[str, ...]
    model: RegisteredModel
    champion_from: str
    purpose: Purpose


@dataclass(frozen=True)
class ScoredShard:
    """Where the scored rows lie, in the published schema.

    Attributes:
        failed: (conversation, why it cannot be scored).
        lacking: (conversation, what it lacks), of those in which this model can score no turn.
    """

    validated: ValidatedShard
    file: Path
    failed: tuple[tuple[str, str], ...] = ()
    lacking: tuple[tuple[str, str], ...] = ()


def validate_shard(shard: Shard) -> ValidatedShard:
    """Reads and judges the arrivals of a shard."""
    root = Source(shard.source).local_root(list(shard.arrivals), shard.folder / "files")
    read = read_arrivals(shard.arrivals, root, shard.source, workers=shard.workers)
    reference = save_corpus(read.corpus, shard.folder / "corpus")
    return ValidatedShard(shard, reference, read.found, tuple(read.refused.items()))


def score_shard(order: ScoringOrder) -> ScoredShard:
    """Scores the chosen conversations, a bounded number of utterances at a time; one that cannot be costs only itself.

    Raises:
        OSError, ImportError: a disk, a store or the installation, and no conversation, is at fault.
        hbaf.features.columns.ExtractorMismatch: this installation makes other features than the model was trained on.
    """
    validated = order.validated
    shard = validated.shard
    corpus = load_corpus(validated.corpus)
    predictor = load_predictor(order.model.folder)
    facts = predictor.package.facts
    found = {one.name: (one.arrival, one.digest) for one in validated.found}
    provenance = Provenance(
        source=shard.source.label,
        model_version=order.model.label,
        run_id=order.model.run_id,
        champion_from=order.champion_from,
        audio_features=facts.features.audio,
        text_features=facts.features.text,
        purpose=order.purpose,
        scored_at=datetime.now(UTC),
    )
    file = shard.folder / "scores.parquet"
    failed: dict[str, str] = {}

    lacking: dict[str, str] = {}

    def score(piece: Corpus) -> pa.Table:
        scores = score_rows(piece, order.model, predictor, workers=shard.workers)
        names = scores["corpus"] + "/" + scores["dialogue_id"]
        nothing = (scores["status"] == UNSCORED).groupby(names).transform("all").astype(bool)
        lacking.update(zip(names[nothing], scores.loc[nothing, "unscored_reason"], strict=True))
        scores = scores[~nothing].reset_index(drop=True)
        return as_rows(scores, predictor.emotions, provenance, found)

    with written(file) as beside, pq.ParquetWriter(beside, SCHEMA, compression="zstd") as writer:
        for piece in pieces(corpus, order.conversations, shard.source.shard_utterances):
            try:
                writer.write_table(score(piece))
            except NOBODYS_CONVERSATION:
                raise
            except Exception:
                for name, alone in _one_by_one(piece):
                    try:
                        writer.write_table(score(alone))
                    except NOBODYS_CONVERSATION:
                        raise
                    except Exception as error:
                        failed[name] = f"cannot be scored ({type(error).__name__}: {error})"
    return ScoredShard(validated, file, tuple(failed.items()), tuple(lacking.items()))


def _one_by_one(corpus: Corpus) -> Iterator[tuple[str, Corpus]]:
    table = corpus.utterances
    for name, rows in table.groupby(table["corpus"] + "/" + table["dialogue_id"], sort=False):
        yield str(name), replace(corpus, utterances=rows.reset_index(drop=True))


def pieces(corpus: Corpus, conversations: Sequence[str], rows: int) -> list[Corpus]:
    """Whole conversations in tables of about so many rows; a longer conversation is a table of its own."""
    table = corpus.utterances
    named = table["corpus"] + "/" + table["dialogue_id"]
    sizes = named.value_counts()
    cut: dict[str, int] = {}
    number = filled = 0
    for name in conversations:
        if filled and filled + sizes[name] > rows:
            number, filled = number + 1, 0
        filled += int(sizes[name])
        cut[name] = number
    groups = named.map(cut)
    return [
        replace(corpus, utterances=part.reset_index(drop=True))
        for _, part in table.groupby(groups.to_numpy(), sort=True)  # rows that are not asked for have no group
    ]


@lru_cache(maxsize=2)
def load_predictor(folder: Path) -> Predictor:
    """Loaded once per process; the folder of a version never changes."""
    return Predictor.load(folder)
