"""Six turns come out of every form that tools write: words, times and, where it is given, who speaks."""

import re
from pathlib import Path
from typing import Any

import pytest

from hbaf.corpus.text.transcripts.forms import read_transcript
from hbaf.corpus.text.transcripts.parsed import NotATranscriptError, Parsed
from tests.corpus.text import six_turns as six
from tests.corpus.text.six_turns import (
    TURNS,
    all_words,
    clock,
    dump,
    each,
    entries,
    scaled,
    srt,
    vtt,
    word_entries,
    words,
)

ANN, NOBODY = ("Ann", "Bob"), (None, None)


def parse(tmp_path: Path, name: str, content: str | bytes) -> Parsed:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_transcript(path, name)


def assert_six(parsed: Parsed, speakers: tuple[str | None, str | None], *, no_last_end: bool = False) -> None:
    assert [row.values["text"] for row in parsed.rows] == [turn.text for turn in TURNS]
    assert [row.values["speaker"] for row in parsed.rows] == [speakers[turn.who] for turn in TURNS]
    starts = [float(row.values["start"] or "nan") for row in parsed.rows]
    ends = [float(row.values["end"] or "nan") for row in parsed.rows]
    assert starts == pytest.approx([turn.start for turn in TURNS], abs=0.011)
    last = len(TURNS) - no_last_end
    assert ends[:last] == pytest.approx([turn.end for turn in TURNS][:last], abs=0.011)
    assert all(row.audio_problem is None for row in parsed.rows)
    assert not parsed.set_aside


RECOGNISERS: dict[str, tuple[Any, tuple[str | None, str | None]]] = {
    "whisper": ({"text": "", "segments": entries(start="start", end="end", text="text"), "language": "en"}, NOBODY),
    "whisperX": (
        {"segments": entries(who="speaker", start="start", end="end", text="text"), "word_segments": []},
        ("S0", "S1"),
    ),
    "two speakers in one segment": (
        {"segments": [{"start": 0.4, "end": 10.9, "text": "all", "speaker": "S0", "words": word_entries()}]},
        ("S0", "S1"),
    ),
    "times only on words": (
        {
            "segments": [
                {
                    "text": turn.text,
                    "words": [{"word": word, "start": start, "end": end} for word, start, end in words(turn)],
                }
                for turn in TURNS
            ]
        },
        NOBODY,
    ),
    "OpenAI, diarised": (
        {
            "task": "transcribe",
            "segments": [
                {"type": "transcript.text.segment", **one}
                for one in entries(who="speaker", start="start", end="end", text="text")
            ],
        },
        ("S0", "S1"),
    ),
    "words alone": ({"task": "transcribe", "words": word_entries(who=None)}, NOBODY),
    "a list of words": (word_entries("text", who=None), NOBODY),
    "words with speakers": ({"words": word_entries()}, ("S0", "S1")),
    "faster-whisper's tuples": (
        [[n, 0, turn.start, turn.end, f" {turn.text}", [1, 2], -0.2] for n, turn in enumerate(TURNS)],
        NOBODY,
    ),
    "whisper.cpp": (
        {
            "systeminfo": "",
            "transcription": [
                {
                    "timestamps": {"from": clock(turn.start, ","), "to": clock(turn.end, ",")},
                    "offsets": {"from": round(turn.start * 1000), "to": round(turn.end * 1000)},
                    "text": f" {turn.text}",
                }
                for turn in TURNS
            ],
        },
        NOBODY,
    ),
    "Hugging Face": (
        {"text": "", "chunks": [{"timestamp": [turn.start, turn.end], "text": f" {turn.text}"} for turn in TURNS]},
        NOBODY,
    ),
    "Hugging Face, words": (
        {
            "text": "",
            "chunks": [{"timestamp": [start, end], "text": f" {word}"} for _, word, start, end in all_words()],
        },
        NOBODY,
    ),
    "Deepgram, words": (
        {
            "metadata": {},
            "results": {
                "channels": [
                    {
                        "alternatives": [
                            {
                                "words": [
                                    {
                                        "word": word.lower().strip(",.?"),
                                        "punctuated_word": word,
                                        "start": start,
                                        "end": end,
                                        "speaker": turn.who,
                                    }
                                    for turn, word, start, end in all_words()
                                ]
                            }
                        ]
                    }
                ]
            },
        },
        ("0", "1"),
    ),
    "Deepgram, utterances": (
        {
            "results": {
                "channels": [{"alternatives": [{"words": []}]}],
                "utterances": [
                    {"start": turn.start, "end": turn.end, "transcript": turn.text, "channel": 0, "speaker": turn.who}
                    for turn in TURNS
                ],
            }
        },
        ("0", "1"),
    ),
    "AssemblyAI": (
        {
            "status": "completed",
            "utterances": scaled(entries(who="speaker", start="start", end="end", text="text"), 1000, "start", "end"),
        },
        ("S0", "S1"),
    ),
    "AssemblyAI, words": (
        {"audio_url": "x", "utterances": None, "words": scaled(word_entries("text"), 1000, "start", "end")},
        ("S0", "S1"),
    ),
    "Azure batch": (
        {
            "recognizedPhrases": [
                {
                    "recognitionStatus": "Success",
                    "channel": None,
                    "speaker": turn.who,
                    "offset": f"PT{turn.start}S",
                    "duration": f"PT{turn.end - turn.start:.3f}S",
                    "nBest": [{"display": turn.text}],
                }
                for turn in TURNS
            ]
        },
        ("0", "1"),
    ),
    "Azure fast": (
        {
            "durationMilliseconds": 11200,
            "combinedPhrases": [],
            "phrases": [
                {
                    "speaker": turn.who,
                    "offsetMilliseconds": round(turn.start * 1000),
                    "durationMilliseconds": round((turn.end - turn.start) * 1000),
                    "text": turn.text,
                }
                for turn in TURNS
            ],
        },
        ("0", "1"),
    ),
    "Azure SDK": (
        [
            {
                "Id": "x",
                "RecognitionStatus": "Success",
                "Offset": round(turn.start * 1e7),
                "Duration": round((turn.end - turn.start) * 1e7),
                "SpeakerId": f"Guest-{turn.who}",
                "NBest": [{"Display": turn.text, "Lexical": "x"}],
            }
            for turn in TURNS
        ],
        ("Guest-0", "Guest-1"),
    ),
    "Azure Video Indexer": (
        {
            "videos": [
                {
                    "insights": {
                        "speakers": [{"id": 0, "name": "Ann"}, {"id": 1, "name": "Bob"}],
                        "transcript": [
                            {
                                "text": turn.text,
                                "speakerId": turn.who,
                                "instances": [{"start": clock(turn.start)[1:], "end": clock(turn.end)[1:]}],
                            }
                            for turn in TURNS
                        ],
                    }
                }
            ]
        },
        ANN,
    ),
    "AWS": (six.aws(), ("spk_0", "spk_1")),
    "AWS Call Analytics": (
        {
            "Transcript": [
                {
                    "Content": turn.text,
                    "ParticipantRole": ("AGENT", "CUSTOMER")[turn.who],
                    "BeginOffsetMillis": round(turn.start * 1000),
                    "EndOffsetMillis": round(turn.end * 1000),
                }
                for turn in TURNS
            ]
        },
        ("AGENT", "CUSTOMER"),
    ),
    "Google, tags": (six.google(), ("1", "2")),
    "Google, version 2": (six.google(2), ("1", "2")),
    "IBM Watson": (
        {
            "results": [
                {
                    "final": True,
                    "alternatives": [{"transcript": turn.text, "timestamps": [list(word) for word in words(turn)]}],
                }
                for turn in TURNS
            ],
            "speaker_labels": [{"from": start, "to": end, "speaker": turn.who} for turn, _, start, end in all_words()],
        },
        ("0", "1"),
    ),
    "Rev.ai": (six.rev(), ("0", "1")),
    "Speechmatics": (six.speechmatics(), ("S1", "S2")),
    "ElevenLabs": (
        {
            "language_code": "en",
            "words": [
                part
                for turn, word, start, end in all_words()
                for part in (
                    {"text": word, "start": start, "end": end, "type": "word", "speaker_id": f"speaker_{turn.who}"},
                    {"text": " ", "start": end, "end": end, "type": "spacing", "speaker_id": f"speaker_{turn.who}"},
                )
            ],
        },
        ("speaker_0", "speaker_1"),
    ),
    "Gladia": (
        {
            "status": "done",
            "result": {
                "transcription": {
                    "full_transcript": "",
                    "utterances": entries(who="speaker", start="start", end="end", text="text"),
                }
            },
        },
        ("S0", "S1"),
    ),
    "Soniox": (
        {
            "tokens": [
                {
                    "text": f" {word}",
                    "start_ms": round(start * 1000),
                    "end_ms": round(end * 1000),
                    "speaker": str(turn.who),
                }
                for turn, word, start, end in all_words()
            ]
        },
        ("0", "1"),
    ),
    "Vosk": (
        [
            {
                "result": [{"conf": 1.0, "word": word, "start": start, "end": end} for word, start, end in words(turn)],
                "text": turn.text,
            }
            for turn in TURNS
        ],
        NOBODY,
    ),
    "NeMo": (
        {
            "status": "success",
            "session_id": "x",
            "sentences": entries(who="speaker", start="start_time", end="end_time", text="sentence"),
            "words": [],
        },
        ("S0", "S1"),
    ),
    "Parakeet": (
        {
            "text": "",
            "timestamp": {
                "segment": [
                    {"segment": turn.text, "start": turn.start, "end": turn.end, "start_offset": 5, "end_offset": 9}
                    for turn in TURNS
                ]
            },
        },
        NOBODY,
    ),
    "FunASR": (
        [
            {
                "key": "x",
                "text": "",
                "timestamp": [[1, 2]],
                "sentence_info": [
                    {
                        "text": turn.text,
                        "start": round(turn.start * 1000),
                        "end": round(turn.end * 1000),
                        "timestamp": [[1, 2]],
                        "spk": turn.who,
                    }
                    for turn in TURNS
                ],
            }
        ],
        ("0", "1"),
    ),
    "YouTube json3": (
        {
            "wireMagic": "pb3",
            "events": [
                {"tStartMs": 0, "dDurationMs": 11200, "id": 1},
                *[
                    part
                    for turn in TURNS
                    for part in (
                        {
                            "tStartMs": round(turn.start * 1000),
                            "dDurationMs": round((turn.end - turn.start) * 1000),
                            "segs": [{"utf8": turn.text[:4]}, {"utf8": turn.text[4:], "tOffsetMs": 9}],
                        },
                        {"tStartMs": round(turn.end * 1000), "aAppend": 1, "segs": [{"utf8": "\n"}]},
                    )
                ],
            ],
        },
        NOBODY,
    ),
    "youtube-transcript-api": (
        [{"text": turn.text, "start": turn.start, "duration": round(turn.end - turn.start, 3)} for turn in TURNS],
        NOBODY,
    ),
    "podcast namespace": (
        {"version": "1.0.0", "segments": entries(who="speaker", start="startTime", end="endTime", text="body")},
        ("S0", "S1"),
    ),
    "Fireflies": (entries(who="speaker_name", start="start_time", end="end_time", text="sentence"), ("S0", "S1")),
    "Recall": (
        [
            {
                "participant": {"id": turn.who, "name": ("Ann", "Bob")[turn.who]},
                "words": [
                    {
                        "text": turn.text,
                        "start_timestamp": {"relative": turn.start},
                        "end_timestamp": {"relative": turn.end},
                    }
                ],
            }
            for turn in TURNS
        ],
        ANN,
    ),
    "pyannote": (
        {"output": {"turnLevelTranscription": entries(who="speaker", start="start", end="end", text="text")}},
        ("S0", "S1"),
    ),
    "clock times": (
        {
            "segments": [
                {**one, "start": clock(one["start"]), "end": clock(one["end"], ",")}
                for one in entries(start="start", end="end", text="text")
            ]
        },
        NOBODY,
    ),
    "milliseconds nobody tells": (
        scaled(entries(who="speaker", start="start", end="end", text="text"), 1000, "start", "end"),
        ("S0", "S1"),
    ),
    "aeneas": (
        {
            "fragments": [
                {
                    "begin": f"{turn.start:.3f}",
                    "end": f"{turn.end:.3f}",
                    "id": "f",
                    "children": [],
                    "lines": [turn.text],
                }
                for turn in TURNS
            ]
        },
        NOBODY,
    ),
    "Trint": (
        {
            "speakers": [{"name": f"M{turn.who}", "time": str(turn.start), "duration": "1"} for turn in TURNS],
            "words": [
                {"name": word, "time": str(start), "duration": f"{end - start:.3f}"}
                for _, word, start, end in all_words()
            ],
        },
        ("M0", "M1"),
    ),
}


@pytest.mark.parametrize("name", RECOGNISERS)
def test_recognisers(tmp_path: Path, name: str) -> None:
    data, speakers = RECOGNISERS[name]
    assert_six(parse(tmp_path, "call.json", dump(data)), speakers)


CAPTIONS: dict[str, tuple[str, str, tuple[str | None, str | None]]] = {
    "voices": ("call.vtt", vtt(each("<v {who}>{text}</v>")), ANN),
    "voices with classes": ("call.vtt", vtt(each("<v.first.loud {who}>{text}")), ANN),
    "a voice without a name": ("call.vtt", vtt(each("<v ->{text}</v>")), NOBODY),
    "colon": ("call.srt", srt(each("{who}: {text}")), ANN),
    "colon without a blank": ("call.srt", srt(each("{who}:{text}")), ANN),
    "wide colon": ("call.srt", srt(each("{who}：{text}")), ANN),
    "name on a line": ("call.srt", srt(each("{who}:\n{text}")), ANN),
    "square": ("call.srt", srt(each("[{who}] {text}")), ANN),
    "square and colon": ("call.srt", srt(each("[{who}]: {text}")), ANN),
    "round": ("call.vtt", vtt(each("({who}) {text}")), ANN),
    "round on a line": ("call.sbv", vtt(each("({who})\n{text}")), ANN),
    "diarisation": (
        "call.srt",
        srt(each("[{who}]: {text}", ("SPEAKER_00", "SPEAKER_01"))),
        ("SPEAKER_00", "SPEAKER_01"),
    ),
    "diarisation, bare": (
        "call.vtt",
        vtt(each("{who}: {text}", ("SPEAKER_00", "SPEAKER_01"))),
        ("SPEAKER_00", "SPEAKER_01"),
    ),
    "numbered": ("call.srt", srt(each("{who}: {text}", ("Speaker 1", "2nd Agent"))), ("Speaker 1", "2nd Agent")),
    "telephone": (
        "call.vtt",
        vtt(each("{who}: {text}", ("+49 170 12345", "Ann Doe (Contoso)"))),
        ("+49 170 12345", "Ann Doe (Contoso)"),
    ),
    "chevrons": ("call.vtt", vtt(each("&gt;&gt; {text}")), NOBODY),
    "chevrons with names": ("call.srt", srt(each(">> {who}: {text}", ("ANN", "BOB"))), ("ANN", "BOB")),
    "dashes": ("call.srt", srt(each("- {text}")), NOBODY),
    "dashes without a blank": ("call.srt", srt(each("-{text}")), NOBODY),
    "dashes with names": ("call.srt", srt(each("- {who}: {text}")), ANN),
    "colours": ("call.srt", srt(each('<font color="#ff0">{text}</font>')), NOBODY),
    "Webex": (
        "call.vtt",
        "WEBVTT\n\n"
        + "\n".join(
            f'{n} "{("Ann", "Bob")[turn.who]}" (268)\n{clock(turn.start)} --> {clock(turn.end)}\n{turn.text}\n'
            for n, turn in enumerate(TURNS)
        ),
        ANN,
    ),
    "spaces between lines": ("call.vtt", vtt(each("{text}")).replace("\n\n", "\n \n"), NOBODY),
    "no blank lines": ("call.srt", srt(each("{text}")).replace("\n\n", "\n"), NOBODY),
    "blank after the number": ("call.srt", srt(each("{text}")).replace("\n00", "\n\n00"), NOBODY),
    "old Macs' lines": ("call.srt", srt(each("{text}")).replace("\n", "\r"), NOBODY),
    "translated": ("call.srt", re.sub(r":(\d\d),", r": \1, ", srt(each("{text}"), " -> ")), NOBODY),
    "arrows": ("call.srt", srt(each("{text}"), " → "), NOBODY),
    "colon before milliseconds": (
        "call.srt",
        srt(each("{text}")).replace(",245", ":245").replace(",400", ":400"),
        NOBODY,
    ),
    "SBV": (
        "call.sbv",
        "\n".join(f"{clock(turn.start)[1:]},{clock(turn.end)[1:]}\n{turn.text}\n" for turn in TURNS),
        NOBODY,
    ),
    "ASS": (
        "call.ass",
        "[Script Info]\nTitle: x\n\n[Events]\n"
        "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
        + "\n".join(
            f"Dialogue: 0,{clock(turn.start)[1:-1]},{clock(turn.end)[1:-1]},Default,{('Ann', 'Bob')[turn.who]},"
            f"0,0,0,,{{\\i1}}{turn.text}"
            for turn in TURNS
        ),
        ANN,
    ),
    "TTML": ("call.ttml", six.ttml(), ANN),
    "TTML, seconds": ("call.dfxp", six.ttml("seconds"), ANN),
    "TTML, ticks": ("call.xml", six.ttml("ticks"), ANN),
    "srv1": (
        "call.srv1",
        "<transcript>"
        + "".join(f'<text start="{turn.start}" dur="{turn.end - turn.start:.3f}">{turn.text}</text>' for turn in TURNS)
        + "</transcript>",
        NOBODY,
    ),
    "srv3": (
        "call.srv3",
        '<?xml version="1.0" encoding="utf-8" ?><timedtext format="3"><body>'
        + "".join(
            f'<p t="{round(turn.start * 1000)}" d="{round((turn.end - turn.start) * 1000)}">'
            f'<s>{turn.text[:4]}</s><s t="90">{turn.text[4:]}</s></p>'
            for turn in TURNS
        )
        + "</body></timedtext>",
        NOBODY,
    ),
    "TextGrid": ("call.TextGrid", six.textgrid(), ANN),
    "TextGrid, short": ("call.TextGrid", six.textgrid(short=True), ANN),
    "TextGrid of an aligner": (
        "call.TextGrid",
        six.textgrid(
            tiers={
                **{
                    f"{name} - words": [(start, end, word) for turn, word, start, end in all_words() if turn.who == who]
                    for who, name in enumerate(("Ann", "Bob"))
                },
                "Ann - phones": [(0.4, 0.5, "G"), (0.5, 0.6, "UH1")],
            }
        ),
        ANN,
    ),
    "TextGrid of sentences": (
        "call.TextGrid",
        six.textgrid(tiers={"sentences": [turn[1:] for turn in TURNS], "words": [one[1:] for one in ()]}),
        NOBODY,
    ),
    "ELAN": ("call.eaf", six.elan(), ANN),
    "CHAT": (
        "call.cha",
        "@UTF8\n@Begin\n@Participants:\tANN Ann Adult, BOB Bob Adult\n"
        + "".join(
            f"*{('ANN', 'BOB')[turn.who]}:\t{turn.text} \x15{round(turn.start * 1000)}_{round(turn.end * 1000)}\x15\n"
            "%mor:\tx\n"
            for turn in TURNS
        )
        + "@End\n",
        ANN,
    ),
    "Audacity": (
        "call.txt",
        "".join(f"{turn.start:.6f}\t{turn.end:.6f}\t{('Ann', 'Bob')[turn.who]}: {turn.text}\n" for turn in TURNS),
        ANN,
    ),
    "Whisper's terminal": (
        "call.txt",
        "".join(f"[{clock(turn.start)[3:]} --> {clock(turn.end)[3:]}]  {turn.text}\n" for turn in TURNS),
        NOBODY,
    ),
    "faster-whisper's terminal": (
        "call.txt",
        "".join(f"[{turn.start:.2f}s -> {turn.end:.2f}s] {turn.text}\n" for turn in TURNS),
        NOBODY,
    ),
}


@pytest.mark.parametrize("name", CAPTIONS)
def test_captions_and_annotations(tmp_path: Path, name: str) -> None:
    file, content, speakers = CAPTIONS[name]
    assert_six(parse(tmp_path, file, content), speakers)


ONLY_STARTS: dict[str, tuple[str, str, tuple[str | None, str | None]]] = {
    "LRC": (
        "call.lrc",
        "[ar:Ann]\n[ti:x]\n" + "".join(f"[{clock(turn.start)[3:-1]}]{turn.text}\n" for turn in TURNS),
        NOBODY,
    ),
    "Descript": (
        "call.txt",
        "\n\n".join(f"[{clock(turn.start)}] {('Ann', 'Bob')[turn.who]}: {turn.text}" for turn in TURNS),
        ANN,
    ),
    "Otter": (
        "call.txt",
        "\n\n".join(f"{('Ann Doe', 'Bob')[turn.who]}  {clock(turn.start)[3:]} \n{turn.text}" for turn in TURNS),
        ("Ann Doe", "Bob"),
    ),
    "Rev": (
        "call.txt",
        "\n\n".join(f"{('Ann', 'Bob')[turn.who]} ({clock(turn.start)[3:]}):\n{turn.text}" for turn in TURNS),
        ANN,
    ),
    "Teams": (
        "call.txt",
        "\n".join(f"{('Ann', 'Bob')[turn.who]}\n{clock(turn.start)[3:]}\n{turn.text}" for turn in TURNS),
        ANN,
    ),
    "YouTube's panel": ("call.txt", "\n".join(f"{clock(turn.start)[3:]}\n{turn.text}" for turn in TURNS), NOBODY),
    "Zoom": (
        "call.txt",
        "\n\n".join(f"[{('Ann', 'Bob')[turn.who]}] {clock(turn.start)}\n{turn.text}" for turn in TURNS),
        ANN,
    ),
}


@pytest.mark.parametrize("name", ONLY_STARTS)
def test_a_turn_without_an_end_lasts_until_the_next(tmp_path: Path, name: str) -> None:
    file, content, speakers = ONLY_STARTS[name]
    parsed = parse(tmp_path, file, content)
    assert [row.values["text"] for row in parsed.rows] == [turn.text for turn in TURNS]
    assert [row.values["speaker"] for row in parsed.rows] == [speakers[turn.who] for turn in TURNS]
    starts = [turn.start for turn in TURNS]
    assert [float(row.values["start"] or "nan") for row in parsed.rows] == pytest.approx(starts, abs=0.011)
    assert [float(row.values["end"] or "nan") for row in parsed.rows[:-1]] == pytest.approx(starts[1:], abs=0.011)
    assert parsed.rows[-1].values["end"] is None


def roll(shown: int, hold: bool, suffix: str) -> str:
    """Captions with this many lines on the screen, of which one is new."""
    cues = []
    for n, turn in enumerate(TURNS):
        lines = "\n".join(one.text for one in TURNS[max(0, n + 1 - shown) : n + 1])
        cues.append((turn.start, turn.end, lines))
        if hold:
            cues.append((turn.end, turn.end + 0.01, turn.text))
    comma = "," if suffix == "srt" else "."
    body = "\n".join(
        f"{n}\n{clock(a, comma)} --> {clock(b, comma)}\n{said}\n" for n, (a, b, said) in enumerate(cues, 1)
    )
    return body if suffix == "srt" else f"WEBVTT\n\n{body}"


@pytest.mark.parametrize("suffix", ["vtt", "srt"])
@pytest.mark.parametrize("hold", [True, False])
@pytest.mark.parametrize("shown", [2, 3, 4])
def test_captions_that_roll(tmp_path: Path, shown: int, hold: bool, suffix: str) -> None:
    parsed = parse(tmp_path, f"call.{suffix}", roll(shown, hold, suffix))
    assert_six(parsed, NOBODY)
    assert "they roll" in parsed.notes[0]


def test_captions_that_roll_in_one_line(tmp_path: Path) -> None:
    said = [" ".join(one.text for one in TURNS[max(0, n - 1) : n + 1]) for n in range(len(TURNS))]
    with_growth = [text for n, text in enumerate(said)]
    parsed = parse(tmp_path, "call.srt", srt(with_growth))
    assert " ".join(row.values["text"] or "" for row in parsed.rows) == " ".join(turn.text for turn in TURNS)


def test_captions_that_grow_word_by_word(tmp_path: Path) -> None:
    cues = []
    for turn in TURNS:
        said = ""
        for word, start, end in words(turn):
            said = f"{said} {word}".strip()
            cues.append(f"{clock(start)} --> {clock(end)}\n{said}\n")
    assert_six(parse(tmp_path, "call.vtt", "WEBVTT\n\n" + "\n".join(cues)), NOBODY)


def test_people_may_say_a_thing_twice(tmp_path: Path) -> None:
    said = ["No, I do not want that.", "No, I do not want that.", "Yes.", "Yes.", "Well then.", "Well then."]
    parsed = parse(tmp_path, "call.srt", srt(said))
    assert [row.values["text"] for row in parsed.rows] == said
    assert not parsed.notes


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ("- Good morning.\n- Hello.", [(None, "Good morning."), (None, "Hello.")]),
        ("-Good morning.\n-Hello.", [(None, "Good morning."), (None, "Hello.")]),
        (">> Good morning. >> Hello.", [(None, "Good morning."), (None, "Hello.")]),
        (">> ANN: Good morning. >> BOB: Hello.", [("ANN", "Good morning."), ("BOB", "Hello.")]),
        ("Ann: Good morning.\nBob: Hello.", [("Ann", "Good morning."), ("Bob", "Hello.")]),
        ("<v Ann>Good morning.</v> <v Bob>Hello.</v>", [("Ann", "Good morning."), ("Bob", "Hello.")]),
    ],
)
def test_two_people_in_one_cue_are_two_turns(
    tmp_path: Path, payload: str, expected: list[tuple[str | None, str]]
) -> None:
    rest = each("{who}: {text}", ("Ann", "Bob"))[1:] if "Ann:" in payload else each("{text}")[1:]
    parsed = parse(tmp_path, "call.vtt", vtt([payload, *rest]))
    assert [(row.values["speaker"], row.values["text"]) for row in parsed.rows[:2]] == expected
    assert all(row.audio_problem and "2 people speak" in row.audio_problem for row in parsed.rows[:2])


@pytest.mark.parametrize(
    "line", ["Note: bring a coat", "[laughs] that is funny", "It is 10:30 now", "-5 degrees", "- well"]
)
def test_words_that_look_like_names_stay_words(tmp_path: Path, line: str) -> None:
    parsed = parse(tmp_path, "call.srt", srt([*each("{text}")[:5], line]))
    assert parsed.rows[-1].values["text"] in (line, line.removeprefix("- "))
    assert {row.values["speaker"] for row in parsed.rows} == {None}


def test_a_blank_line_among_the_words_of_srt_loses_none(tmp_path: Path) -> None:
    parsed = parse(tmp_path, "call.srt", srt([text.replace(" ", "\n\n", 1) for text in each("{text}")]))
    assert_six(parsed, NOBODY)


def test_google_results_with_their_ends_alone_follow_each_other(tmp_path: Path) -> None:
    data = {
        "results": [{"alternatives": [{"transcript": turn.text}], "resultEndTime": f"{turn.end}s"} for turn in TURNS]
    }
    rows = parse(tmp_path, "call.json", dump(data)).rows
    assert [(row.values["start"], row.values["end"]) for row in rows[:2]] == [("0.0", "2.245"), ("2.245", "3.757")]


@pytest.mark.parametrize("name", ["conversation", "whatever"])
def test_a_list_under_any_name(tmp_path: Path, name: str) -> None:
    data = {"id": "x", name: entries(who="speaker", start="start", end="stop", text="text")}
    parsed = parse(tmp_path, "call.json", dump(data))
    assert_six(parsed, ("S0", "S1"))
    assert parsed.form == f"JSON of a recogniser that is not known by name (its {name})"


def test_a_textgrid_as_json(tmp_path: Path) -> None:
    tiers = {
        f"{name} - words": {
            "type": "interval",
            "entries": [[a, b, w] for turn, w, a, b in all_words() if turn.who == who],
        }
        for who, name in enumerate(("Ann", "Bob"))
    }
    assert_six(parse(tmp_path, "call.json", dump({"start": 0, "end": 11.2, "tiers": tiers})), ANN)


def test_vosk_writes_one_object_after_the_other(tmp_path: Path) -> None:
    data, _ = RECOGNISERS["Vosk"]
    assert_six(parse(tmp_path, "call.json", "\n".join(map(dump, data))), NOBODY)


def test_channels_of_recognisers_are_numbers_from_0(tmp_path: Path) -> None:
    channels = [
        {
            "alternatives": [
                {"words": [{"word": w, "start": a, "end": b} for turn, w, a, b in all_words() if turn.who == who]}
            ]
        }
        for who in (0, 1)
    ]
    parsed = parse(tmp_path, "call.json", dump({"results": {"channels": channels}}))
    assert [row.values["channel"] for row in parsed.rows] == [str(turn.who) for turn in TURNS]


@pytest.mark.parametrize(
    ("name", "content", "seen"),
    [
        ("a.json", '{"foo": 1, "bar": []}', "JSON with the keys foo, bar"),
        ("a.json", '[{"foo": 1}]', "a list of 1 with the keys foo"),
        ("a.json", '{"segments": [', "no whole JSON"),
        ("a.json", '{"text": "words"}', "it has words and no times"),
        (
            "a.json",
            '{"title": "x", "authors": [{"name": "Ann"}], "comments": [{"text": "nice", "timestamp": 17}]}',
            "title",
        ),
        ("a.json", "", "the file is empty"),
        ("a.xml", "<html><p>x</p></html>", "XML whose root is <html>"),
        ("a.ttml", '<!DOCTYPE tt [<!ENTITY a "b">]><tt>&a;</tt>', "declares its own entities"),
        ("a.txt", "just words", "text without times"),
        ("a.vtt", "WEBVTT\n", "without a single turn"),
        ("a.TextGrid", six.textgrid()[:400], "TextGrid that ends in the middle"),
        (
            "a.TextGrid",
            six.textgrid(tiers={"phones": [(0, 1, "a")]}),
            "TextGrid without words (its tiers of intervals: phones)",
        ),
        ("a.TextGrid", b"ooBinaryFile\x08TextGrid", "binary TextGrid"),
        ("a.srt", bytes(range(128, 256)) * 40, "encoding is not recognised"),
    ],
)
def test_what_is_none_is_told_by_what_was_seen(tmp_path: Path, name: str, content: str | bytes, seen: str) -> None:
    with pytest.raises(NotATranscriptError) as told:
        parse(tmp_path, name, content)
    assert seen in str(told.value)
