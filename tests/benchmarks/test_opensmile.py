"""ComParE 2016 of 384 real clips into a feature store, against openSMILE itself in as many processes."""

import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feature_store.store import FeatureStore
from hbaf.corpus.schema import Corpus, as_utterances, empty_splits
from hbaf.corpus.sound.facts import add_facts
from hbaf.features.extract import AUDIO_BATCH, extract_column, read_column
from hbaf.processes import THREADS

CORES = len(os.sched_getaffinity(0))
_smile: Any = None  # of a process of the reference


def start() -> None:
    global _smile
    import opensmile

    _smile = opensmile.Smile(
        feature_set=opensmile.FeatureSet.ComParE_2016, feature_level=opensmile.FeatureLevel.Functionals
    )


def bare(paths: Sequence[Path]) -> np.ndarray:
    """openSMILE's own way: `process_signal` of what soundfile reads."""
    import soundfile

    return np.concatenate([_smile.process_signal(*soundfile.read(path, dtype="float32")).to_numpy() for path in paths])


def bare_vectors(paths: Sequence[Path]) -> np.ndarray:
    parts = [paths[at : at + AUDIO_BATCH] for at in range(0, len(paths), AUDIO_BATCH)]
    with ProcessPoolExecutor(CORES, mp_context=get_context("spawn"), initializer=start) as pool:
        return np.concatenate(list(pool.map(bare, parts)))


def as_corpus(clips: Sequence[Path], root: Path) -> Corpus:
    rows = [
        {"corpus": "clips", "dialogue_id": clip.stem, "turn": 0, "speaker": "A", "audio": clip.name,
         "text_problem": "no text"}
        for clip in clips
    ]  # fmt: skip
    import pandas as pd

    return add_facts(Corpus("clips", root, as_utterances(pd.DataFrame(rows)), empty_splits()), workers=1)


@pytest.mark.benchmark
def test_extraction_against_bare_opensmile(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in THREADS:  # the reference's processes too have one thread each
        monkeypatch.setenv(name, "1")
    root = real_data / "ravdess"
    clips = sorted(root.rglob("*.flac")) or sorted(root.rglob("*.wav"))
    assert len(clips) == 384
    corpus = as_corpus(clips, root)
    paths = [root / name for name in corpus.utterances["audio"]]
    took: dict[str, list[float]] = {"ours": [], "bare": []}
    # Twice, the least of each: whoever comes first reads the clips and the libraries from the disk.
    for again in ("first", "second"):
        store = FeatureStore(tmp_path / again)
        began = time.perf_counter()
        reference = extract_column(corpus, "compare2016", store, workers=CORES)
        took["ours"].append(time.perf_counter() - began)
        began = time.perf_counter()
        expected = bare_vectors(paths)
        took["bare"].append(time.perf_counter() - began)
    ours, plain = min(took["ours"]), min(took["bare"])
    vectors, there = read_column(corpus, reference, store)
    assert there.all()
    np.testing.assert_array_equal(vectors, expected)
    seconds = corpus.utterances["seconds"].sum()
    with capsys.disabled():
        print(
            f"\nopenSMILE, {len(clips)} clips, {seconds:.0f} s of speech, {CORES} processes: {ours:.1f} s into the "
            f"store, bare {plain:.1f} s, start of the processes included: {plain / ours:.2f} of its speed; equal values"
        )
