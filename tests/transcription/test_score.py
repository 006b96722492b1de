"""Recordings without a single word, scored: by `hbaf score` and as they arrive."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from hbaf import pipeline
from hbaf.corpus.prepare import prepare_corpus
from hbaf.corpus.read import parameters_of
from hbaf.corpus.schema import CorpusError
from hbaf.inbox.scheduled import score_source
from hbaf.inbox.source import SourceParameters
from hbaf.privacy.forget import forget
from hbaf.transcription.transcribe import transcribe_folder
from tests.inbox.conftest import cached, champion
from tests.registry.conftest import use
from tests.transcription.conftest import WORDS, Spoken

__all__ = ["cached", "champion"]  # fixtures: a small champion in the home


@pytest.fixture
def recordings(calls: Spoken, tmp_path: Path) -> Path:
    folder = tmp_path / "recordings"
    folder.mkdir()
    for name in ("call1", "call2"):
        shutil.copyfile(calls.folder / f"{name}.wav", folder / f"{name}.wav")
    return folder


def test_scored_in_one_go(recordings: Path):
    with pytest.raises(CorpusError, match="hbaf transcribe"):
        pipeline.score(recordings, purpose="research")
    scores = pipeline.score(recordings, purpose="research", words=WORDS).scores
    assert (scores.rows, scores.dialogues, scores.unscored) == (12, 2, 0)
    table = pd.read_parquet(scores.folder / "scores.parquet")
    assert table["speaker"].unique().tolist() == ["channel 0", "channel 1"]
    assert table["label"].notna().all()


def test_arrivals_without_words(recordings: Path, tmp_path: Path, home: Path):
    source = SourceParameters(url=str(recordings), quiet_minutes=0, shard=8)
    for name in ("call1", "call2"):
        (recordings / f"{name}.ready").touch()
    before = sorted(file.name for file in recordings.iterdir())
    done = score_source(source.model_copy(update={"words": WORDS}), purpose="research", workers=1)
    assert done.counts["published"] == 2
    assert done.rows == 12
    assert sorted(file.name for file in recordings.iterdir()) == before  # nothing arrives by it
    assert len(list((home / "transcripts").iterdir())) == 2
    again = score_source(source.model_copy(update={"words": WORDS}), purpose="research", workers=1)
    assert again.rows == 0


def test_forgotten_with_its_conversation(recordings: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    use(tmp_path, monkeypatch)
    transcribe_folder(recordings, WORDS.model_copy(update={"place": "home"}))
    prepare_corpus(parameters_of(recordings), split=False, workers=1)
    assert len(list((home / "transcripts").iterdir())) == 2
    forget("call1")
    assert len(list((home / "transcripts").iterdir())) == 1
    forget("recordings", kind="corpus")
    assert list((home / "transcripts").iterdir()) == []
