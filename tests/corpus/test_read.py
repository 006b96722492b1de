"""Which reader a folder asks for."""

from pathlib import Path

import pytest

from hbaf.corpus.read import read_corpus, recognise
from hbaf.corpus.schema import CorpusError
from hbaf.parameters import CorpusParameters


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")


def test_the_content_of_a_folder_names_its_reader(tmp_path: Path) -> None:
    for split in ("train", "dev", "test"):
        touch(tmp_path / "meld" / "MELD.Raw" / f"{split}_sent_emo.csv")
    touch(tmp_path / "iemocap" / "IEMOCAP_full_release" / "Session3" / "dialog" / "EmoEvaluation" / "x.txt")
    touch(tmp_path / "audformat" / "db.yaml")
    touch(tmp_path / "calls" / "calls.csv")
    found = {path.name: recognise(path) for path in tmp_path.iterdir() if path.is_dir() and path.name != "home"}
    assert found == {"meld": "meld", "iemocap": "iemocap", "audformat": "audformat", "calls": "folder"}


def test_two_of_the_three_tables_are_not_the_release(tmp_path: Path) -> None:
    for split in ("train", "dev"):
        touch(tmp_path / f"{split}_sent_emo.csv")
    assert recognise(tmp_path) == "folder"


def test_a_manifest_that_was_named_decides(tmp_path: Path) -> None:
    touch(tmp_path / "db.yaml")
    touch(tmp_path / "calls.csv")
    assert recognise(tmp_path, "calls.csv") == "folder"
    assert recognise(tmp_path, "db.yaml") == "audformat"


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="nowhere: no such folder"):
        recognise(tmp_path / "nowhere")


def test_auto_reads_with_the_reader_it_recognised(tmp_path: Path) -> None:
    (tmp_path / "calls.csv").write_text("dialogue,turn,speaker,text\nd,0,A,Hello there\n")
    corpus = read_corpus(CorpusParameters(reader="auto", root=tmp_path, name="calls"))
    assert corpus.utterances["text"].tolist() == ["Hello there"]
