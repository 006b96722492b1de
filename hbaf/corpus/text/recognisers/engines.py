"""Recognisers of one's own and smaller services whose JSON is no plain list of entries: Vosk, FunASR, ElevenLabs ..."""

import re
from typing import Any

from hbaf.corpus.text.recognisers.entries import MILLI, label_of, moment
from hbaf.corpus.text.recognisers.pieces import add_in_order, dicts, words_of
from hbaf.corpus.text.recognisers.words import Word, turns_of_words
from hbaf.corpus.text.transcripts.parsed import Parsed, Turn


def read_vosk(file: str, data: Any) -> Parsed:
    """Vosk: one object for each utterance, with its words; several of them one after the other or in a list."""
    parsed = Parsed("Vosk")
    turns: list[Turn] = []
    for one in [data] if isinstance(data, dict) else dicts(data):
        words = [
            Word(
                words_of(word.get("word")),
                moment(word.get("start")),
                moment(word.get("end")),
                label_of(word.get("speaker")),
                0,
            )
            for word in dicts(one.get("result"))
        ]
        turns += turns_of_words(words)
    add_in_order(parsed, file, turns)
    return parsed


def read_elevenlabs(file: str, data: dict[str, Any]) -> Parsed:
    """ElevenLabs: words, the blanks between them and sounds, for one channel or for each."""
    parsed = Parsed("ElevenLabs")
    turns = []
    parts = dicts(data.get("transcripts")) or [data]
    for part in parts:
        words = [
            Word(
                words_of(one.get("text")),
                moment(one.get("start")),
                moment(one.get("end")),
                label_of(one.get("speaker_id")),
            )
            for one in dicts(part.get("words"))
            if one.get("type") != "audio_event"
        ]
        channel = label_of(part.get("channel_index")) if len(parts) > 1 else None
        turns += turns_of_words(words, channel)
    add_in_order(parsed, file, turns)
    return parsed


def read_json3(file: str, data: dict[str, Any]) -> Parsed:
    """YouTube's json3: events of pieces; a line stays on the screen while the next is spoken."""
    parsed = Parsed("YouTube json3")
    turns: list[Turn] = []
    for event in dicts(data["events"]):
        text = " ".join("".join(words_of(piece.get("utf8")) for piece in dicts(event.get("segs"))).split())
        start, length = moment(event.get("tStartMs"), MILLI), moment(event.get("dDurationMs"), MILLI)
        if not text or start is None:
            continue
        if turns and turns[-1].end is not None and turns[-1].end > start:
            turns[-1] = turns[-1]._replace(end=start)
        turns.append(Turn(text, start, None if length is None else start + length))
    add_in_order(parsed, file, turns)
    return parsed


def read_funasr(file: str, data: Any) -> Parsed:
    """FunASR without sentences: a text, and a time for each word or character in milliseconds."""
    parsed = Parsed("FunASR")
    turns: list[Turn] = []
    for one in [data] if isinstance(data, dict) else dicts(data):
        times = [pair for pair in one.get("timestamp") or [] if isinstance(pair, list) and len(pair) == 2]
        said = re.findall(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_]+(?:['’-][^\W_]+)*|[^\w\s]", words_of(one.get("text")))
        words, left = [], iter(times)
        for token in said:
            mark = not token[0].isalnum()
            start, end = (None, None) if mark else (moment(time, MILLI) for time in next(left, (None, None)))
            words.append(Word(token, start, end, None, None, mark))
        turns += turns_of_words(words)
    add_in_order(parsed, file, turns)
    return parsed


def read_trint(file: str, data: dict[str, Any]) -> Parsed:
    """The old form of Speechmatics, and Trint's: words of name, time and duration, speakers by when they begin."""
    parsed = Parsed("Speechmatics, version 1")
    begins = sorted(
        (start, label_of(one.get("name")))
        for one in dicts(data.get("speakers"))
        if (start := moment(one.get("time"))) is not None
    )
    words = []
    for one in dicts(data["words"]):
        start, length = moment(one.get("time")), moment(one.get("duration"))
        speaker = next((name for begin, name in reversed(begins) if start is not None and begin <= start + 1e-3), None)
        end = None if start is None or length is None else start + length
        said = words_of(one.get("name"))
        words.append(Word(said, start, end, speaker, None, bool(said) and not any(map(str.isalnum, said))))
    add_in_order(parsed, file, turns_of_words(words))
    return parsed


def read_soniox(file: str, data: dict[str, Any]) -> Parsed:
    """Soniox: pieces of words in milliseconds, each with the blank before it."""
    parsed = Parsed("Soniox")
    words = [
        Word(
            words_of(one.get("text")),
            moment(one.get("start_ms"), MILLI),
            moment(one.get("end_ms"), MILLI),
            label_of(one.get("speaker")),
        )
        for one in dicts(data["tokens"])
        if one.get("translation_status") != "translation"
    ]
    add_in_order(parsed, file, turns_of_words(words))
    return parsed
