"""Recognisers whose JSON is no plain list of entries: cloud services, and what holds words in a form of its own."""

import re
from collections.abc import Iterator
from typing import Any

from hbaf.corpus.asr_entries import MILLI, TICK, label_of, moment
from hbaf.corpus.asr_words import Word, turns_of_words
from hbaf.corpus.parsed import Parsed, Turn


def dicts(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; empty for anything else."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def best(data: dict[str, Any], name: str = "alternatives") -> dict[str, Any]:
    """The first of several hypotheses, which is the most probable."""
    return next(iter(dicts(data.get(name))), {})


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _numbered(parsed: Parsed, file: str, turns: list[Turn]) -> None:
    """Adds turns in the order of their times; one without a time follows the one before it."""
    order, last = [], 0.0
    for place, turn in enumerate(turns):
        last = turn.start if turn.start is not None else last
        order.append((last, place, turn))
    for index, (_, _, turn) in enumerate(sorted(order, key=lambda one: one[:2]), start=1):
        parsed.add(f"{file}:{index}", turn)


def read_aws(file: str, data: dict[str, Any]) -> Parsed:
    """AWS Transcribe: single words, with labels of speakers or channels beside them."""
    results, parsed = data["results"], Parsed("AWS Transcribe")
    segments = _aws_segments(results.get("speaker_labels"))
    turns = []
    for channel, items in _aws_channels(results):
        words: list[Word] = []
        for item in dicts(items):
            told = segments.get(str(item.get("start_time")))
            said, mark = _text(best(item).get("content")), item.get("type") == "punctuation"
            segment: object = told[0] if told and not mark else None
            speaker = told[1] if told and not mark else None
            if mark and words:
                segment = words[-1].segment
            speaker = label_of(item.get("speaker_label")) or speaker
            words.append(
                Word(said, moment(item.get("start_time")), moment(item.get("end_time")), speaker, segment, mark)
            )
        turns += turns_of_words(words, channel)
    _numbered(parsed, file, turns)
    return parsed


def _aws_segments(labels: Any) -> dict[str, tuple[int, str | None]]:
    """Start time of a word as written -> (number of the turn, speaker)."""
    segments = dicts(labels.get("segments")) if isinstance(labels, dict) else []
    return {
        str(item.get("start_time")): (index, label_of(segment.get("speaker_label")))
        for index, segment in enumerate(segments)
        for item in dicts(segment.get("items"))
    }


def _aws_channels(results: dict[str, Any]) -> Iterator[tuple[str | None, list[Any]]]:
    labels = results.get("channel_labels")
    channels = dicts(labels.get("channels")) if isinstance(labels, dict) else []
    if not channels:
        yield None, results["items"]
    for one in channels:
        if isinstance(one.get("items"), list):
            yield channel_of(one.get("channel_label")), one["items"]


def channel_of(label: Any) -> str | None:
    """The number in `ch_0`; another label stays as it is."""
    numbered = re.fullmatch(r"ch(?:annel)?_(\d+)", str(label))
    return numbered[1] if numbered else label_of(label)


def read_deepgram(file: str, data: dict[str, Any]) -> Parsed:
    """Deepgram: utterances where they were asked for, or else words, per channel."""
    results, parsed = data["results"], Parsed("Deepgram")
    channels = dicts(results["channels"])
    turns = []
    utterances = dicts(results.get("utterances"))
    for place, channel in enumerate(channels):
        name = str(place) if len(channels) > 1 else None
        own = [one for one in utterances if len(channels) == 1 or one.get("channel") == place]
        for one in own:
            words = _deepgram_words(one)
            speakers = {word.speaker for word in words if word.speaker}
            if len(speakers) > 1:
                turns += turns_of_words(words, name, pauses=False)
                continue
            speaker = label_of(one.get("speaker")) or next(iter(speakers), None)
            turns.append(
                Turn(_text(one.get("transcript")), moment(one.get("start")), moment(one.get("end")), speaker, name)
            )
        if not own:
            turns += turns_of_words(_deepgram_words(best(channel)), name)
    _numbered(parsed, file, turns)
    return parsed


def _deepgram_words(data: dict[str, Any]) -> list[Word]:
    return [
        Word(
            _text(word.get("punctuated_word") or word.get("word")),
            moment(word.get("start")),
            moment(word.get("end")),
            label_of(word.get("speaker")),
        )
        for word in dicts(data.get("words"))
    ]


def read_google(file: str, data: dict[str, Any]) -> Parsed:
    """Google Cloud Speech-to-Text, version 1 and 2: results with words, or with the time of their end alone.

    With speaker labels the last result of version 1 repeats the words of all others.
    """
    parsed = Parsed("Google Speech-to-Text")
    results = dicts(data["results"])
    labelled = [one for one in results if any(_google_speaker(word) for word in dicts(best(one).get("words")))]
    if labelled and labelled != results:
        results = labelled[-1:]
    tags = {label_of(one.get("channelTag", one.get("channel_tag"))) for one in results}
    turns: list[Turn] = []
    ended: dict[str | None, float] = {}
    for index, result in enumerate(results):
        hypothesis = best(result)
        tag = label_of(result.get("channelTag", result.get("channel_tag")))
        channel = str(int(tag) - 1) if tag and tag.isdecimal() and len(tags) > 1 else None  # they count from 1
        end = next((time for name in _GOOGLE_ENDS if (time := moment(result.get(name))) is not None), None)
        words = [_google_word(word, index) for word in dicts(hypothesis.get("words"))]
        if any(word.start is not None for word in words):
            turns += turns_of_words([word._replace(segment=None) for word in words] if labelled else words, channel)
        elif text := _text(hypothesis.get("transcript")).strip():
            turns.append(Turn(text, ended.get(channel, 0.0) if end is not None else None, end, None, channel))
        ended[channel] = end if end is not None else ended.get(channel, 0.0)
    _numbered(parsed, file, turns)
    return parsed


_GOOGLE_ENDS = ("resultEndTime", "resultEndOffset", "result_end_time", "result_end_offset")


def _google_speaker(word: dict[str, Any]) -> str | None:
    names = ("speakerLabel", "speaker_label", "speakerTag", "speaker_tag")
    found = next((label for name in names if (label := label_of(word.get(name)))), None)
    return None if found == "0" else found


def _google_word(word: dict[str, Any], index: int) -> Word:
    times = [
        next((time for name in names if (time := moment(word.get(name))) is not None), None)
        for names in (("startTime", "startOffset", "start_time", "start_offset"),
                      ("endTime", "endOffset", "end_time", "end_offset"))
    ]  # fmt: skip
    if times[0] is None and times[1] is not None:
        times[0] = 0.0  # a time of zero is left out
    return Word(_text(word.get("word")), times[0], times[1], _google_speaker(word), index)


def read_watson(file: str, data: dict[str, Any]) -> Parsed:
    """IBM Watson: words as [word, start, end], and who began to speak when in a list of its own."""
    parsed = Parsed("IBM Watson")
    labels = {moment(one.get("from")): label_of(one.get("speaker")) for one in dicts(data.get("speaker_labels"))}
    turns = []
    for index, result in enumerate(dicts(data["results"])):
        times = [one for one in best(result).get("timestamps") or [] if isinstance(one, list) and len(one) == 3]
        words = [Word(str(said), moment(a), moment(b), labels.get(moment(a)), index) for said, a, b in times]
        turns += turns_of_words([word for word in words if word.text != "%HESITATION"])
    _numbered(parsed, file, turns)
    return parsed


def read_rev(file: str, data: dict[str, Any]) -> Parsed:
    """Rev.ai and Rev.com: a monologue of each speaker with its words and what stands between them."""
    parsed = Parsed("Rev.ai")
    names = {label_of(one.get("id")): label_of(one.get("name")) for one in dicts(data.get("speakers"))}
    turns = []
    for index, monologue in enumerate(dicts(data["monologues"])):
        label = label_of(monologue.get("speaker"))
        speaker = names.get(label) or label
        words = [
            Word(
                _text(one.get("value")),
                moment(one.get("ts", one.get("timestamp"))),
                moment(one.get("end_ts", one.get("end_timestamp"))),
                speaker,
                index,
                one.get("type") == "punct",
            )
            for one in dicts(monologue.get("elements"))
        ]
        turns += turns_of_words(words)
    _numbered(parsed, file, turns)
    return parsed


def read_speechmatics(file: str, data: dict[str, Any]) -> Parsed:
    """Speechmatics: words, punctuation and changes of speaker in one list; "UU" is nobody known."""
    parsed = Parsed("Speechmatics")
    turns = []
    results = dicts(data["results"])
    for channel in dict.fromkeys(label_of(one.get("channel")) for one in results):
        words, change = [], 0
        for one in results:
            if label_of(one.get("channel")) != channel:
                continue
            change += one.get("type") in ("speaker_change", "channel_change")
            hypothesis = best(one)
            speaker = label_of(hypothesis.get("speaker"))
            if said := _text(hypothesis.get("content")):
                mark = one.get("type") == "punctuation"
                start, end = (None, None) if mark else (moment(one.get("start_time")), moment(one.get("end_time")))
                words.append(Word(said, start, end, None if speaker == "UU" else speaker, change or None, mark))
        if not any(word.speaker for word in words) and channel and not re.fullmatch(r"ch(annel)?_\d+", channel):
            words = [word._replace(speaker=channel) for word in words]
        numbered = re.fullmatch(r"ch(?:annel)?_(\d+)", channel or "")
        place = str(int(numbered[1]) - 1) if numbered and int(numbered[1]) > 0 else None  # they count from 1
        turns += turns_of_words(words, place)
    _numbered(parsed, file, turns)
    return parsed


def read_azure_batch(file: str, data: dict[str, Any]) -> Parsed:
    """Azure's batch transcription: phrases with offset and duration, in ticks of 100 ns and as ISO 8601."""
    return _azure(file, "Azure batch", dicts(data["recognizedPhrases"]))


def read_azure_sdk(file: str, data: Any) -> Parsed:
    """What Azure's Speech SDK hands over for each phrase, alone or as a list."""
    return _azure(file, "Azure Speech SDK", [data] if isinstance(data, dict) else dicts(data))


def _azure(file: str, form: str, phrases: list[dict[str, Any]]) -> Parsed:
    parsed = Parsed(form)
    turns = []
    for phrase in phrases:
        given = {name.lower(): value for name, value in phrase.items()}
        if str(given.get("recognitionstatus", "Success")) not in ("Success", "0"):
            continue
        hypothesis = {name.lower(): value for name, value in best(given, "nbest").items()}
        said = next((text for source in (hypothesis, given) for name in ("display", "displaytext", "text", "lexical")
                     if (text := _text(source.get(name)))), "")  # fmt: skip
        if not said.strip():
            continue
        start, length = (
            moment(given.get(f"{name}inticks"), TICK) if f"{name}inticks" in given else moment(given.get(name), TICK)
            for name in ("offset", "duration")
        )
        end = None if start is None or length is None else start + length
        speaker = label_of(given.get("speaker", given.get("speakerid")))
        turns.append(Turn(said, start, end, speaker, label_of(given.get("channel"))))
    _numbered(parsed, file, turns)
    return parsed


def read_video_indexer(file: str, data: dict[str, Any]) -> Parsed:
    """Azure Video Indexer: lines with the numbers of speakers and one or more instances in time."""
    parsed = Parsed("Azure Video Indexer")
    turns = []
    for video in dicts(data["videos"]):
        insights = given if isinstance(given := video.get("insights"), dict) else {}
        names = {one.get("id"): label_of(one.get("name")) for one in dicts(insights.get("speakers"))}
        for line in dicts(insights.get("transcript")):
            speaker = names.get(line.get("speakerId")) or label_of(line.get("speakerId"))
            for one in dicts(line.get("instances"))[:1]:
                turns.append(Turn(_text(line.get("text")), moment(one.get("start")), moment(one.get("end")), speaker))
    _numbered(parsed, file, turns)
    return parsed


def read_vosk(file: str, data: Any) -> Parsed:
    """Vosk: one object for each utterance, with its words; several of them one after the other or in a list."""
    parsed = Parsed("Vosk")
    turns: list[Turn] = []
    for one in [data] if isinstance(data, dict) else dicts(data):
        words = [
            Word(
                _text(word.get("word")),
                moment(word.get("start")),
                moment(word.get("end")),
                label_of(word.get("speaker")),
                0,
            )
            for word in dicts(one.get("result"))
        ]
        turns += turns_of_words(words)
    _numbered(parsed, file, turns)
    return parsed


def read_elevenlabs(file: str, data: dict[str, Any]) -> Parsed:
    """ElevenLabs: words, the blanks between them and sounds, for one channel or for each."""
    parsed = Parsed("ElevenLabs")
    turns = []
    parts = dicts(data.get("transcripts")) or [data]
    for part in parts:
        words = [
            Word(
                _text(one.get("text")),
                moment(one.get("start")),
                moment(one.get("end")),
                label_of(one.get("speaker_id")),
            )
            for one in dicts(part.get("words"))
            if one.get("type") != "audio_event"
        ]
        channel = label_of(part.get("channel_index")) if len(parts) > 1 else None
        turns += turns_of_words(words, channel)
    _numbered(parsed, file, turns)
    return parsed


def read_json3(file: str, data: dict[str, Any]) -> Parsed:
    """YouTube's json3: events of pieces; a line stays on the screen while the next is spoken."""
    parsed = Parsed("YouTube json3")
    turns: list[Turn] = []
    for event in dicts(data["events"]):
        text = " ".join("".join(_text(piece.get("utf8")) for piece in dicts(event.get("segs"))).split())
        start, length = moment(event.get("tStartMs"), MILLI), moment(event.get("dDurationMs"), MILLI)
        if not text or start is None:
            continue
        if turns and turns[-1].end is not None and turns[-1].end > start:
            turns[-1] = turns[-1]._replace(end=start)
        turns.append(Turn(text, start, None if length is None else start + length))
    _numbered(parsed, file, turns)
    return parsed


def read_funasr(file: str, data: Any) -> Parsed:
    """FunASR without sentences: a text, and a time for each word or character in milliseconds."""
    parsed = Parsed("FunASR")
    turns: list[Turn] = []
    for one in [data] if isinstance(data, dict) else dicts(data):
        times = [pair for pair in one.get("timestamp") or [] if isinstance(pair, list) and len(pair) == 2]
        said = re.findall(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_]+(?:['’-][^\W_]+)*|[^\w\s]", _text(one.get("text")))
        words, left = [], iter(times)
        for token in said:
            mark = not token[0].isalnum()
            start, end = (None, None) if mark else (moment(time, MILLI) for time in next(left, (None, None)))
            words.append(Word(token, start, end, None, None, mark))
        turns += turns_of_words(words)
    _numbered(parsed, file, turns)
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
        said = _text(one.get("name"))
        words.append(Word(said, start, end, speaker, None, bool(said) and not any(map(str.isalnum, said))))
    _numbered(parsed, file, turns_of_words(words))
    return parsed


def read_soniox(file: str, data: dict[str, Any]) -> Parsed:
    """Soniox: pieces of words in milliseconds, each with the blank before it."""
    parsed = Parsed("Soniox")
    words = [
        Word(
            _text(one.get("text")),
            moment(one.get("start_ms"), MILLI),
            moment(one.get("end_ms"), MILLI),
            label_of(one.get("speaker")),
        )
        for one in dicts(data["tokens"])
        if one.get("translation_status") != "translation"
    ]
    _numbered(parsed, file, turns_of_words(words))
    return parsed
