"""MELD's official release: a small tree in its form, and the real tables where they are."""

import csv
from pathlib import Path
from typing import get_args

import pandas as pd
import pytest

from hbaf.corpus.read import READERS, read_corpus
from hbaf.corpus.readers.meld import find_clips, read_meld
from hbaf.corpus.schema import LABEL_SETS, Corpus, CorpusError
from hbaf.corpus.text.windows_1252 import repair_windows_1252
from hbaf.parameters import CorpusParameters

HEADER = [
    "Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID", "Season", "Episode",
    "StartTime", "EndTime",
]  # fmt: skip
TRAIN = [
    # Out of order and with a gap: turns are ranks.
    ["3", "Fine, thanks.", "Bo", "joy", "positive", "0", "7", "1", "2", "00:00:09,000", "00:00:10,500"],
    ["1", "Hello, you two.", "Al", "neutral", "neutral", "0", "0", "1", "2", "00:00:01,000", "00:00:02,250"],
    ["2", "Hm?", "Bo", "surprise", "negative", "0", "3", "1", "2", "0:00:03,000", "0:00:03,000"],
    ["4", "Leave me.", "Cy", "anger", "negative", "12", "0", "1", "2", "whenever", "00:00:02,000"],
]
DEV = [["1", "We won!", "Al", "joy", "positive", "0", "0", "1", "3", "00:00:01,000", "00:00:02,000"]]
TEST = [["1", "It hurts.", "Di", "sadness", "negative", "0", "0", "1", "4", "00:00:01,000", "00:00:02,000"]]


def write_release(root: Path, train: list[list[str]] = TRAIN, folder: str = "") -> Path:
    for split, rows in (("train", train), ("dev", DEV), ("test", TEST)):
        path = root / folder / f"{split}_sent_emo.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([HEADER, *rows])
    return root


def clip(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"not decoded here")


def read(root: Path, **settings: object) -> Corpus:
    return read_meld(CorpusParameters(reader="meld", root=root, **settings))


def row(corpus: Corpus, dialogue: str, turn: int) -> pd.Series:
    return corpus.utterances.set_index("utterance_id").loc[f"meld/{dialogue}/{turn}"]


def test_turns_are_ranks_and_ids_name_the_split(tmp_path: Path) -> None:
    corpus = read(write_release(tmp_path))
    train = corpus.utterances[corpus.utterances["dialogue_id"] == "train-0"]
    assert train["source_id"].tolist() == ["dia0_utt0", "dia0_utt3", "dia0_utt7"]
    assert train["turn"].tolist() == [0, 1, 2]
    assert train["speaker"].tolist() == ["Al", "Bo", "Bo"]
    assert dict(corpus.splits.itertuples(index=False)) == {
        "train-0": "train", "train-12": "train", "dev-0": "dev", "test-0": "test",
    }  # fmt: skip
    assert corpus.emotions == LABEL_SETS["meld"]
    assert "GPL-3.0" in corpus.licence


def test_every_reader_is_reached_by_its_name(tmp_path: Path) -> None:
    assert {*READERS, "auto"} == set(get_args(CorpusParameters.model_fields["reader"].annotation))
    root = write_release(tmp_path)
    assert read_corpus(CorpusParameters(reader="meld", root=root)).digest() == read(root).digest()


def test_length_by_the_subtitles_is_kept(tmp_path: Path) -> None:
    corpus = read(write_release(tmp_path))
    seconds = corpus.utterances.set_index("source_id")["subtitle_seconds"]
    assert seconds[["dia0_utt3", "dia0_utt7"]].tolist() == [0.0, 1.5]
    assert pd.isna(seconds["dia12_utt0"])  # "whenever" is no time, but no reason to lose the row
    assert row(corpus, "train-0", 0)["subtitle_start"] == 1.0


def test_clips_of_the_release_are_found_and_missing_ones_named(tmp_path: Path) -> None:
    root = write_release(tmp_path, folder="MELD.Raw")
    clip(root / "MELD.Raw/train/train_splits/dia0_utt0.mp4")
    clip(root / "MELD.Raw/train/train_splits/dia0_utt3.mp4")
    clip(root / "extracted/train/dia0_utt3.wav")  # audio is preferred
    clip(root / "MELD.Raw/train/train_splits/._dia0_utt7.mp4")  # what another system leaves behind
    clip(root / "MELD.Raw/dev_splits_complete/dia0_utt0.mp4")
    clip(root / "MELD.Raw/output_repeated_splits_test/final_videos_testdia0_utt0.mp4")
    corpus = read(root)
    assert row(corpus, "train-0", 0)["audio"] == "MELD.Raw/train/train_splits/dia0_utt0.mp4"
    assert row(corpus, "train-0", 1)["audio"] == "extracted/train/dia0_utt3.wav"
    assert row(corpus, "dev-0", 0)["audio"] == "MELD.Raw/dev_splits_complete/dia0_utt0.mp4"
    for dialogue, turn, name in (("train-0", 2, "dia0_utt7"), ("test-0", 0, "dia0_utt0")):
        missing = row(corpus, dialogue, turn)
        assert pd.isna(missing["audio"])
        assert missing["audio_problem"].startswith("no audio")
        assert name in missing["audio_problem"]
    assert corpus.utterances["audio_problem"].notna().sum() == 3


def test_text_alone_is_a_corpus(tmp_path: Path) -> None:
    corpus = read(write_release(tmp_path))
    assert corpus.utterances["audio"].isna().all()
    assert corpus.utterances["audio_problem"].str.startswith("no audio").all()
    assert corpus.utterances["text_problem"].isna().all()


def test_clips_without_a_split_are_refused(tmp_path: Path) -> None:
    root = write_release(tmp_path)
    clip(root / "clips/dia0_utt0.mp4")
    with pytest.raises(CorpusError, match="train, dev or test"):
        read(root)


def test_a_link_out_of_the_release_is_not_followed(tmp_path: Path) -> None:
    root = write_release(tmp_path / "release")
    clip(tmp_path / "elsewhere.mp4")
    (root / "train_splits").mkdir()
    (root / "train_splits/dia0_utt0.mp4").symlink_to(tmp_path / "elsewhere.mp4")
    first = row(read(root), "train-0", 0)
    assert pd.isna(first["audio"])
    assert "leaves" in first["audio_problem"]


def test_bad_rows_are_set_aside_with_their_line(tmp_path: Path) -> None:
    twice = ["9", "Hello.", "Al", "neutral", "neutral", "0", "0", "1", "2", "00:00:01,000", "00:00:02,250"]
    unknown = ["10", "Oh.", "Al", "bored", "neutral", "0", "9", "1", "2", "00:00:01,000", "00:00:02,250"]
    nowhere = ["11", "Oh.", "Al", "neutral", "neutral", "x", "9", "1", "2", "00:00:01,000", "00:00:02,250"]
    root = write_release(tmp_path, [*TRAIN, twice, unknown, nowhere, ["12", "short"]])
    with pytest.raises(CorpusError, match=r"4 of 10 rows are bad"):
        read(root)
    corpus = read(root, bad_share=0.5)
    assert len(corpus.utterances) == 6
    assert corpus.set_aside["row"].tolist() == [f"train_sent_emo.csv:{line}" for line in (6, 7, 8, 9)]
    assert corpus.set_aside["rule"].tolist()[:3] == [
        "doubled dialogue and utterance", "unknown label", "Dialogue_ID is not a number",
    ]  # fmt: skip


@pytest.mark.parametrize("missing", ["train", "dev", "test"])
def test_every_split_has_its_table(tmp_path: Path, missing: str) -> None:
    root = write_release(tmp_path)
    (root / f"{missing}_sent_emo.csv").unlink()
    with pytest.raises(CorpusError, match=f"no {missing}_sent_emo.csv"):
        read(root)


def test_another_table_is_recognised_as_such(tmp_path: Path) -> None:
    root = write_release(tmp_path)
    (root / "dev_sent_emo.csv").write_text("text,label\nhello,joy\n")
    with pytest.raises(CorpusError, match="lacks Utterance"):
        read(root)


@pytest.mark.parametrize(
    ("broken", "whole"),
    [
        ("doesn\x92t", "doesn’t"),  # Windows-1252 read as Latin-1
        ("doesn\udc92t", "doesn’t"),  # a byte that is not UTF-8
        ("doesnâ€™t", "doesn’t"),  # UTF-8 read as Windows-1252
        ("doesn\u00e2\x80\x99t", "doesn’t"),  # UTF-8 read as Latin-1
        ("â€œhiâ€\x9d", "“hi”"),
        ("dÃ©cor", "décor"),
        ("wait\x85", "wait…"),
        ("", ""),
    ],
)
def test_debris_is_repaired(broken: str, whole: str) -> None:
    assert repair_windows_1252(broken) == whole


@pytest.mark.parametrize("text", ["he’s “fine” — ‘yes’…", "café, naïve âme", "CAFÉ–BAR", "São Paulo", "£5 · 日本語 🙂"])
def test_sound_text_stays(text: str) -> None:
    assert repair_windows_1252(text) == text


def test_a_table_in_windows_1252_reads_like_one_in_utf_8(tmp_path: Path) -> None:
    curly = [[*TRAIN[1][:1], "It’s Zoë’s", *TRAIN[1][2:]]]
    expected = read(write_release(tmp_path / "utf8", curly)).utterances["text"].tolist()
    root = write_release(tmp_path / "cp1252", curly)
    table = root / "train_sent_emo.csv"
    table.write_bytes(table.read_text(encoding="utf-8").encode("cp1252"))
    assert read(root).utterances["text"].tolist() == expected
    assert "It’s Zoë’s" in expected


def test_the_real_tables(real_data: Path) -> None:
    corpus = read(real_data / "meld")
    rows = corpus.utterances.merge(corpus.splits, on="dialogue_id")
    assert rows["split"].value_counts().to_dict() == {"train": 9989, "dev": 1109, "test": 2610}
    assert corpus.splits["split"].value_counts().to_dict() == {"train": 1038, "dev": 114, "test": 280}
    assert len(corpus.set_aside) == 0
    test = rows.loc[rows["split"] == "test", "emotion"].value_counts().to_dict()
    assert test == {
        "neutral": 1256, "joy": 402, "anger": 345, "surprise": 281, "sadness": 208, "disgust": 68, "fear": 50,
    }  # fmt: skip
    no_length = corpus.utterances[corpus.utterances["subtitle_seconds"] <= 0]
    assert no_length[["dialogue_id", "source_id"]].values.tolist() == [["test-155", "dia155_utt3"]]
    assert corpus.utterances["text"].notna().all()
    ranks = corpus.utterances.groupby("dialogue_id")["turn"]
    assert (ranks.max() + 1 == ranks.size()).all()


def test_real_clips_outside_the_release_need_a_split_folder(real_data: Path) -> None:
    with pytest.raises(CorpusError, match="Keep the release's folders"):
        find_clips(real_data / "meld_clips")
