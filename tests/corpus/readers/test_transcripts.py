"""Recordings with a transcript beside each are a corpus: captions and the JSON of speech recognisers."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from hbaf.corpus.prepare import prepare_corpus
from hbaf.corpus.schema import Corpus, CorpusError, load_corpus
from hbaf.parameters import CorpusParameters

VTT = """WEBVTT - a call
Kind: captions

NOTE recorded on a Monday

STYLE
::cue { color: red }

1
00:00:00.000 --> 00:00:01.500 align:start
<v Ann>Hello, <i>dear</i> &amp; good</v>
morning

00:01.500 --> 00:03.000
<v.loud Bob>What a <00:00:02.000><c>day</c>
"""
SRT = """1
00:00:00,000 --> 00:00:01,500
Ann: Hello, dear & good
morning

2
00:00:01,500 --> 00:00:03,000
Bob: What a day
"""
WHISPER: dict[str, Any] = {
    "text": " Hello, dear & good morning What a day",
    "segments": [
        {
            "id": 0,
            "start": 0.0,
            "end": 1.5,
            "text": " Hello, dear & good morning",
            "speaker": "Ann",
            "avg_logprob": -0.1,
        },
        {"id": 1, "start": 1.5, "end": 3.0, "text": " What a day", "speaker": "Bob", "avg_logprob": float("nan")},
    ],
    "language": "en",
}


def word(said: str, start: float | None = None, end: float | None = None, **labels: str) -> dict[str, Any]:
    item: dict[str, Any] = {"alternatives": [{"confidence": "0.9", "content": said}], "type": "pronunciation", **labels}
    if start is None:
        return {**item, "type": "punctuation"}
    return {**item, "start_time": str(start), "end_time": str(end)}


WORDS = [
    word("Hello", 0.0, 0.4),
    word(","),
    word("dear", 0.5, 0.9),
    word("&", 0.9, 1.0),
    word("good", 1.0, 1.2),
    word("morning", 1.2, 1.5),
    word("What", 1.5, 2.0),
    word("a", 2.0, 2.2),
    word("day", 2.2, 3.0),
]


def aws(**results: Any) -> dict[str, Any]:
    return {"jobName": "j", "status": "COMPLETED", "results": {"transcripts": [{"transcript": ""}], **results}}


def times(words: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [{name: item[name] for name in ("start_time", "end_time")} for item in words if "start_time" in item]


AWS_SPEAKERS = aws(
    items=WORDS,
    speaker_labels={
        "speakers": 2,
        "segments": [
            {"start_time": "0.0", "end_time": "1.5", "speaker_label": "Ann", "items": times(WORDS[:6])},
            {"start_time": "1.5", "end_time": "3.0", "speaker_label": "Bob", "items": times(WORDS[6:])},
        ],
    },
)
AWS_SPEAKERS_ON_ITEMS = aws(
    items=[{**item, "speaker_label": "Ann" if n < 6 else "Bob"} for n, item in enumerate(WORDS)]
)
AWS_CHANNELS = aws(
    items=WORDS,
    channel_labels={
        "number_of_channels": 2,
        "channels": [
            {"channel_label": "ch_0", "items": [*WORDS[:6], word("Bye", 3.1, 3.5), word(".")]},
            {"channel_label": "ch_1", "items": WORDS[6:]},
        ],
    },
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "calls"
    folder.mkdir()
    record(folder / "call1.wav")
    return folder


def record(path: Path, channels: int = 1) -> None:
    random = np.random.default_rng(0)
    soundfile.write(path, 0.1 * random.standard_normal((32_000, channels)), 8_000)


def read(root: Path, **settings: Any) -> Corpus:
    parameters = CorpusParameters(reader="auto", root=root, **settings)
    return load_corpus(prepare_corpus(parameters, split=False, workers=1))


def write(root: Path, name: str, content: Any) -> None:
    (root / name).write_text(content if isinstance(content, str) else json.dumps(content))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("call1.vtt", VTT),
        ("call1.vtt", VTT.replace("\n", "\r\n")),
        ("call1.en.vtt", VTT),
        ("call1.srt", SRT),
        ("call1.srt", SRT.replace("Ann:", "[Ann]:").replace("Bob:", "[Bob]:")),
        ("call1.srt", VTT),
        ("call1.json", WHISPER),
        ("call1.wav.json", WHISPER["segments"]),
        ("call1.json", AWS_SPEAKERS),
        ("call1.json", AWS_SPEAKERS_ON_ITEMS),
    ],
    ids=["vtt", "crlf", "language", "srt", "brackets", "wrong suffix", "whisper", "list", "aws", "aws items"],
)
def test_every_form_says_the_same(root: Path, name: str, content: Any) -> None:
    write(root, name, content)
    table = read(root).utterances
    assert table["utterance_id"].tolist() == ["calls/call1/0", "calls/call1/1"]
    assert table["speaker"].tolist() == ["Ann", "Bob"]
    assert table["text"].tolist() == ["Hello, dear & good morning", "What a day"]
    assert table["start"].tolist() == [0.0, 1.5]
    assert table["end"].tolist() == [1.5, 3.0]
    assert table["audio"].tolist() == ["call1.wav"] * 2
    assert table["audio_problem"].isna().all()
    assert table["seconds"].tolist() == [1.5, 1.5]
    assert table["source_id"].tolist() == ["1", "2"]


def test_channel_labels_cut_from_their_channels(root: Path) -> None:
    record(root / "call1.wav", channels=2)
    write(root, "call1.json", AWS_CHANNELS)
    table = read(root).utterances
    assert table["text"].tolist() == ["Hello, dear & good morning", "What a day", "Bye."]
    assert table["channel"].tolist() == [0, 1, 0]
    assert table["speaker"].tolist() == ["channel 0", "channel 1", "channel 0"]
    assert table["audio_problem"].isna().all()
    named = read(root, channels={"agent": 0, "customer": 1}).utterances
    assert named["speaker"].tolist() == ["agent", "customer", "agent"]


def test_words_without_speakers_become_sentences(root: Path) -> None:
    write(root, "call1.json", aws(items=[*WORDS[:6], word("."), *WORDS[6:], word("?"), word("Late", 9.0, 9.5)]))
    assert read(root).utterances["text"].tolist() == ["Hello, dear & good morning.", "What a day?", "Late"]


def test_whisper_cpp_counts_milliseconds(root: Path) -> None:
    one = {
        "timestamps": {"from": "00:00:00,000", "to": "00:00:01,500"},
        "offsets": {"from": 0, "to": 1500},
        "text": " Hi",
    }
    write(root, "call1.json", {"systeminfo": "", "transcription": [one]})
    assert read(root).utterances[["text", "end", "speaker"]].values.tolist() == [["Hi", 1.5, "unknown"]]


def test_everything_that_whisper_writes_is_one_transcript(root: Path) -> None:
    write(root, "call1.json", WHISPER)
    write(root, "call1.srt", SRT)
    write(root, "call1.vtt", VTT)
    write(root, "call1.tsv", "start\tend\ttext\n0\t1500\tHello\n")
    write(root, "call1.txt", "Hello\n")
    write(root, "settings.json", {"model": "large"})
    corpus = read(root)
    assert len(corpus.utterances) == 2
    assert not len(corpus.set_aside)


def test_a_manifest_counts_before_transcripts_and_one_transcript_can_be_named(root: Path) -> None:
    write(root, "call1.vtt", VTT)
    write(root, "table.csv", "dialogue,text\nx,hi\n")
    assert read(root).utterances["dialogue_id"].tolist() == ["x"]
    assert read(root, manifest="call1.vtt").utterances["dialogue_id"].tolist() == ["call1"] * 2
    with pytest.raises(CorpusError, match="no such transcript"):
        read(root, manifest="call2.vtt")
    with pytest.raises(CorpusError, match="outside"):
        read(root, manifest="../call1.vtt")
    write(root, "notes.json", {"a": 1})
    with pytest.raises(CorpusError, match="JSON with the keys a; no form that is known"):
        read(root, manifest="notes.json")


def test_folders_below_and_recordings_elsewhere(root: Path) -> None:
    for folder in ("monday", "tuesday", "audio", "text"):
        (root / folder).mkdir()
    (root / "call1.wav").rename(root / "audio" / "call7.wav")
    record(root / "monday" / "call1.flac")
    record(root / "tuesday" / "call1.wav")
    for name in ("monday/call1.vtt", "tuesday/call1.vtt", "text/call7.vtt"):
        write(root, name, VTT)
    table = read(root).utterances
    assert dict(zip(table["dialogue_id"], table["audio"], strict=True)) == {
        "monday-call1": "monday/call1.flac",
        "tuesday-call1": "tuesday/call1.wav",
        "call7": "audio/call7.wav",
    }
    assert table["audio_problem"].isna().all()


def test_a_transcript_without_recording_and_a_recording_without_transcript(root: Path) -> None:
    write(root, "call2.vtt", VTT)
    corpus = read(root)
    assert corpus.utterances["audio_problem"].tolist() == ["no recording of the name of call2.vtt"] * 2
    assert corpus.utterances["text_problem"].isna().all()
    assert corpus.set_aside["row"].tolist() == ["call1.wav"]


def test_what_is_broken_in_captions_is_named_by_its_line(root: Path) -> None:
    cues = "".join(f"\n00:00:0{n % 4}.000 --> 00:00:0{n % 4}.500\nline {n}\n" for n in range(3))
    broken = "\n00:00:01.000 --> soon\nnobody knows\n\n00:00:02.000 --> 00:00:01.000\nbackwards\n\nlost words\n"
    write(root, "call1.vtt", "WEBVTT\n" + cues + broken)
    corpus = read(root, bad_share=1)
    assert corpus.utterances["text"].tolist() == ["line 0", "line 1", "line 2"]
    assert list(zip(corpus.set_aside["row"], corpus.set_aside["rule"], strict=True)) == [
        ("call1.vtt:12", "time is not understood"),
        ("call1.vtt:15", "end before start"),
        ("call1.vtt:18", "text without a time"),
    ]


def test_captions_without_blank_lines_between_them(root: Path) -> None:
    write(root, "call1.srt", "1\n00:00:00,000 --> 00:00:01,000\none\n2\n00:00:01,000 --> 00:00:02,000\ntwo\n")
    assert read(root).utterances["text"].tolist() == ["one", "two"]


def test_two_voices_in_one_cue_have_words_and_no_audio_of_their_own(root: Path) -> None:
    write(root, "call1.vtt", "WEBVTT\n\n00:01.000 --> 00:02.000\n<v Ann>Yes</v> <v Bob>No</v>\n")
    table = read(root).utterances
    assert table[["speaker", "text"]].values.tolist() == [["Ann", "Yes"], ["Bob", "No"]]
    assert table["audio_problem"].tolist() == ["2 people speak in this cue, and it has one time for all"] * 2


def test_a_colon_alone_makes_nobody_a_speaker(root: Path) -> None:
    lines = ["It is late", "Note: bring a coat", "Time: unknown", "It is 10:30 now", "Well"]
    captions = "".join(f"00:00:0{n % 3}.000 --> 00:00:03.000\n{line}\n\n" for n, line in enumerate(lines))
    write(root, "call1.srt", captions)
    table = read(root).utterances
    assert set(table["speaker"]) == {"unknown"}
    assert set(table["text"]) == set(lines)


def test_a_name_only_where_the_speaker_changes(root: Path) -> None:
    lines = ["Ann: one", "two", "Bob: three", "four", "Ann: five", "six", "Bob: seven", "eight", "nine"]
    write(
        root, "call1.srt", "".join(f"00:00:0{n / 3:.3f} --> 00:00:03,000\n{line}\n\n" for n, line in enumerate(lines))
    )
    assert "".join(name[0] for name in read(root).utterances["speaker"]) == "AABBAABBB"


def test_segments_without_times_do_not_take_the_whole_recording(root: Path) -> None:
    segments = [
        {"text": "when", "start": None, "end": None},
        {"text": "now", "start": 0.0, "end": 1.0},
        "x",
        {"start": 1},
    ]
    write(root, "call1.json", {"segments": segments})
    corpus = read(root, bad_share=1)
    assert sorted(corpus.utterances["audio_problem"].fillna("")) == ["", "the transcript has no time for it"]
    assert corpus.set_aside["row"].tolist() == ["call1.json:3", "call1.json:4"]


@pytest.mark.parametrize(
    "content", ["{", "[]", "null", '{"results": {"items": []}}', "[" * 100_000, "\0" * 99, "", "WEBVTT\n"]
)
def test_a_damaged_transcript_costs_its_own_call_only(root: Path, content: str) -> None:
    write(root, "call1.json", content)
    record(root / "call2.wav")
    write(root, "call2.vtt", VTT)
    corpus = read(root, bad_share=0.5)
    assert corpus.utterances["dialogue_id"].tolist() == ["call2"] * 2
    assert corpus.set_aside[["row", "rule"]].values.tolist() == [["call1.json:1", "not a transcript"]]


def test_pipes_and_links_out_of_the_folder_are_left_alone(root: Path, tmp_path: Path) -> None:
    import os

    write(root, "call1.vtt", VTT)
    os.mkfifo(root / "call2.vtt")
    (tmp_path / "secret.vtt").write_text(VTT)
    (root / "call3.vtt").symlink_to(tmp_path / "secret.vtt")
    (root / "loop.vtt").symlink_to(root / "loop.vtt")
    (root / "round").symlink_to(root)
    assert read(root).utterances["dialogue_id"].unique().tolist() == ["call1"]


def test_a_folder_of_nothing_says_what_to_put_there(root: Path) -> None:
    with pytest.raises(CorpusError, match=r"or a transcript .* beside each recording"):
        read(root)


def test_two_hours_of_captions_are_read_quickly(root: Path) -> None:
    moments = [f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}" for second in range(0, 7_200, 5)]
    cues = [f"{moment},000 --> {moment},500" for moment in moments]
    write(root, "other.srt", "".join(f"{cue}\nA: x\n\n" for cue in cues))
    started = time.process_time()
    table = read(root).utterances
    assert len(table) == 1440
    assert table["start"].is_monotonic_increasing
    assert table["end"].iloc[-1] == 7195.5
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("call1.tsv", "start\tend\ttext\n0\t1500\tHello, dear & good morning\n1500\t3000\tWhat a day\n"),
        (
            "call1.csv",
            "Speaker,Start Time,End Time,Text\n"
            'Ann,0:00,0:01.5,"Hello, dear & good morning"\nBob,0:01.5,0:03,What a day\n',
        ),
        ("call1.jsonl", "\n".join(json.dumps(one) for one in WHISPER["segments"])),
    ],
)
def test_a_table_of_turns_beside_its_recording_is_a_transcript(root: Path, name: str, content: str) -> None:
    write(root, name, content)
    corpus = read(root)
    assert corpus.utterances["dialogue_id"].tolist() == ["call1"] * 2
    assert corpus.utterances["text"].tolist() == ["Hello, dear & good morning", "What a day"]
    assert corpus.utterances["end"].tolist() == [1.5, 3.0]
    assert not len(corpus.set_aside)


def test_what_was_read_is_told_in_one_line(root: Path) -> None:
    write(root, "call1.json", AWS_SPEAKERS)
    assert read(root).notes == ("call1.json: AWS Transcribe, 2 turns, 2 speakers",)
    record(root / "call2.wav")
    write(root, "call2.json", AWS_SPEAKERS)
    assert read(root).notes == ("2 transcripts of AWS Transcribe, 4 turns, up to 2 speakers (first call1.json)",)


def test_a_transcript_that_is_not_read_is_told_beside_the_one_that_is(root: Path) -> None:
    write(root, "call1.json", {"foo": 1})
    write(root, "call1.srt", SRT)
    corpus = read(root)
    assert len(corpus.utterances) == 2
    assert "call1.json: not read (JSON with the keys foo; no form that is known)" in corpus.notes


def test_a_turn_without_a_time_keeps_its_place(root: Path) -> None:
    segments = [{"text": f"turn {n}", "start": n, "end": n + 0.5, "speaker": None} for n in range(4)]
    segments[2]["start"] = float("nan")
    segments[3].pop("end")
    write(root, "call1.json", {"segments": segments})
    table = read(root, bad_share=1).utterances
    assert table["text"].tolist() == [f"turn {n}" for n in range(4)]
    assert table["audio_problem"].notna().tolist() == [False, False, True, False]
    assert set(table["speaker"]) == {"unknown"}
