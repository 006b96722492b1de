"""audformat databases, built with the library itself, read and written."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hbaf.corpus.readers.audformat_database import load_database, read_audformat, write_audformat
from hbaf.corpus.schema import Corpus, CorpusError
from hbaf.parameters import CorpusParameters

audformat = pytest.importorskip("audformat", reason="audformat is not installed: pip install 'hbaf[audformat]'")

FILES = ["calls/one.wav", "calls/two.wav", "calls/three.wav"]


def column(table: Any, name: str, values: list[Any], scheme: str | None = None) -> None:
    table[name] = audformat.Column(scheme_id=scheme)
    table[name].set(values)


def media(root: Path, *files: str) -> None:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(b"not decoded here")


@pytest.fixture
def calls(tmp_path: Path) -> Any:
    """Three recordings, two of them conversations; labels, words and speakers in tables of their own."""
    db = audformat.Database("Calls 2", source="made up", license="CC0-1.0")
    db.schemes["emotion"] = audformat.Scheme("str", labels=["neutral", "joy", "anger", "no_agreement"])
    db.schemes["transcription"] = audformat.Scheme("str")
    db.misc_tables["speakers"] = audformat.MiscTable(pd.Index(["ann", "bob"], name="speaker", dtype="string"))
    db.schemes["speaker"] = audformat.Scheme("str", labels="speakers")
    db.splits["train"] = audformat.Split("train")
    db.splits["test"] = audformat.Split("test")
    seconds = [(0, 0.0, 1.5), (0, 4.0, 5.0), (0, 2.0, 4.0), (1, 1.0, 2.0), (1, 3.0, None)]
    index = audformat.segmented_index(
        [FILES[i] for i, _, _ in seconds],
        [pd.Timedelta(seconds=start) for _, start, _ in seconds],
        [pd.NaT if end is None else pd.Timedelta(seconds=end) for _, _, end in seconds],
    )
    gold = db["gold"] = audformat.Table(index)
    column(gold, "emotion", ["neutral", "anger", "joy", "no_agreement", None], "emotion")
    words = db["words"] = audformat.Table(index[:4])
    column(words, "transcription", ["Hello.", "No!", "Nice.", "Hm."], "transcription")
    files = db["files"] = audformat.Table(audformat.filewise_index(FILES))
    column(files, "speaker", ["ann", "bob", None], "speaker")
    db["files.train"] = audformat.Table(audformat.filewise_index(FILES[:1]), split_id="train")
    db["files.test"] = audformat.Table(audformat.filewise_index(FILES[1:2]), split_id="test")
    media(tmp_path, *FILES[:1])
    db.save(str(tmp_path), storage_format="csv")
    return db


def read(root: Path, **settings: Any) -> Corpus:
    return read_audformat(CorpusParameters(reader="audformat", root=root, **settings))


def test_segments_of_a_file_are_a_conversation(calls: Any, tmp_path: Path) -> None:
    corpus = read(tmp_path)
    rows = corpus.utterances
    assert rows["utterance_id"].tolist() == [
        *(f"calls-2/calls/one/{turn}" for turn in range(3)), "calls-2/calls/two/0", "calls-2/calls/two/1",
    ]  # fmt: skip
    assert rows["text"].fillna("-").tolist() == ["Hello.", "Nice.", "No!", "Hm.", "-"]
    assert rows["emotion"].fillna("-").tolist() == ["neutral", "joy", "anger", "no_agreement", "-"]
    assert rows["start"].tolist() == [0.0, 2.0, 4.0, 1.0, 3.0]
    assert rows["end"].fillna(-1).tolist() == [1.5, 4.0, 5.0, 2.0, -1]
    assert rows["speaker"].tolist() == ["ann"] * 3 + ["bob"] * 2  # what is said of the file holds for its segments
    assert rows["text_problem"].fillna("-").tolist() == ["-", "-", "-", "-", "no text"]
    assert dict(corpus.splits.itertuples(index=False)) == {"calls/one": "train", "calls/two": "test"}
    assert corpus.emotions == ("neutral", "joy", "anger", "no_agreement")  # the scheme's order
    assert corpus.licence == "CC0-1.0"


def test_audio_that_is_not_there_is_marked(calls: Any, tmp_path: Path) -> None:
    rows = read(tmp_path).utterances
    assert rows["audio"].tolist() == [FILES[0]] * 3 + [FILES[1]] * 2
    assert rows["audio_problem"].isna().tolist() == [True] * 3 + [False] * 2


def test_labels_outside_the_set_are_context(calls: Any, tmp_path: Path) -> None:
    corpus = read(tmp_path, emotions=("Anger", "Joy", "Neutral"))
    assert corpus.emotions == ("anger", "joy", "neutral")
    assert corpus.utterances["emotion"].fillna("-").tolist() == ["neutral", "joy", "anger", "-", "-"]


@pytest.mark.parametrize("storage", ["csv", "parquet"])
def test_both_table_formats_say_the_same(calls: Any, tmp_path: Path, storage: str) -> None:
    media(tmp_path / "again", *FILES[:1])
    calls.save(str(tmp_path / "again"), storage_format=storage)
    assert read(tmp_path / "again").digest() == read(tmp_path).digest()


def simple(root: Path, files: list[str], **columns: list[Any]) -> Any:
    db = audformat.Database("simple")
    table = db["files"] = audformat.Table(audformat.filewise_index(files))
    for name, values in columns.items():
        column(table, name, values)
    media(root, *files)
    db.save(str(root), storage_format="csv")
    return db


def test_files_side_by_side_are_no_conversation(tmp_path: Path) -> None:
    simple(tmp_path, ["wav/b.wav", "wav/a.wav", "cut/c.wav"], emotion=["joy", "anger", "joy"])
    corpus = read(tmp_path)
    assert corpus.utterances["dialogue_id"].tolist() == ["cut/c", "wav/a", "wav/b"]
    assert corpus.utterances["start"].isna().all()
    assert corpus.emotions == ("anger", "joy")
    together = read(tmp_path, columns={"@folder": "dialogue"}).utterances
    assert together["utterance_id"].tolist() == ["simple/cut/0", "simple/wav/0", "simple/wav/1"]
    assert together["audio"].tolist() == ["cut/c.wav", "wav/a.wav", "wav/b.wav"]


def test_columns_name_dialogue_turn_and_split(tmp_path: Path) -> None:
    simple(
        tmp_path,
        ["a.wav", "b.wav", "c.wav"],
        feeling=["joy", "anger", "joy"],
        dialogue=["d", "d", "e"],
        turn=["10", "9", "1"],
        split=["train", "train", "dev"],
    )
    corpus = read(tmp_path, columns={"feeling": "emotion"})
    assert corpus.utterances["audio"].tolist() == ["b.wav", "a.wav", "c.wav"]  # 9 before 10
    assert corpus.utterances["emotion"].tolist() == ["anger", "joy", "joy"]
    assert corpus.splits["split"].tolist() == ["train", "dev"]
    with pytest.raises(CorpusError, match=r"no column 'fealing'. Found: files/feeling"):
        read(tmp_path, columns={"fealing": "emotion"})
    with pytest.raises(CorpusError, match="'mood' is none of our columns"):
        read(tmp_path, columns={"feeling": "mood"})


def test_a_dialogue_in_two_splits(tmp_path: Path) -> None:
    simple(tmp_path, ["a.wav", "b.wav"], emotion=["joy", "joy"], dialogue=["d", "d"], split=["train", "test"])
    with pytest.raises(CorpusError, match="dialogue 'd' is in two splits"):
        read(tmp_path)


def test_tables_that_disagree_about_a_label(tmp_path: Path) -> None:
    db = simple(tmp_path, ["a.wav"], emotion=["joy"])
    wished = db["wished"] = audformat.Table(audformat.filewise_index(["a.wav"]))
    column(wished, "emotion", ["anger"])
    db.save(str(tmp_path), storage_format="csv")
    with pytest.raises(CorpusError, match=r"'files' and 'wished' give a\.wav the emotion 'joy' and 'anger'"):
        read(tmp_path)
    assert read(tmp_path, columns={"wished/emotion": "emotion"}).utterances["emotion"].tolist() == ["anger"]


def test_two_columns_of_one_kind(tmp_path: Path) -> None:
    db = audformat.Database("raters")
    db.schemes["emotion"] = audformat.Scheme("str")
    table = db["files"] = audformat.Table(audformat.filewise_index(["a.wav"]))
    column(table, "first", ["joy"], "emotion")
    column(table, "second", ["anger"], "emotion")
    media(tmp_path, "a.wav")
    db.save(str(tmp_path), storage_format="csv")
    with pytest.raises(CorpusError, match=r"first, second of table 'files' all look like 'emotion'"):
        read(tmp_path)
    assert read(tmp_path, columns={"second": "emotion"}).utterances["emotion"].tolist() == ["anger"]


def test_without_labels_it_can_be_scored(tmp_path: Path) -> None:
    simple(tmp_path, ["a.wav", "b.wav"], transcription=["Hello.", "Bye."])
    corpus = read(tmp_path)
    assert corpus.emotions == ()
    assert corpus.utterances["text"].tolist() == ["Hello.", "Bye."]
    assert corpus.splits.empty


def test_files_outside_the_folder_are_not_followed(tmp_path: Path) -> None:
    simple(tmp_path / "db", ["a.wav"], emotion=["joy"])
    table = tmp_path / "db" / "db.files.csv"
    table.write_text(table.read_text().replace("a.wav", "../secret.wav"))
    media(tmp_path, "secret.wav")
    (row,) = read(tmp_path / "db").utterances.itertuples()
    assert pd.isna(row.audio)
    assert "leaves" in row.audio_problem


class Runs:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


def test_pickled_tables_are_not_read(tmp_path: Path) -> None:
    """The library prefers a pickle beside the csv; here it is never opened."""
    mark = tmp_path / "was-run"
    simple(tmp_path, ["a.wav"], emotion=["joy"])
    (tmp_path / "db.files.pkl").write_bytes(pickle.dumps(Runs(mark)))
    assert read(tmp_path).utterances["emotion"].tolist() == ["joy"]
    (tmp_path / "db.files.csv").unlink()
    with pytest.raises(CorpusError, match="pickled tables are not read"):
        read(tmp_path)
    assert not mark.exists()


def test_a_header_that_wants_to_run_something(tmp_path: Path) -> None:
    mark = tmp_path / "was-run"
    simple(tmp_path, ["a.wav"], emotion=["joy"])
    header = tmp_path / "db.yaml"
    header.write_text(header.read_text() + f"meta: !!python/object/apply:os.mkdir [{str(mark)!r}]\n")
    with pytest.raises(CorpusError, match="not the header"):
        read(tmp_path)
    assert not mark.exists()


def test_no_database(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no such header"):
        read(tmp_path)
    (tmp_path / "db.yaml").write_text("- a list\n")
    with pytest.raises(CorpusError, match="not the header"):
        read(tmp_path)


SCORES = pd.DataFrame(
    {
        "utterance_id": ["c/a/0", "c/a/1", "c/a/2", "c/b/0"],
        "audio": ["a.wav", "a.wav", None, "a.wav"],
        "channel": [0, 0, None, 1],
        "start": [0.0, 1.25, np.nan, 0.0],
        "end": [1.25, np.nan, np.nan, 1.25],
        "label": ["joy", "anger", "joy", "anger"],
        "confidence": np.array([0.75, 0.6, 0.5, 1.0], np.float32),
        "p_anger": np.array([0.25, 0.6, 0.5, 1.0], np.float32),
        "p_joy": np.array([0.75, 0.4, 0.5, 0.0], np.float32),
    }
)


def test_predictions_are_written_as_a_table(tmp_path: Path) -> None:
    header = write_audformat(SCORES, tmp_path / "out")
    database = audformat.Database.load(str(tmp_path / "out"))
    table = database["predictions"].get()
    assert table["emotion"].tolist() == ["joy", "anger"]
    assert table["utterance_id"].tolist() == ["c/a/0", "c/a/1"]
    assert table["p_joy"].tolist() == pytest.approx([0.75, 0.4])
    assert table.index.get_level_values("start").total_seconds().tolist() == [0.0, 1.25]
    # No audio, and the second on one segment: audformat cannot index them, but nothing is lost.
    rest = database["predictions.unindexed"].get()
    assert rest["emotion"].to_dict() == {"c/a/2": "joy", "c/b/0": "anger"}
    assert database.schemes["emotion"].labels == ["anger", "joy"]
    assert database.usage == "other", "what may be done with predictions is for corpus and model to say"
    assert load_database(header) == database


def test_predictions_on_whole_files_merge_into_the_database_they_are_of(tmp_path: Path) -> None:
    db = simple(tmp_path / "db", ["a.wav", "b.wav"], transcription=["Hello.", "Bye."])
    rows = read(tmp_path / "db").utterances
    scores = SCORES.iloc[:2].drop(columns=["start", "end"]).assign(
        utterance_id=rows["utterance_id"].tolist(), audio=rows["audio"].tolist()
    )  # fmt: skip
    write_audformat(scores, tmp_path / "out")
    predictions = audformat.Database.load(str(tmp_path / "out"), load_data=True)
    predictions.usage, predictions.license = db.usage, db.license  # audformat merges what may be used alike
    db.update(predictions)
    assert db["predictions"].get()["emotion"].to_dict() == {"a.wav": "joy", "b.wav": "anger"}
    media(tmp_path / "out", "a.wav", "b.wav")
    assert read(tmp_path / "out").utterances["emotion"].tolist() == ["joy", "anger"]


def test_another_database_is_not_replaced(tmp_path: Path) -> None:
    simple(tmp_path, ["a.wav"], emotion=["joy"])
    before = (tmp_path / "db.yaml").read_bytes()
    with pytest.raises(CorpusError, match="another database is here"):
        write_audformat(SCORES, tmp_path)
    assert (tmp_path / "db.yaml").read_bytes() == before
    write_audformat(SCORES, tmp_path / "own")
    write_audformat(SCORES.iloc[:1], tmp_path / "own")  # our own, again
    assert len(audformat.Database.load(str(tmp_path / "own"))["predictions"].get()) == 1
    assert sorted(path.name for path in (tmp_path / "own").iterdir()) == ["db.predictions.csv", "db.yaml"]


def test_what_is_no_scores(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no column label"):
        write_audformat(SCORES.drop(columns="label"), tmp_path)
