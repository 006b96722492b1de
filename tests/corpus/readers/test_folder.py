"""Your own conversations: manifests of every common shape beside audio files."""

import csv
import json
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from hbaf.cli import main
from hbaf.corpus.read import read_corpus
from hbaf.corpus.readers.folder import read_folder
from hbaf.corpus.schema import LABEL_SETS, Corpus, CorpusError
from hbaf.corpus.text.manifest_values import BadRow, seconds
from hbaf.corpus.text.transcripts.made_here import place_in_home, recording_digest
from hbaf.parameters import CorpusParameters

DATA = Path(__file__).parents[3] / ".." / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="real data absent: ../shared/data")

PLAIN = """dialogue,turn,speaker,text,audio,emotion
a,1,Ann,"Hello, you",a1.wav,Joy
a,2,Bob,Hi,a2.wav,neutral
b,1,Ann,Go away,b1.wav,anger
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "My Calls"
    folder.mkdir()
    for name in ("a1", "a2", "b1"):
        soundfile.write(folder / f"{name}.wav", np.full(1600, 0.1), 16_000)
    return folder


def read(root: Path, content: str | bytes | None = None, name: str = "calls.csv", **settings: object) -> Corpus:
    if content is not None:
        (root / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_folder(CorpusParameters(reader="folder", root=root, **settings))  # type: ignore[arg-type]


def refusal(root: Path, content: str | bytes | None = None, name: str = "calls.csv", **settings: object) -> str:
    with pytest.raises(CorpusError) as caught:
        read(root, content, name, **settings)
    return str(caught.value)


def test_the_hint_for_a_column_works_as_it_is_typed(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = refusal(root, PLAIN.replace("dialogue,turn", "it's a call,turn"))
    hint = message[message.index("`--set") : message.rindex("`")].strip("`")
    typed = shlex.split(hint.replace("YOURS", "its call"))
    (root / "calls.csv").write_text(PLAIN.replace("dialogue,turn", "its call,turn"))
    with pytest.raises(SystemExit):
        main(["validate", str(root), "--no-log", "--quiet", *typed])
    assert "dialogues" in capsys.readouterr().out
    doubled = refusal(root, PLAIN.replace("speaker,text", "utterance,text").replace("text,audio", "transcript,audio"))
    typed = shlex.split(doubled[doubled.index("`--set") : doubled.index("`),")].strip("`"))
    with pytest.raises(SystemExit):
        main(["validate", str(root), "--no-log", "--quiet", *typed])
    assert "dialogues" in capsys.readouterr().out


def broken(corpus: Corpus) -> list[tuple[str, str]]:
    return list(zip(corpus.set_aside["row"], corpus.set_aside["rule"], strict=True))


def test_a_plain_manifest(root: Path) -> None:
    corpus = read(root, PLAIN)
    table = corpus.utterances
    assert corpus.name == "my-calls"
    assert corpus.emotions == ("anger", "joy", "neutral")
    assert list(table["utterance_id"]) == ["my-calls/a/0", "my-calls/a/1", "my-calls/b/0"]
    assert list(table["text"]) == ["Hello, you", "Hi", "Go away"]
    assert list(table["audio"]) == ["a1.wav", "a2.wav", "b1.wav"]
    assert list(table["source_id"]) == ["1", "2", "1"]
    assert table["text_problem"].isna().all()
    assert table["audio_problem"].isna().all()
    assert len(corpus.splits) == len(corpus.set_aside) == 0


def as_jsonl() -> bytes:
    names, *rows = csv.reader(PLAIN.splitlines())
    return "\n".join(json.dumps(dict(zip(names, row, strict=True)) | {"turn": int(row[1])}) for row in rows).encode()


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (PLAIN.replace("Hello, you", "Hello; you").replace(",", ";").replace("Hello; you", "Hello, you"), "calls.csv"),
        (PLAIN.replace("Hello, you", "Hello? you").replace(",", "\t").replace("Hello? you", "Hello, you"), "calls.tsv"),
        (PLAIN.replace("\n", "\r\n"), "calls.csv"),
        (PLAIN.encode("utf-8-sig"), "calls.csv"),
        (PLAIN.encode("utf-16"), "calls.csv"),
        (PLAIN.encode("utf-16-le"), "calls.csv"),
        (as_jsonl(), "calls.jsonl"),
    ],
    ids=["semicolon", "tab", "crlf", "utf-8-sig", "utf-16", "utf-16 without mark", "jsonl"],
)
def test_every_form_of_a_table_gives_the_same_corpus(root: Path, content: str | bytes, name: str) -> None:
    expected = read(root, PLAIN)
    (root / "calls.csv").unlink()
    assert read(root, content, name).digest() == expected.digest()


def test_parquet_with_types(root: Path) -> None:
    pd.DataFrame(
        {
            "Conversation": [7, 7],
            "turn": [2.0, 1.0],
            "text": ["null", None],
            "file": ["a1.wav", "a1.wav"],
            "start": pd.to_timedelta([0.5, 0.0], unit="s"),
            "end": pd.to_timedelta([1.5, None], unit="s"),
            "cue": [None, "voice"],
        }
    ).to_parquet(root / "calls.parquet")
    table = read(root).utterances
    assert list(table["utterance_id"]) == ["my-calls/7/0", "my-calls/7/1"]
    assert list(table["start"]) == [0.0, 0.5]
    assert list(table["end"]) == [0.5, 1.5]  # without an end it lasts until the next begins
    assert table["text"].isna().tolist() == [True, False]
    assert table["text"].iloc[1] == "null"
    assert table["cue"].iloc[0] == "voice"
    assert table["speaker"].iloc[0] == "unknown"


def test_latin_1_and_single_damaged_bytes(root: Path) -> None:
    assert read(root, PLAIN.replace("Hi", "Grüß dich, “Bob”").encode("cp1252").replace(b"dich,", b"dich")).utterances[
        "text"
    ].iloc[1] == ("Grüß dich “Bob”")
    damaged = PLAIN.replace("Hello", "Größe äöü").encode().replace(b"Go", b"G\xff")
    corpus = read(root, damaged, bad_share=1)
    assert broken(corpus) == [("calls.csv:4", "undecodable characters")]
    assert corpus.utterances["text"].iloc[0] == "Größe äöü, you"


def test_words_that_look_like_missing_values_are_words(root: Path) -> None:
    rows = "\n".join(f"a,{turn},Ann,{word},a1.wav,joy" for turn, word in enumerate(["null", "None", "NA", "nan", " "]))
    table = read(root, f"dialogue,turn,speaker,text,audio,emotion\n{rows}\n").utterances
    assert list(table["text"][:4]) == ["null", "None", "NA", "nan"]
    assert table["text_problem"].tolist()[4] == "no text"
    assert table["text_problem"][:4].isna().all()


def test_odd_text_is_cleaned_or_flagged(root: Path) -> None:
    lines = ["nul\0 and \x1b bell", "<script>alert(1)</script>", "\u202eright to left", "=cmd()", "x" * 10_001]
    manifest = "dialogue,turn,text\n" + "".join(f"a,{turn},{text}\n" for turn, text in enumerate(lines))
    table = read(root, manifest).utterances
    assert list(table["text"][:4]) == ["nul and  bell", *lines[1:4]]
    assert len(table["text"].iloc[4]) == 10_000
    assert "10001 characters" in table["text_problem"].iloc[4]
    surrogate = read(root, '{"dialogue": "a", "text": "half \\ud83d"}', "c.jsonl", manifest="c.jsonl")
    assert surrogate.utterances["text"].iloc[0] == "half \ufffd"
    assert len(surrogate.digest()) == 64


def test_turns_are_ranks_by_number_by_start_or_by_place(root: Path) -> None:
    by_number = read(root, "dialogue,turn,text\na,30,c\na,4,a\na,10,b\n").utterances
    assert list(by_number["text"]) == ["a", "b", "c"]
    assert list(by_number["turn"]) == [0, 1, 2]
    assert list(by_number["source_id"]) == ["4", "10", "30"]
    by_start = read(root, "dialogue,text,start,end\na,later,9.5,10\na,earlier,1.5,2\n").utterances
    assert list(by_start["text"]) == ["earlier", "later"]
    by_place = read(root, "dialogue,text\na,z\na,y\n").utterances
    assert list(by_place["text"]) == ["z", "y"]


def test_bad_rows_are_set_aside_with_their_line_and_the_rest_goes_on(root: Path) -> None:
    manifest = """dialogue,turn,text,start,end,emotion,channel,split
a,1,good,0,1,joy,,train
,1,no dialogue,0,1,joy,,
a,x,no turn,0,1,joy,,
a,1,doubled,0,1,joy,,
a,2,backwards,3,2,joy,,
a,3,when,soon,,joy,,
a,4,strange label,,,bliss,,
a,5,too few
a,6,unquoted, comma,,,joy,,
a,7,"open quote,,,joy,,
a,8,"closed "early",,,joy,,
a,9,left,,,joy,left,
a,10,split,,,joy,,exam
a,11,good too,,,,1,train
"""
    corpus = read(root, manifest, bad_share=1, emotions=("joy", "anger"))
    assert list(corpus.utterances["text"]) == ["good", "good too"]
    assert corpus.emotions == ("joy", "anger")
    assert broken(corpus) == [
        ("calls.csv:3", "no dialogue"),
        ("calls.csv:4", "turn is not a number"),
        ("calls.csv:5", "doubled dialogue and turn"),
        ("calls.csv:6", "end before start"),
        ("calls.csv:7", "time is not understood"),
        ("calls.csv:8", "unknown label"),
        ("calls.csv:9", "too few fields"),
        ("calls.csv:10", "too many fields"),
        ("calls.csv:11", "broken quotation marks"),
        ("calls.csv:12", "broken quotation marks"),
        ("calls.csv:13", "channel is not a number from 0"),
        ("calls.csv:14", "unknown split"),
    ]


def test_undamaged_dialogues_come_out_equal(root: Path) -> None:
    whole = read(root, PLAIN).utterances
    hurt = read(root, PLAIN.replace("a,2,Bob", "a,second,Bob"), bad_share=1).utterances
    one, other = (table[table["dialogue_id"] == "b"].reset_index(drop=True) for table in (whole, hurt))
    pd.testing.assert_frame_equal(one, other)


def test_line_numbers_count_lines_and_not_records(root: Path) -> None:
    corpus = read(root, 'dialogue,turn,text\n\na,1,"two\nlines"\na,x,bad\n', bad_share=1)
    assert broken(corpus) == [("calls.csv:5", "turn is not a number")]
    assert corpus.utterances["text"].iloc[0] == "two\nlines"


def test_broken_json_lines(root: Path) -> None:
    lines = ['{"dialogue": "a", "text": "x"}', '{"dialogue": "a"', "[1]", '{"dialogue": "a", "text": 1, "text": 2}']
    corpus = read(root, "\n".join(lines), "calls.jsonl", bad_share=1)
    assert broken(corpus) == [
        ("calls.jsonl:2", "not valid JSON"),
        ("calls.jsonl:3", "not a JSON object"),
        ("calls.jsonl:4", "doubled column"),
    ]


def test_more_bad_rows_than_allowed_stop_the_reading(root: Path) -> None:
    rows = "".join(f"a,{turn},hi\n" for turn in range(98))
    assert len(read(root, f"dialogue,turn,text\n{rows}b,x,no\nb,y,no\n").set_aside) == 2
    message = refusal(root, f"dialogue,turn,text\n{rows}b,x,no\nb,y,no\nb,z,no\n")
    assert "3 of 101 rows are bad" in message
    assert "calls.csv:100: turn is not a number" in message
    assert "bad_share" in message
    assert "none of 1 rows" in refusal(root, "dialogue,turn,text\na,x,no\n", bad_share=1)


def test_broken_structure(root: Path) -> None:
    assert "no manifest" in refusal(root)
    assert "manifest is empty" in refusal(root, "")
    assert "has no rows" in refusal(root, "dialogue,text\n")
    message = refusal(root, "call,text\na,b\n")
    assert "dialogue" in message
    assert "Found: call, text" in message
    assert "twice" in refusal(root, "dialogue,text,text\na,b,c\n")
    assert "both look like 'text'" in refusal(root, "dialogue,Utterance,Transcript\na,b,c\n")
    assert "not a text file" in refusal(root, b"\x89PNG\x00\x01\x02\xff\xfe" * 50)
    (root / "second.jsonl").write_text("{}")
    message = refusal(root, PLAIN)
    assert "calls.csv, second.jsonl" in message
    assert "--manifest" in message
    assert len(read(root, manifest="calls.csv").utterances) == 3
    assert "no such manifest" in refusal(root, manifest="third.csv")
    assert "outside the corpus folder" in refusal(root, manifest="../calls.csv")
    assert "no such folder" in refusal(root / "nowhere")
    (root / "calls.parquet").write_bytes(b"PAR1 nonsense")
    assert "not a readable Parquet" in refusal(root, manifest="calls.parquet")
    with pytest.raises(CorpusError, match="needs a root"):
        read_corpus(CorpusParameters(reader="folder"))


def test_columns_can_be_mapped(root: Path) -> None:
    manifest = "call_nr,who,words,Seconds,text\n1,Ann,hello,3,a note\n"
    table = read(root, manifest, columns={"call_nr": "dialogue", "who": "speaker", "words": "text"}).utterances
    assert table.loc[0, ["dialogue_id", "speaker", "text", "source_text"]].tolist() == ["1", "Ann", "hello", "a note"]
    assert "no column 'caller'" in refusal(root, columns={"caller": "speaker"})
    assert "none of our columns" in refusal(root, columns={"who": "person"})


def test_foreign_columns_do_not_pass_for_measured_ones(root: Path) -> None:
    table = read(root, "dialogue,text,seconds,audio_problem,cue\na,hi,99,fine,words\n").utterances
    assert "seconds" not in table
    assert table["source_seconds"].iloc[0] == "99"
    assert table["cue"].iloc[0] == "words"
    assert table["audio_problem"].iloc[0] == "no audio"


def test_paths_stay_in_the_corpus_folder(root: Path) -> None:
    outside = root.parent / "secret.wav"
    soundfile.write(outside, np.full(1600, 0.1), 16_000)
    (root / "link.wav").symlink_to(outside)
    (root / "inner.wav").symlink_to(root / "a1.wav")
    (root / "loop.wav").symlink_to(root / "loop.wav")
    (root / "way out").symlink_to(root.parent)
    paths = ["../secret.wav", str(outside), "link.wav", "way out/secret.wav", "x/../../secret.wav", "/etc/passwd"]
    fine = ["inner.wav", str(root / "a1.wav"), "./x/../a1.wav", "x\\..\\a1.wav"]
    rest = ["loop.wav", "n" * 5000, "absent.wav"]
    manifest = "dialogue,turn,audio\n" + "".join(f"a,{turn},{path}\n" for turn, path in enumerate(paths + fine + rest))
    table = read(root, manifest).utterances
    assert list(table["audio_problem"][:6]) == ["path leaves the corpus folder"] * 6
    assert table["audio"][:6].isna().all()
    assert list(table["audio"][6:10]) == ["a1.wav"] * 4
    assert table["audio_problem"][6:10].isna().all()
    assert list(table["audio_problem"][10:]) == ["path cannot be followed"] * 2 + ["no audio at absent.wav"]


def test_files_are_found_by_id_where_no_path_is_given(root: Path) -> None:
    for name in ("call7-001.flac", "call7-001.wav", "b_2.wav", "c.wav"):
        soundfile.write(root / name, np.full(1600, 0.1), 16_000)
    manifest = "dialogue,utterance_id,text\na,call7-001,x\na,call7-002,y\n"
    table = read(root, manifest).utterances
    assert table["audio"].iloc[0] == "call7-001.wav"
    assert table["audio_problem"].iloc[1] == "no audio at call7-002.*"
    table = read(root, "dialogue,turn,text\nb,2,x\n").utterances
    assert table["audio"].iloc[0] == "b_2.wav"
    table = read(root, "dialogue,turn,text,start,end\nc,1,x,0,1\n").utterances
    assert table["audio"].iloc[0] == "c.wav"
    (root / "more").mkdir()
    soundfile.write(root / "more" / "b_2.wav", np.full(1600, 0.1), 16_000)
    assert "2 files are called b_2" in read(root, "dialogue,turn,text\nb,2,x\n").utterances["audio_problem"].iloc[0]


MELD = """Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime
1,Hey!,Joey,joy,positive,3,0,4,7,"00:16:16,059","00:16:21,731"
2,No.,Ross,anger,negative,3,12,4,7,"00:16:21,940","00:16:21,940"
3,Why?,Joey,neutral,neutral,3,2,4,7,"00:16:23,442","00:16:26,389"
"""


def test_a_manifest_of_meld(root: Path) -> None:
    (root / "clips").mkdir()
    soundfile.write(root / "clips" / "dia3_utt12.wav", np.full(1600, 0.1), 16_000)
    corpus = read(root, MELD)
    table = corpus.utterances
    assert corpus.emotions == LABEL_SETS["meld"]
    assert list(table["source_id"]) == ["0", "2", "12"]
    assert list(table["turn"]) == [0, 1, 2]
    assert table["start"].isna().all()  # positions in the episode say nothing of the clip
    assert table["audio"].tolist()[2] == "clips/dia3_utt12.wav"
    assert table["audio_problem"].iloc[0] == "no audio at dia3_utt0.*"
    assert list(table["Sr No."]) == ["1", "3", "2"]
    assert read(root, MELD.replace(",3,12,", ",3,twelve,"), bad_share=0.5).set_aside["rule"].tolist() == [
        "turn is not a number"
    ]


def test_an_audformat_like_table(root: Path) -> None:
    manifest = """file,start,end,emotion,dialogue
a1.wav,0 days 00:00:00,0 days 00:00:01.500000,joy,x
a1.wav,0 days 00:00:01.500000,NaT,anger,x
"""
    table = read(root, manifest).utterances
    assert list(table["start"]) == [0.0, 1.5]
    assert table["end"].tolist()[0] == 1.5
    assert table["end"].isna().tolist() == [False, True]


def test_splits(root: Path) -> None:
    corpus = read(root, "dialogue,text,split\na,x,train\na,y,Train\nb,x,val\nc,x,test\nd,x,\ne,x,validation\n")
    assert dict(corpus.splits.itertuples(index=False)) == {"a": "train", "b": "dev", "c": "test", "e": "dev"}
    message = refusal(root, "dialogue,text,split\na,x,train\na,y,test\n")
    assert "'a' is in train (calls.csv:2) and in test (calls.csv:3)" in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.5", 1.5),
        ("1,5", 1.5),
        ("00:16:16,059", 976.059),
        ("16:16.059", 976.059),
        ("0 days 00:00:01.500000", 1.5),
        ("1 days 00:00:01", 86_401.0),
        ("2s", 2.0),
        ("NaT", None),
        ("", None),
    ],
)
def test_times(text: str, expected: float | None) -> None:
    assert seconds(text) == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize("text", ["soon", "-1", "inf", "1:2:3:4", "1" * 100, "1e999"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(BadRow, match="time is not understood"):
        seconds(text)


@needs_data
def test_real_clips_with_a_transcript_that_nobody_prepared() -> None:
    corpus = read_folder(CorpusParameters(reader="folder", root=DATA / "meld_clips"))
    assert corpus.name == "meld_clips"
    assert corpus.emotions == LABEL_SETS["meld"]
    assert len(corpus.utterances) == 28
    assert corpus.utterances["audio_problem"].isna().all()
    assert corpus.utterances["text_problem"].isna().all()
    last = corpus.utterances.iloc[20]
    assert (last["audio"], last["turn"], last["source_id"]) == ("dia1_utt8.flac", 6, "8")


@needs_data
def test_the_official_tables_of_meld_are_read_whole() -> None:
    corpus = read_folder(CorpusParameters(reader="folder", root=DATA / "meld", manifest="train_sent_emo.csv"))
    assert len(corpus.utterances) == 9_989
    assert corpus.utterances["dialogue_id"].nunique() == 1_038
    assert corpus.utterances["audio_problem"].notna().all()


def test_a_table_without_words_has_those_of_transcripts_of_its_recordings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after `hbaf transcribe` of labelled recordings: one transcript lies beside, the other one in the home."""
    monkeypatch.setenv("HBAF_HOME", str(tmp_path / "home"))
    root = tmp_path / "calls"
    root.mkdir()
    for name, level in (("a", 0.1), ("b", 0.2), ("c", 0.3)):
        soundfile.write(root / f"{name}.wav", np.full(32_000, level), 8_000)
    said = {"segments": [{"start": 0.0, "end": 1.0, "text": "Hello."}, {"start": 1.5, "end": 3.0, "text": "Goodbye."}]}
    (root / "a.json").write_text(json.dumps(said))
    kept = place_in_home(recording_digest(root / "b.wav"))
    kept.parent.mkdir(parents=True)
    kept.write_text(json.dumps(said))
    rows = ["audio,start,end,emotion,text", "a.wav,0,1.2,joy,", "a.wav,1.2,4,sad,", "b.wav,,,joy,", "c.wav,,,sad,"]
    (root / "calls.csv").write_text("\n".join([*rows, "c.wav,,,sad,Its own words."]) + "\n")
    corpus = read_folder(CorpusParameters(reader="folder", root=root))
    texts = corpus.utterances["text"].astype(object)
    assert texts.where(texts.notna(), None).tolist() == [
        "Hello.",
        "Goodbye.",
        "Hello. Goodbye.",
        None,
        "Its own words.",
    ]
    assert "3 rows have the words of transcripts of their recordings; calls.csv has none" in corpus.notes
