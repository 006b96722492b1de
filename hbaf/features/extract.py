"""Corpus x extractor -> feature store: in parallel, only what is missing, continued where it was stopped."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from feature_store.manifest import Column
from feature_store.store import FeatureStore
from hbaf.corpus.schema import Corpus, is_missing
from hbaf.corpus.sound.audio import AudioProblem, load_audio
from hbaf.corpus.sound.facts import utterance_keys
from hbaf.corpus.windows import TextItem, Window, as_window, text_items
from hbaf.features.extractor import Extractor, context_of, extractor_digest, sample_rate_of
from hbaf.features.registry import make_extractor
from hbaf.features.selection.audio_selection import AudioSelection
from hbaf.processes import WorkerError, cores, run_in_processes
from hbaf.progress import under_way
from hbaf.stop import check

SMALL = 128  # items that this process computes alone: to start others takes as long (docs/benchmarks.md)
AUDIO_BATCH = 8  # items of one task: few enough that the last ones end together, enough that sending costs nothing
LIBRARIES = ("numpy", "soundfile", "soxr", "av", "opensmile", "torch", "transformers", "tokenizers")  # recorded


@dataclass(frozen=True)
class ColumnReference:
    """A column in a store: small enough to travel between tasks.

    Attributes:
        digest: of the extractor's identity; the column's folder in the store.
        name: the extractor's name.
        modality: which content of an utterance the rows are keyed by.
        dim: numbers per row.
        store_url: where the store is.
        selection: digest of the selection that the rows have been through; "" for the extractor's own rows.
        keyed_by: "utterance" for imported columns, whose rows belong to an utterance and not to its content.
        folds: fold and digest of the columns that stand in for train utterances (`hbaf.features.cross_fit`).
        context: turns before that the extractor reads with each one, and that the keys therefore cover.
    """

    digest: str
    name: str
    modality: Literal["audio", "text"]
    dim: int
    store_url: str
    folds: tuple[tuple[int, str], ...] = ()
    keyed_by: Literal["content", "utterance"] = "content"
    selection: str = ""
    context: int = 0

    def column(self) -> Column:
        """The column as the feature store names it."""
        return Column(self.digest, self.name, self.dim)


@dataclass(frozen=True)
class Segment:
    """One utterance's audio; None as in `load_audio`."""

    path: Path
    channel: int | None
    start: float | None
    end: float | None


Item: TypeAlias = "Segment | TextItem"
Rows: TypeAlias = tuple[np.ndarray, list[str | None]]  # (items, dim) float32 and the problem of each row


def extract_column(
    corpus: Corpus,
    extractor_name: str,
    store: FeatureStore,
    *,
    settings: Mapping[str, Any] | None = None,
    workers: int | None = None,
    batch_size: int = 64,
    device: str = "auto",
    progress: bool = False,
    shard_size: int = 256,
    selection: AudioSelection | None = None,
    into: Column | None = None,
) -> ColumnReference:
    """Computes what the store lacks of one representation. Utterances of equal content are computed once.

    Shards are published as they fill, so a killed run loses at most one. An utterance that cannot be computed becomes a
    row of NaN with its problem, and is not tried again.

    Args:
        settings: of the extractor, part of the column's digest.
        workers: processes, for extractors that are spread over processes; default: one per core.
        batch_size: utterances in one batch of a torch model.
        device: "auto", "cpu" or "cuda", for torch models.
        progress: show a progress bar on stderr.
        shard_size: rows in a shard.
        selection: is applied to every batch, and the rows go into the column `into` (`selection.selected`).

    Raises:
        ValueError: no such extractor or setting.
        hbaf.features.weights.WeightsError: a model's weights are not on this machine.
        hbaf.processes.WorkerError: processes could not start, or died twice in a batch; what was finished is stored.
        feature_store.manifest.StoreError: the store cannot be read or written.
    """
    settings = dict(settings or {})
    extractor = make_extractor(extractor_name, batch_size=batch_size, device=device, **settings)
    column = into or Column(extractor_digest(extractor), extractor_name, extractor.dim, extractor.identity())
    reference = ColumnReference(
        column.digest,
        extractor_name,
        extractor.modality,
        column.dim,
        store.url,
        selection=selection.digest() if selection else "",
        context=context_of(extractor),
    )
    items = _missing_items(corpus, reference, store)
    if not items:
        return reference
    workers = workers or cores()
    parallel = extractor.in_processes and workers > 1 and len(items) > SMALL
    batches = list(_batches(items, AUDIO_BATCH if extractor.in_processes else batch_size))
    if parallel:
        results = _in_processes(batches, workers, extractor_name, settings)
    else:
        results = (extract_items(extractor, list(batch.values())) for batch in batches)
    shards = _Shards(store, column, shard_size)
    try:
        for batch, (vectors, problems) in zip(batches, _shown(results, batches, extractor_name, progress), strict=True):
            shards.add(list(batch), selection.apply(vectors) if selection else vectors, problems)
    finally:
        shards.publish()  # an error or Ctrl-C loses nothing that was computed
    return reference


def read_column(corpus: Corpus, reference: ColumnReference, store: FeatureStore) -> tuple[np.ndarray, np.ndarray]:
    """The vectors of a corpus, aligned to the rows of `corpus.utterances`.

    Returns:
        (rows, dim) float32 with NaN where the utterance has no vector, and (rows,) bool: where it has one.

    Raises:
        feature_store.manifest.StoreError: the column was not extracted for this corpus, or is damaged.
    """
    keys = utterance_keys(corpus.utterances, reference.modality, reference.context)
    keyed = np.array([not is_missing(key) for key in keys], bool)
    vectors = np.full((len(keys), reference.dim), np.nan, np.float32)
    if keyed.any():
        vectors[keyed], _ = store.get(reference.column(), keys[keyed].tolist())
    return vectors, np.logical_not(np.isnan(vectors).any(axis=1))


def extract_items(extractor: Extractor, items: Sequence[Item]) -> Rows:
    """Loads and computes a batch; an item that fails has a problem and does not harm the others.

    Raises:
        Exception: what the extractor raised, where it fails for an ordinary item too: then the fault is the
            extractor's, and storing it as the item's would hide it for ever.
    """
    vectors = np.full((len(items), extractor.dim), np.nan, np.float32)
    problems: list[str | None] = [None] * len(items)
    loaded: dict[int, Any] = {}
    for row, item in enumerate(items):
        try:
            loaded[row] = _load(item, extractor)
        except MemoryError:
            raise
        except Exception as error:  # whatever a decoder raises concerns this item alone
            check(error)
            problems[row] = _message(error, item)
    for row, result in zip(loaded, _computed(extractor, list(loaded.values())), strict=True):
        if isinstance(result, Exception):
            problems[row] = _message(result, items[row])
        else:
            vectors[row] = result
    for row, value in loaded.items():
        if problems[row] is None and np.isnan(vectors[row]).any():
            problems[row] = _why_nothing(extractor, value)
    return vectors, problems


def _computed(extractor: Extractor, values: list[Any]) -> Sequence[np.ndarray | Exception]:
    """A vector or an error per item."""
    if not values:
        return []
    try:
        return list(extractor.extract(values))
    except Exception as error:
        check(error)
        if len(values) > 1:  # find out which item it was
            return [result for value in values for result in _computed(extractor, [value])]
        _try_an_ordinary_item(extractor)
        return [error]


def _try_an_ordinary_item(extractor: Extractor) -> None:
    if extractor.modality == "text":
        extractor.extract(["Good morning."])
    else:
        extractor.extract([np.random.default_rng(0).normal(0, 0.1, sample_rate_of(extractor)).astype(np.float32)])


def _missing_items(corpus: Corpus, reference: ColumnReference, store: FeatureStore) -> dict[str, Item]:
    """Key -> what to compute, for the utterances whose content the store does not know."""
    table = corpus.utterances
    keys = pd.Series(list(utterance_keys(table, reference.modality, reference.context)), dtype=object)
    first = {key: row for row, key in reversed(list(enumerate(keys))) if not is_missing(key)}
    missing = store.missing(reference.column(), [key for key in keys if key in first])
    if reference.modality == "text":
        texts = [item or "" for item in text_items(table, reference.context)]
        # Batches of similar length pad little; the key breaks ties, so that equal corpora make equal shards.
        return {key: texts[first[key]] for key in sorted(missing, key=lambda key: (_letters(texts[first[key]]), key))}
    columns = {name: table[name].to_numpy(object) for name in ("audio", "channel", "start", "end")}
    return {
        key: _segment(corpus.root, {name: values[first[key]] for name, values in columns.items()}) for key in missing
    }


def _letters(item: TextItem) -> int:
    return sum(map(len, item.lines)) if isinstance(item, Window) else len(item)


def _segment(root: Path, row: Mapping[str, Any]) -> Segment:
    channel, start, end = (None if is_missing(row[name]) else row[name] for name in ("channel", "start", "end"))
    return Segment(
        root / str(row["audio"]),
        None if channel is None else int(channel),
        None if start is None else float(start),
        None if end is None else float(end),
    )


def audio_segments(corpus: Corpus) -> list[Segment | None]:
    """The audio of every utterance, in table order; None where there is none."""
    columns = {name: corpus.utterances[name].to_numpy(object) for name in ("audio", "channel", "start", "end")}
    rows = [{name: values[row] for name, values in columns.items()} for row in range(len(corpus.utterances))]
    return [None if is_missing(row["audio"]) else _segment(corpus.root, row) for row in rows]


def _load(item: Item, extractor: Extractor) -> np.ndarray | TextItem:
    if isinstance(item, Segment):
        rate = sample_rate_of(extractor)
        return load_audio(item.path, channel=item.channel, start=item.start, end=item.end, sample_rate=rate)
    return item


def _message(error: Exception, item: Item) -> str:
    """Why there is no vector, without the file's name and without the words: the store must not hold them."""
    if isinstance(error, AudioProblem):
        return error.without_path
    if not isinstance(item, Segment):  # a tokenizer may quote what it could not read
        return f"{type(error).__name__} in a text of {len(as_window(item).text)} characters"
    message = str(error.strerror or "") if isinstance(error, OSError) else str(error)
    return f"{type(error).__name__}: {message.replace(str(item.path), 'the file').replace(item.path.name, 'the file')}"


def _why_nothing(extractor: Extractor, value: np.ndarray | TextItem) -> str:
    if isinstance(value, np.ndarray):
        return f"{extractor.name}: no vector for {len(value) / sample_rate_of(extractor):.3f} s of audio"
    return f"{extractor.name}: no vector for a text of {len(as_window(value).text.strip())} characters"


class _Shards:
    """Collects rows and publishes them as shards."""

    def __init__(self, store: FeatureStore, column: Column, size: int) -> None:
        self.store, self.column, self.size = store, column, size
        self.origin = _library_versions()
        self.keys: list[str] = []
        self.vectors: list[np.ndarray] = []
        self.problems: list[str | None] = []

    def add(self, keys: Sequence[str], vectors: np.ndarray, problems: Sequence[str | None]) -> None:
        self.keys += keys
        self.vectors.append(vectors)
        self.problems += problems
        if len(self.keys) >= self.size:
            self.publish()

    def publish(self) -> None:
        keys, vectors, problems = self.keys, self.vectors, self.problems
        self.keys, self.vectors, self.problems = [], [], []
        if keys:
            self.store.put(self.column, keys, np.concatenate(vectors), problems, self.origin)


@cache
def _library_versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _batches(items: Mapping[str, Item], size: int) -> Iterator[dict[str, Item]]:
    keys = list(items)
    for start in range(0, len(keys), size):
        yield {key: items[key] for key in keys[start : start + size]}


def _shown(results: Iterable[Rows], batches: Sequence[dict[str, Item]], name: str, progress: bool) -> Iterator[Rows]:
    """Passes results on while a bar shows how many utterances are done."""
    with under_way(f"extracting {name}", sum(map(len, batches)), shown=progress) as advance:
        for batch, result in zip(batches, results, strict=True):
            advance(len(batch))
            yield result


def _in_processes(
    batches: Sequence[dict[str, Item]], workers: int, name: str, settings: Mapping[str, Any]
) -> Iterator[Rows]:
    """In the order of the batches, so that equal rows make equal shards."""
    items = [list(batch.values()) for batch in batches]
    for number, rows in run_in_processes(_extract_here, items, workers, _start, (name, settings), in_order=True):
        if rows is None:
            raise WorkerError(
                f"a worker process died twice in batch {number + 1} of {len(batches)}: killed, out of memory, or "
                "crashed in a library. What was finished is stored. Run the same again to continue, with workers=1 to "
                "see the error itself."
            )
        yield rows


_EXTRACTOR: Extractor | None = None  # of this worker process


def _start(name: str, settings: Mapping[str, Any]) -> None:
    global _EXTRACTOR
    _EXTRACTOR = make_extractor(name, **settings)


def _extract_here(items: Sequence[Item]) -> Rows:
    assert _EXTRACTOR is not None, "runs in a worker process, behind `_start`"
    return extract_items(_EXTRACTOR, items)
