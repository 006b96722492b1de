"""Corpus x extractor -> store: only what is missing, continued after a kill, aligned by content."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

from feature_store.store import FeatureStore
from hbaf.corpus.schema import Corpus, empty_splits, load_corpus, save_corpus
from hbaf.features import extract, registry
from hbaf.features.audio.mfcc import Mfcc
from hbaf.features.extract import extract_column, extract_items, read_column

from .conftest import tone_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return tone_corpus(tmp_path_factory.mktemp("audio"), 40)


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "features")


class Loud:
    """An extractor whose calls a test can count and make fail."""

    name = "loud"
    modality = "audio"
    dim = 2
    licence = "none"
    commercial = True
    in_processes = True
    seen = 0
    fails_at: float | None = None

    def __init__(self, name: str = "loud") -> None:
        pass

    def identity(self) -> dict[str, object]:
        return {"name": "loud"}

    def extract(self, items: Sequence[np.ndarray]) -> np.ndarray:
        Loud.seen += len(items)
        for item in items:
            if Loud.fails_at is not None and (len(item) == Loud.fails_at or Loud.fails_at < 0):
                raise FloatingPointError("this item")
        return np.array([[len(item), np.abs(item).max()] for item in items], np.float32)


@pytest.fixture
def loud(monkeypatch: pytest.MonkeyPatch) -> type[Loud]:
    monkeypatch.setitem(registry.EXTRACTORS, "loud", Loud)
    Loud.seen, Loud.fails_at = 0, None
    return Loud


@pytest.fixture(autouse=True)
def processes_for_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extract, "SMALL", 0)


def direct(corpus: Corpus) -> np.ndarray:
    """The mfcc numbers of each row, without store or processes."""
    items = [extract.Segment(corpus.root / name, None, None, None) for name in corpus.utterances["audio"]]
    return extract_items(Mfcc(), items)[0]


def test_rows_are_aligned_and_parallel_equals_direct(corpus: Corpus, store: FeatureStore) -> None:
    reference = extract_column(corpus, "mfcc", store, workers=2, shard_size=10)
    assert (reference.name, reference.modality, reference.dim, reference.store_url) == ("mfcc", "audio", 266, store.url)
    vectors, present = read_column(corpus, reference, store)
    assert present.all()
    np.testing.assert_array_equal(vectors, direct(corpus))
    shuffled = corpus.with_utterances(corpus.utterances.sample(frac=1, random_state=0))
    again, _ = read_column(shuffled, reference, store)
    np.testing.assert_array_equal(again, direct(shuffled))


def test_a_second_run_computes_nothing_and_new_content_alone(
    corpus: Corpus, store: FeatureStore, loud: type[Loud]
) -> None:
    part = corpus.with_utterances(corpus.utterances.iloc[:10])
    extract_column(part, "loud", store, workers=1)
    assert loud.seen == 10
    extract_column(part, "loud", store, workers=1)
    assert loud.seen == 10
    extract_column(corpus, "loud", FeatureStore(store.url), workers=1)
    assert loud.seen == 40


def test_an_extractor_gets_its_signals_at_its_own_rate(
    corpus: Corpus, store: FeatureStore, loud: type[Loud], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = corpus.with_utterances(corpus.utterances.iloc[:3])
    usual, _ = read_column(few, extract_column(few, "loud", store, workers=1), store)
    monkeypatch.setattr(loud, "sample_rate", 48_000, raising=False)
    other = FeatureStore(f"{store.url}-48")
    found, _ = read_column(few, extract_column(few, "loud", other, workers=1), other)
    np.testing.assert_allclose(found[:, 0], 3 * usual[:, 0], atol=3)


def test_equal_content_is_computed_once(corpus: Corpus, store: FeatureStore, loud: type[Loud]) -> None:
    table = pd.concat([corpus.utterances.iloc[:3]] * 3, ignore_index=True)
    doubled = corpus.with_utterances(table)
    reference = extract_column(doubled, "loud", store, workers=1)
    assert loud.seen == 3
    vectors, _ = read_column(doubled, reference, store)
    np.testing.assert_array_equal(vectors[:3], vectors[6:])


def test_a_segment_is_its_own_content(corpus: Corpus, store: FeatureStore, loud: type[Loud]) -> None:
    table = pd.concat([corpus.utterances.iloc[:1]] * 2, ignore_index=True)
    table["start"], table["end"] = [0.0, 0.1], [0.1, 0.3]
    halves = corpus.with_utterances(table)
    vectors, _ = read_column(halves, extract_column(halves, "loud", store, workers=1), store)
    np.testing.assert_array_equal(vectors[:, 0], [1600, 3200])


def test_missing_modalities_are_absent_rows(corpus: Corpus, store: FeatureStore, roberta: Path) -> None:
    table = corpus.utterances.iloc[:4].copy()
    table.loc[1, "text"] = None
    table.loc[1, "text_problem"] = "no text"
    table.loc[2, "audio"] = None
    table.loc[2, "audio_problem"] = "no audio"
    table.loc[2, "audio_digest"] = None
    holes = corpus.with_utterances(table)
    text = extract_column(holes, "encoder", store, settings={"model": str(roberta)}, device="cpu")
    vectors, present = read_column(holes, text, store)
    assert present.tolist() == [True, False, True, True]
    assert np.isnan(vectors[1]).all()
    audio = extract_column(holes, "mfcc", store)
    assert read_column(holes, audio, store)[1].tolist() == [True, True, False, True]
    nothing = replace(corpus, utterances=table.iloc[:0], splits=empty_splits())
    assert read_column(nothing, audio, store)[0].shape == (0, 266)


def test_text_is_bucketed_and_lands_on_its_rows(corpus: Corpus, store: FeatureStore, roberta: Path) -> None:
    settings = {"model": str(roberta)}
    reference = extract_column(corpus, "encoder", store, settings=settings, batch_size=7, device="cpu", shard_size=9)
    vectors, _ = read_column(corpus, reference, store)
    one_by_one = registry.make_extractor("encoder", device="cpu", **settings)
    expected = np.concatenate([one_by_one.extract([text]) for text in corpus.utterances["text"]])
    # Products of other shapes are summed in another order, by up to 1.4e-5 on some processors; another row is off by 1.
    np.testing.assert_allclose(vectors, expected, atol=1e-4)
    assert np.abs(vectors - np.roll(expected, 1, axis=0)).max() > 0.1


def test_a_bad_file_is_a_problem_and_harms_nobody(tmp_path: Path, store: FeatureStore) -> None:
    corpus = tone_corpus(tmp_path, 20)
    (tmp_path / "3.wav").write_bytes(b"no audio at all")
    (tmp_path / "5.wav").unlink()
    reference = extract_column(corpus, "mfcc", store, workers=2)
    vectors, present = read_column(corpus, reference, store)
    assert np.flatnonzero(~present).tolist() == [3, 5]
    good = corpus.with_utterances(corpus.utterances[present])
    np.testing.assert_array_equal(vectors[present], direct(good))
    keys = extract.utterance_keys(corpus.utterances, "audio").tolist()
    problems = store.get(reference.column(), keys)[1]
    assert str(problems[3]).startswith("not audio")
    assert "3.wav" not in str(problems[3])  # a file name may be a person's: the corpus knows it, the store need not
    assert problems[4] is None


def test_an_item_that_breaks_the_extractor_is_found(corpus: Corpus, store: FeatureStore, loud: type[Loud]) -> None:
    loud.fails_at = 0.33 * 16_000  # samples of utterances 3, 10, 17, ...
    reference = extract_column(corpus, "loud", store, workers=1)
    _, present = read_column(corpus, reference, store)
    assert np.flatnonzero(~present).tolist() == [3, 10, 17, 24, 31, 38]


def test_an_extractor_that_always_fails_is_an_error_and_stores_nothing(
    corpus: Corpus, store: FeatureStore, loud: type[Loud]
) -> None:
    loud.fails_at = -1
    with pytest.raises(FloatingPointError):
        extract_column(corpus, "loud", store, workers=1)
    assert store.list() == []


def test_an_error_loses_nothing_that_was_computed(
    corpus: Corpus, store: FeatureStore, loud: type[Loud], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object) -> object:
        if loud.seen >= 16:
            raise KeyboardInterrupt
        return extract_items(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(extract, "extract_items", interrupted)
    with pytest.raises(KeyboardInterrupt):
        extract_column(corpus, "loud", store, workers=1)
    assert store.list()[0].rows == 16


SCRIPT = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from feature_store.store import FeatureStore
    from hbaf.corpus.schema import load_corpus
    from hbaf.features.extract import extract_column

    if __name__ == "__main__":
        extract_column(load_corpus(Path(sys.argv[1])), "mfcc", FeatureStore(sys.argv[2]), workers=2, shard_size=8)
    """
)


def start(script: Path, *arguments: object) -> subprocess.Popen[bytes]:
    script.write_text(SCRIPT)
    return subprocess.Popen([sys.executable, str(script), *map(str, arguments)], start_new_session=True)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    save_corpus(tone_corpus(tmp_path_factory.mktemp("many"), 200), folder)
    return folder


def wait_for_shards(folder: Path, count: int) -> int:
    for _ in range(6000):
        found = len(list(folder.glob("*/manifest/*.json")))
        if found >= count:
            return found
        time.sleep(0.02)
    raise AssertionError(f"fewer than {count} shards after two minutes")


@pytest.mark.long
def test_killed_in_the_middle_and_continued_gives_the_same(saved: Path, tmp_path: Path, store: FeatureStore) -> None:
    process = start(tmp_path / "script.py", saved, store.url)
    wait_for_shards(Path(store.url), 2)
    workers = psutil.Process(process.pid).children(recursive=True)
    assert len(workers) >= 2
    os.kill(process.pid, signal.SIGKILL)
    process.wait(30)
    corpus = load_corpus(saved)
    assert store.verify() == []
    stored = store.list()[0].rows
    assert 16 <= stored < 200
    # Workers do not outlive the process that started them.
    alive = [worker for worker in psutil.wait_procs(workers, timeout=10)[1] if worker.status() != psutil.STATUS_ZOMBIE]
    assert alive == []
    reference = extract_column(corpus, "mfcc", store, workers=1, shard_size=8)
    vectors, present = read_column(corpus, reference, store)
    assert present.all()
    np.testing.assert_array_equal(vectors, direct(corpus))
    assert store.list()[0].rows == 200


@pytest.mark.long
def test_two_extractions_at_once_converge(saved: Path, tmp_path: Path, store: FeatureStore) -> None:
    processes = [start(tmp_path / f"script{number}.py", saved, store.url) for number in range(2)]
    assert [process.wait(120) for process in processes] == [0, 0]
    corpus = load_corpus(saved)
    vectors, _ = read_column(corpus, extract_column(corpus, "mfcc", store), store)
    np.testing.assert_array_equal(vectors, direct(corpus))
    info = store.list()[0]
    assert (info.rows, info.shards) == (200, 25)  # equal rows make equal shards, so the second writer adds none
