"""One writer at a published place: two sources, a lock that is lost while its run lives, a run that does not know it.

A run's lock is cut as an operator or a network would: the server ends the connection that holds it.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sql

from feature_store.files import Files
from hbaf.inbox.entries import Inbox
from hbaf.inbox.ledger.database import Ledger
from hbaf.inbox.ledger.fence import LostLock
from hbaf.inbox.ledger.records import LedgerError
from hbaf.inbox.publish.parquet import DatasetError, ParquetDataset
from hbaf.inbox.scheduled import SourceScores, score_source
from hbaf.inbox.source import SourceParameters
from hbaf.inbox.verify_scores import verify_agreement
from tests.feature_store.conftest import s3_bucket, s3_server
from tests.inbox.conftest import call
from tests.inbox.kill_runs import clear, cut
from tests.inbox.test_kills import database

__all__ = ["database", "s3_bucket", "s3_server"]  # fixtures
PATIENCE = 120.0  # seconds


def run(source: Path, **settings: object) -> SourceScores:
    return score_source(SourceParameters(url=str(source), **settings), purpose="research", workers=1)  # type: ignore[arg-type]


def standing(published: str) -> list[str]:
    """The utterances of a dataset."""
    return sorted(ParquetDataset(published).read()["utterance_id"].to_pylist())


def utterances(*names: str) -> list[str]:
    return sorted(f"calls/{name}/{turn}" for name in names for turn in range(3))


def test_two_sources_are_not_published_at_one_place(tmp_path: Path) -> None:
    place = tmp_path / "published"
    call(tmp_path / "calls", "one")
    call(tmp_path / "talks", "two", 220)
    before = run(tmp_path / "calls", published=str(place))
    (tmp_path / "link").symlink_to(place)
    for same in (place, tmp_path / "link", f"file://{place}", f"{tmp_path}/x/../published/"):
        with pytest.raises(LedgerError, match=r"talks cannot be published in .*: the scores of calls are") as raised:
            run(tmp_path / "talks", published=str(same))
        assert "--set source.published=" in str(raised.value)
    assert standing(before.published) == utterances("one")
    run(tmp_path / "talks", published=str(tmp_path / "other"))
    assert run(tmp_path / "calls", published=str(place)).counts == {}


def test_a_source_of_another_home_is_refused_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cached: Any, home: Path
) -> None:
    place = str(tmp_path / "published")
    call(tmp_path / "calls", "one")
    call(tmp_path / "talks", "two", 220)
    run(tmp_path / "calls", published=place)
    other = tmp_path / "other-home"
    (other / "champions").mkdir(parents=True)
    cached.put_into(other)
    monkeypatch.setenv("HBAF_HOME", str(other))
    with pytest.raises(LedgerError, match="the scores of calls are"):
        run(tmp_path / "talks", published=place)
    # The same source from another home goes on from what is there, and ends the right of the first one.
    with Ledger.open().alone("calls", place) as fence:
        assert fence.token > 1


def test_a_writer_is_stopped_once_a_newer_one_has_begun(tmp_path: Path) -> None:
    """Each of its writes by itself, whatever it believes of its lock."""
    call(tmp_path / "calls", "one")
    done = run(tmp_path / "calls")
    ledger, dataset = Ledger.open(), ParquetDataset(done.published)
    with ledger.alone("calls") as old:
        pass
    with ledger.alone("calls") as new:
        dataset.claim(new)
    rows = dataset.read()
    for write in (
        lambda: ledger.of("calls", fence=old).scored([]),
        lambda: ledger.of("calls", fence=old).published([]),
        lambda: dataset.replace(rows, {"calls/one": 2}, old),
        lambda: dataset.remove(["calls/one"], old),
        lambda: dataset.claim(old),
    ):
        with pytest.raises(LostLock, match="this run has stopped"):
            write()
    assert dataset.parts() == [1]
    assert dataset.read().equals(rows)


class Paused:
    """Lets a thread go up to the moment when it has read a part and not written it yet."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()
        self.thread: int | None = None
        read = Files.read

        def pausing(files: Files, name: str) -> bytes:
            content = read(files, name)
            if threading.get_ident() == self.thread and name.startswith("part-") and not self.reached.is_set():
                self.reached.set()
                assert self.go_on.wait(PATIENCE)
            return content

        monkeypatch.setattr(Files, "read", pausing)

    def run(self, step: Callable[[], SourceScores]) -> SourceScores:
        self.thread = threading.get_ident()
        return step()


@pytest.fixture
def scores_database(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[sql.Engine]:
    """An empty ledger and result in PostgreSQL."""
    monkeypatch.setenv("HBAF_SCORES_DATABASE", database)
    engine = sql.create_engine(database)
    clear(engine)
    yield engine
    engine.dispose()


@pytest.mark.slow  # starts PostgreSQL
@pytest.mark.parametrize("store", ["local", "s3"])
def test_a_run_whose_lock_was_cut_overwrites_nothing(
    tmp_path: Path,
    scores_database: sql.Engine,
    monkeypatch: pytest.MonkeyPatch,
    store: str,
    request: pytest.FixtureRequest,
) -> None:
    place = str(tmp_path / "out") if store == "local" else f"{request.getfixturevalue('s3_bucket')}/out"
    source = tmp_path / "calls"
    call(source, "first")
    run(source, published=place)
    call(source, "second", 220)
    paused = Paused(monkeypatch)
    with ThreadPoolExecutor(1) as pool:
        earlier: Future[SourceScores] = pool.submit(paused.run, lambda: run(source, published=place))
        assert paused.reached.wait(PATIENCE)
        assert cut(scores_database)
        call(source, "third", 240)
        later = run(source, published=place)
        paused.go_on.set()
        with pytest.raises(LostLock, match="the connection that held its lock ended"):
            earlier.result(PATIENCE)
    assert standing(place) == utterances("first", "second", "third")
    assert later.counts == {"published": 2}
    assert {entry.state for entry in Inbox(Ledger.open()).entries()} == {"published"}
    assert verify_agreement(SourceParameters(url=str(source), published=place)) == []
    assert run(source, published=place).counts == {}


@pytest.mark.slow  # starts PostgreSQL
def test_a_run_whose_lock_was_cut_stops_though_no_other_begins(tmp_path: Path, scores_database: sql.Engine) -> None:
    source = tmp_path / "calls"
    call(source, "one")

    def cutting(step: Callable[[Any], Any], tasks: Any) -> Iterator[Any]:
        for task in tasks:
            result = step(task)
            if step.__name__ == "score_shard":  # before it is published
                assert cut(scores_database)
            yield result

    with pytest.raises(LostLock, match="the connection that held its lock ended"):
        score_source(SourceParameters(url=str(source)), purpose="research", workers=1, map_shards=cutting)
    assert Ledger.open().runs()[0].state == "failed"
    assert run(source).counts == {"published": 1}


def test_a_part_of_an_object_store_that_changed_since_it_was_read_is_read_again(
    tmp_path: Path,
    s3_bucket: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An earlier writer had asked who may write before a newer one began, and writes only now."""
    source, place = tmp_path / "calls", f"{s3_bucket}/out"
    call(source, "one")
    run(source, published=place)
    file = f"{place.removeprefix('s3://')}/part-00001.parquet"
    call(source, "two", 220)
    run(source, published=place)
    both = Files(place).read("part-00001.parquet")
    call(source, "three", 240)
    with Ledger.open().alone("calls", place) as fence:
        ParquetDataset(place).remove(["calls/two"], fence)
    assert standing(place) == utterances("one")
    read, late = Files.read, iter([both])

    def slipped_in(files: Files, name: str) -> bytes:
        content = read(files, name)
        if name.startswith("part-") and (other := next(late, None)) is not None:
            files.system.pipe_file(file, other)
        return content

    monkeypatch.setattr(Files, "read", slipped_in)
    assert run(source, published=place).counts == {"published": 1}
    assert next(late, None) is None
    assert standing(place) == utterances("one", "three", "two")


def test_a_damaged_note_of_the_writer_is_named(tmp_path: Path) -> None:
    call(tmp_path / "calls", "one")
    note = Path(run(tmp_path / "calls").published) / "_writer.json"
    note.write_text("{")
    with pytest.raises(DatasetError, match="Remove it while no run is at work"):
        run(tmp_path / "calls")
    note.unlink()
    assert run(tmp_path / "calls").counts == {}
