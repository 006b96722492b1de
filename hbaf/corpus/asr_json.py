"""What speech recognisers write as JSON -> rows: Whisper and its kin, and AWS Transcribe.

Whisper: `segments` of text, start and end in seconds, with `speaker` where a diarisation was joined to it; whisper.cpp
names them `transcription`. AWS Transcribe: single words with times, speaker labels or channel labels.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from hbaf.corpus.captions import SetAside
from hbaf.corpus.manifest import Row, as_text
from hbaf.corpus.manifest_values import number, shown

PAUSE = 1.0  # seconds between two words of one person after which a new turn begins
_SENTENCE_END = (".", "?", "!", "。", "？", "！")


def read_asr_json(file: str, data: Any) -> tuple[list[Row], list[SetAside]] | None:
    """The turns of a recogniser's output; None where the data is no such output.

    Args:
        file: name for the messages; a turn's number from 1 follows it.
        data: what `json.loads` gave.

    Returns:
        Rows with `speaker`, `channel`, `text`, `start`, `end`, and the segments that cannot be read.
    """
    if isinstance(data, list):
        data = {"segments": data}
    if not isinstance(data, dict):
        return None
    results = data.get("results")
    if isinstance(results, dict) and isinstance(results.get("items"), list):
        return _read_aws(file, results)
    if _is_list_of_texts(data.get("segments")):
        return _read_segments(file, data["segments"], _whisper_times)
    if _is_list_of_texts(data.get("transcription")):
        return _read_segments(file, data["transcription"], _whisper_cpp_times)
    return None


def _is_list_of_texts(segments: Any) -> bool:
    return isinstance(segments, list) and any(isinstance(one, dict) and "text" in one for one in segments)


def _read_segments(
    file: str, segments: list[Any], times: Callable[[dict[str, Any]], tuple[Any, Any]]
) -> tuple[list[Row], list[SetAside]]:
    rows: list[Row] = []
    set_aside: list[SetAside] = []
    for index, segment in enumerate(segments, start=1):
        where = f"{file}:{index}"
        if not isinstance(segment, dict) or not isinstance(segment.get("text"), str):
            set_aside.append((where, "segment without text", shown(repr(segment))))
            continue
        start, end = times(segment)
        values = {
            "speaker": as_text(segment.get("speaker")),
            "channel": as_text(segment.get("channel")),
            "text": segment["text"],
            "start": as_text(start),
            "end": as_text(end),
        }
        rows.append(Row(where, values))
    return rows, set_aside


def _whisper_times(segment: dict[str, Any]) -> tuple[Any, Any]:
    return segment.get("start"), segment.get("end")


def _whisper_cpp_times(segment: dict[str, Any]) -> tuple[Any, Any]:
    offsets = segment.get("offsets")
    found = [offsets.get(name) if isinstance(offsets, dict) else None for name in ("from", "to")]
    start, end = (time / 1000 if isinstance(time, int | float) else None for time in found)  # milliseconds
    return start, end


class _Word:
    """A word of AWS Transcribe: what was said, when (seconds), by whom; `segment` is the turn that AWS put it into."""

    def __init__(self, item: dict[str, Any], segments: dict[str, tuple[int, str]]) -> None:
        self.start_text, self.end_text = as_text(item.get("start_time")), as_text(item.get("end_time"))
        self.start, self.end = number(self.start_text or ""), number(self.end_text or "")
        told = segments.get(self.start_text or "")
        self.segment = told[0] if told else None
        self.speaker = as_text(item.get("speaker_label")) or (told[1] if told else None)
        alternatives = item.get("alternatives")
        best = alternatives[0] if isinstance(alternatives, list) and alternatives else {}
        self.said = (as_text(best.get("content")) or "") if isinstance(best, dict) else ""
        self.is_punctuation = item.get("type") == "punctuation"


def _read_aws(file: str, results: dict[str, Any]) -> tuple[list[Row], list[SetAside]]:
    segments = _aws_segments(results.get("speaker_labels"))
    turns: list[tuple[float, dict[str, str | None]]] = []
    for channel, items in _aws_channels(results):
        words = [_Word(item, segments) for item in items if isinstance(item, dict)]
        has_speakers = any(word.speaker for word in words)
        for turn in _aws_turns(words, by_sentence=channel is None and not has_speakers):
            text = turn[0].said + "".join(word.said if word.is_punctuation else f" {word.said}" for word in turn[1:])
            timed = [word for word in turn if word.start is not None]
            values = {
                "speaker": turn[0].speaker,
                "channel": channel,
                "text": text,
                "start": timed[0].start_text if timed else None,
                "end": timed[-1].end_text if timed else None,
            }
            turns.append((timed[0].start or 0.0 if timed else 0.0, values))
    turns.sort(key=lambda turn: turn[0])
    return [Row(f"{file}:{index}", values) for index, (_, values) in enumerate(turns, start=1)], []


def _aws_segments(labels: Any) -> dict[str, tuple[int, str]]:
    """Start time of a word as written -> (number of the turn, speaker)."""
    found: dict[str, tuple[int, str]] = {}
    segments = labels.get("segments") if isinstance(labels, dict) else None
    for index, segment in enumerate(segments if isinstance(segments, list) else []):
        items = segment.get("items") if isinstance(segment, dict) else None
        for item in items if isinstance(items, list) else []:
            if isinstance(item, dict):
                found[str(item.get("start_time"))] = (index, str(segment.get("speaker_label") or ""))
    return found


def _aws_channels(results: dict[str, Any]) -> Iterator[tuple[str | None, list[Any]]]:
    labels = results.get("channel_labels")
    channels = labels.get("channels") if isinstance(labels, dict) else None
    if not isinstance(channels, list) or not channels:
        yield None, results["items"]
        return
    for one in channels:
        if isinstance(one, dict) and isinstance(one.get("items"), list):
            name = str(one.get("channel_label"))
            numbered = re.fullmatch(r"ch_(\d+)", name)
            yield (numbered[1] if numbered else name), one["items"]


def _aws_turns(words: list[_Word], *, by_sentence: bool) -> Iterator[list[_Word]]:
    turn: list[_Word] = []
    for word in words:
        if turn and not word.is_punctuation and _begins_a_turn(turn, word, by_sentence):
            yield turn
            turn = []
        turn.append(word)
    if turn:
        yield turn


def _begins_a_turn(turn: list[_Word], word: _Word, by_sentence: bool) -> bool:
    last = next((earlier for earlier in reversed(turn) if not earlier.is_punctuation), turn[-1])
    if word.speaker != last.speaker or word.segment != last.segment:
        return True
    if by_sentence and turn[-1].said.endswith(_SENTENCE_END):
        return True
    return word.start is not None and last.end is not None and word.start - last.end > PAUSE
