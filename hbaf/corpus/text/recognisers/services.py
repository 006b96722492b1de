"""Cloud services whose JSON is no plain list of entries: AWS, Deepgram, Google, IBM Watson, Rev.ai, Speechmatics."""

import re
from collections.abc import Iterator
from typing import Any

from hbaf.corpus.text.recognisers.entries import label_of, moment
from hbaf.corpus.text.recognisers.pieces import add_in_order, best, dicts, words_of
from hbaf.corpus.text.recognisers.words import Word, turns_of_words
from hbaf.corpus.text.transcripts.parsed import Parsed, Turn


def read_aws(file: str, data: dict[str, Any]) -> Parsed:
    """AWS Transcribe: single words, with labels of speakers or channels beside them."""
    results, parsed = data["results"], Parsed("AWS Transcribe")
    segments = _aws_segments(results.get("speaker_labels"))
    turns = []
    for channel, items in _aws_channels(results):
        words: list[Word] = []
        for item in dicts(items):
            found = segments.get(str(item.get("start_time")))
            said, mark = words_of(best(item).get("content")), item.get("type") == "punctuation"
            segment: object = found[0] if found and not mark else None
            speaker = found[1] if found and not mark else None
            if mark and words:
                segment = words[-1].segment
            speaker = label_of(item.get("speaker_label")) or speaker
            words.append(
                Word(said, moment(item.get("start_time")), moment(item.get("end_time")), speaker, segment, mark)
            )
        turns += turns_of_words(words, channel)
    add_in_order(parsed, file, turns)
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
                Turn(words_of(one.get("transcript")), moment(one.get("start")), moment(one.get("end")), speaker, name)
            )
        words = _deepgram_words(best(channel))
        if not own and (words or not words_of(best(channel).get("transcript"))):
            turns += turns_of_words(words, name)
        elif not own:
            turns.append(Turn(words_of(best(channel).get("transcript")), channel=name))
    add_in_order(parsed, file, turns)
    return parsed


def _deepgram_words(data: dict[str, Any]) -> list[Word]:
    return [
        Word(
            words_of(word.get("punctuated_word") or word.get("word")),
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
        elif text := words_of(hypothesis.get("transcript")).strip():
            turns.append(Turn(text, ended.get(channel, 0.0) if end is not None else None, end, None, channel))
        ended[channel] = end if end is not None else ended.get(channel, 0.0)
    add_in_order(parsed, file, turns)
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
    return Word(words_of(word.get("word")), times[0], times[1], _google_speaker(word), index)


def read_watson(file: str, data: dict[str, Any]) -> Parsed:
    """IBM Watson: words as [word, start, end], and who began to speak when in a list of its own."""
    parsed = Parsed("IBM Watson")
    labels = {moment(one.get("from")): label_of(one.get("speaker")) for one in dicts(data.get("speaker_labels"))}
    turns = []
    for index, result in enumerate(dicts(data["results"])):
        times = [one for one in best(result).get("timestamps") or [] if isinstance(one, list) and len(one) == 3]
        words = [Word(str(said), moment(a), moment(b), labels.get(moment(a)), index) for said, a, b in times]
        turns += turns_of_words([word for word in words if word.text != "%HESITATION"])
    add_in_order(parsed, file, turns)
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
                words_of(one.get("value")),
                moment(one.get("ts", one.get("timestamp"))),
                moment(one.get("end_ts", one.get("end_timestamp"))),
                speaker,
                index,
                one.get("type") == "punct",
            )
            for one in dicts(monologue.get("elements"))
        ]
        turns += turns_of_words(words)
    add_in_order(parsed, file, turns)
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
            if said := words_of(hypothesis.get("content")):
                mark = one.get("type") == "punctuation"
                start, end = (None, None) if mark else (moment(one.get("start_time")), moment(one.get("end_time")))
                words.append(Word(said, start, end, None if speaker == "UU" else speaker, change or None, mark))
        if not any(word.speaker for word in words) and channel and not re.fullmatch(r"ch(annel)?_\d+", channel):
            words = [word._replace(speaker=channel) for word in words]
        numbered = re.fullmatch(r"ch(?:annel)?_(\d+)", channel or "")
        place = str(int(numbered[1]) - 1) if numbered and int(numbered[1]) > 0 else None  # they count from 1
        turns += turns_of_words(words, place)
    add_in_order(parsed, file, turns)
    return parsed
