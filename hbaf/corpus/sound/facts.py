"""What can be measured of each utterance's audio, once per segment: length, loudness, clipping, share of voice.

Later stages judge and name utterances by these facts without decoding again.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from hbaf.corpus.schema import FACT_COLUMNS, Corpus, CorpusError, is_missing
from hbaf.corpus.sound.channels import stop_where_channels_differ
from hbaf.corpus.sound.facts_cache import FactsCache
from hbaf.corpus.sound.measure import Segment
from hbaf.corpus.sound.measuring import Recording, measure_in_processes
from hbaf.corpus.windows import Window, text_items
from hbaf.parameters import LimitParameters
from hbaf.progress import under_way

# Raise it when a fact is measured differently: cached ones are measured again. Up to 3, where processes could not
# start, every file was kept as one that crashes its decoder.
VERSION = 5


def add_facts(
    corpus: Corpus,
    *,
    limits: LimitParameters = LimitParameters(),  # noqa: B008  # frozen
    workers: int | None = None,
    progress: bool = False,
) -> Corpus:
    """Measures `FACT_COLUMNS` for every row whose audio was found, and marks what does not decode.

    Equal files are measured once: the results are kept in the home folder by path, size and time of change.

    Args:
        limits: what decoding one segment may cost.
        workers: processes; None: one per core.
        progress: draw a progress bar.

    Returns:
        The corpus with the fact columns, missing where there is no usable audio, and `audio_problem` completed.

    Raises:
        CorpusError: most recordings have one person per channel, and the rows name no channels.
        hbaf.processes.WorkerError: processes could not start; nothing of it is kept.
    """
    table = corpus.utterances.copy()
    wanted: dict[Path, dict[Segment, list[int]]] = {}
    for index, (audio, problem, channel, start, end) in enumerate(
        zip(*(table[name] for name in ("audio", "audio_problem", "channel", "start", "end")), strict=True)
    ):
        if is_missing(audio) or not is_missing(problem):
            continue
        segment = (None if is_missing(channel) else int(channel), _or_none(start), _or_none(end))
        wanted.setdefault(corpus.root / audio, {}).setdefault(segment, []).append(index)
    facts: list[dict[str, Any]] = [{} for _ in range(len(table))]
    with under_way("measuring audio", sum(map(len, wanted.values())), shown=progress) as advance:
        for path, segment, measured in _measure_all(wanted, workers or os.cpu_count() or 1, limits):
            measured = {name: value for name, value in measured.items() if name != "waveform"}  # the cache has it
            for index in wanted[path][segment]:
                facts[index] = measured
            advance()
    for name, dtype in FACT_COLUMNS.items():
        table[name] = pd.Series([fact.get(name) for fact in facts], index=table.index, dtype=dtype)
    problems = [fact.get("audio_problem") for fact in facts]
    found = pd.Series(problems, index=table.index, dtype="str")
    table["audio_problem"] = table["audio_problem"].where(table["audio_problem"].notna(), found).astype("str")
    stop_where_channels_differ(corpus.name, table)
    return replace(corpus, utterances=table)


def kept_waveform(cache: FactsCache, path: Path, segment: Segment) -> str:
    """The waveform of a segment as `add_facts` measured it; "" where it did not, or the file has changed since."""
    key = _cache_key(path, _status(path), segment)
    return str(cache.get({segment: key}).get(segment, {}).get("waveform", ""))


def utterance_keys(utterances: pd.DataFrame, modality: Literal["audio", "text"], context: int = 0) -> pd.Series:
    """The content keys of a feature store: equal words or equal sound have equal keys in any corpus.

    Args:
        context: of the text extractor: the key covers the words of so many turns before, and who says which, so
            `utterances` are whole dialogues.

    Returns:
        (rows,) sha256 in hex, by the index of `utterances`; None where that modality cannot be used.

    Raises:
        CorpusError: audio keys without the facts.
    """
    if modality == "text":
        keys = [
            None if item is None else _sha256(json.dumps(item) if isinstance(item, Window) else item)
            for item in text_items(utterances, context)
        ]
        return pd.Series(keys, index=utterances.index, dtype="object", name="key")
    if "audio_digest" not in utterances:
        raise CorpusError("the audio was not measured yet, so it has no content keys. Call `add_facts` first.")
    columns = (utterances[name] for name in ("audio_digest", "channel", "start", "end", "audio_problem"))
    audio_keys = [
        None
        if is_missing(digest) or not is_missing(problem)
        else _sha256(f"{digest}|{_shown(channel, int)}|{_shown(start, float)}|{_shown(end, float)}")
        for digest, channel, start, end, problem in zip(*columns, strict=True)
    ]
    return pd.Series(audio_keys, index=utterances.index, dtype="object", name="key")


def _measure_all(
    wanted: dict[Path, dict[Segment, list[int]]], workers: int, limits: LimitParameters
) -> Iterator[tuple[Path, Segment, dict[str, Any]]]:
    """Yields the facts of every segment, from the cache or measured, in no particular order."""
    cache = FactsCache()
    recordings, keys = [], {}
    for path, segments in wanted.items():
        status = _status(path)
        missing = []
        cached = cache.get({segment: _cache_key(path, status, segment) for segment in segments})
        for segment in segments:
            if segment in cached:
                yield path, segment, cached[segment]
            else:
                missing.append(segment)
                keys[path, segment] = _cache_key(path, status, segment)
        if missing:
            recordings.append(Recording(path, tuple(missing)))
    with cache.writing():
        for recording, measured in measure_in_processes(recordings, workers, limits):
            for number, segment in enumerate(recording.segments):
                if isinstance(measured, str):  # not kept: another limit, or a quieter machine, may let it through
                    yield recording.path, segment, {"audio_problem": measured}
                    continue
                cache.put(keys[recording.path, segment], measured[number])
                yield recording.path, segment, measured[number]


def _status(path: Path) -> str | None:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return f"{found.st_size}|{found.st_mtime_ns}"


def _cache_key(path: Path, status: str | None, segment: Segment) -> str | None:
    """A digest, so that the cache holds no file name; None for a file that cannot be seen."""
    return None if status is None else _sha256(f"{VERSION}|{path}|{status}|{segment}")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _or_none(value: float) -> float | None:
    return None if is_missing(value) else float(value)


def _shown(value: Any, kind: type) -> str:
    return "" if is_missing(value) else repr(kind(value))
