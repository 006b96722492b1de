"""Entries of JSON with words and times, under whatever names a recogniser gives them -> turns.

Most recognisers write a list of such entries and differ in names and units: `start`, `startTime`, `offset_ms`,
`timestamp: [0.4, 1.3]`, seconds, milliseconds, ticks of 100 ns, `"1.3s"`, `"PT1.3S"`.
"""

import functools
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from hbaf.corpus.text.manifest import as_text
from hbaf.corpus.text.manifest_columns import plain
from hbaf.corpus.text.manifest_values import NO_VALUE, BadRow, seconds, shown
from hbaf.corpus.text.recognisers.words import Word, is_one_word, join_words, turns_of_words
from hbaf.corpus.text.transcripts.parsed import Parsed, Turn

MILLI, TICK = 1e-3, 1e-7  # seconds
# Names without case and punctuation, the most telling first; a unit in seconds, None where the name does not tell it.
_TEXTS = (
    "punctuatedword", "text", "sentence", "transcript", "displaytext", "display", "content", "word", "utterance",
    "body", "segment", "spokentext", "rawtext", "transcription", "caption", "lines",
)  # fmt: skip
_STARTS: dict[str, float | None] = {
    "start": None, "starttime": None, "startoffset": None, "begin": None, "begintime": None, "from": None, "ts": 1.0,
    "startms": MILLI, "starttimems": MILLI, "startmilliseconds": MILLI, "offsetmilliseconds": MILLI, "beginms": MILLI,
    "beginoffsetmillis": MILLI, "offsetms": MILLI, "startsec": 1.0, "startseconds": 1.0, "starttimeseconds": 1.0,
    "offsetinticks": TICK, "startticks": TICK, "offset": None, "onset": None, "starttimestamp": None, "datastart": None,
    "time": None, "xmin": 1.0, "tmin": 1.0,
}  # fmt: skip
_ENDS: dict[str, float | None] = {
    "end": None, "endtime": None, "endoffset": None, "stop": None, "to": None, "endts": 1.0, "endms": MILLI,
    "endtimems": MILLI, "endmilliseconds": MILLI, "endoffsetmillis": MILLI, "endsec": 1.0, "endseconds": 1.0,
    "endtimeseconds": 1.0, "endticks": TICK, "endtimestamp": None, "dataend": None, "xmax": 1.0, "tmax": 1.0,
}  # fmt: skip
_DURATIONS: dict[str, float | None] = {
    "duration": None, "dur": None, "durationms": MILLI, "durationmilliseconds": MILLI, "durationinticks": TICK,
    "durationseconds": 1.0,
}  # fmt: skip
_PAIRS: dict[str, float | None] = {
    "offsets": MILLI, "timestamp": None, "timestamps": None, "time": None, "interval": None, "span": None,
}  # fmt: skip
_SPEAKERS = (
    "speaker", "speakername", "speakerid", "speakerlabel", "speakertag", "spk", "participantrole", "participant",
    "spkid", "user", "username",
)  # fmt: skip
_CHANNELS = ("channel", "channelindex", "channelid", "channeltag")


_plain = functools.lru_cache(maxsize=4096)(plain)  # the same few names in each of many entries


class Entry(NamedTuple):
    """What an entry tells; times in seconds, or in a unit that the list as a whole tells where `unitless`."""

    text: str | None
    start: float | None
    end: float | None
    speaker: str | None
    channel: str | None
    words: tuple["Entry", ...]
    unitless: bool


def read_entry(data: dict[str, Any], *, nested: bool = True) -> Entry:
    """The words, times and labels of one entry."""
    names = {_plain(name): value for name, value in reversed(data.items())}
    text = next((said for name in _TEXTS if name in names and (said := _said(names[name])) is not None), None)
    (start, exact), (end, also_exact) = _first(names, _STARTS), _first(names, _ENDS)
    exact = exact or also_exact
    for name, unit in _PAIRS.items():
        if start is None and end is None and name in names and (span := _span(names[name])) is not None:
            (start, exact), (end, also_exact) = _moment(span[0], unit), _moment(span[1], unit)
            exact = exact or also_exact
    if end is None and start is not None:
        duration, known = _first(names, _DURATIONS)
        end, exact = (None if duration is None else start + duration), exact or known
    speaker, channel = _label(names, _SPEAKERS), _label(names, _CHANNELS)
    inner = data.get("words") or data.get("timestamps") if nested else None
    inner = inner if isinstance(inner, list) else []
    words = tuple(read_entry(one, nested=False) for one in inner if isinstance(one, dict))
    if text is None and any(word.text for word in words):
        text = join_words([word.text or "" for word in words])
    return Entry(text, start, end, speaker, channel, words, not exact)


def is_entry(data: Any) -> bool:
    """Whether something has words."""
    return isinstance(data, dict) and read_entry(data).text is not None


def has_times(entries: Iterable[Any]) -> bool:
    """Whether one of them has words and a time, or words that have."""
    for one in entries:
        entry = read_entry(one) if isinstance(one, dict) else None
        if entry and entry.text is not None and any(part.start is not None for part in (entry, *entry.words)):
            return True
    return False


def add_entries(
    parsed: Parsed, file: str, entries: Sequence[Any], unit: float | None = None, *, are_words: bool = False
) -> None:
    """Adds the turns of a list of entries; single words are put together, two speakers in one entry taken apart.

    Args:
        file: name for the messages; an entry's number from 1 follows it.
        unit: of times whose name does not tell it, in seconds; None: as fast as people speak.
        are_words: single ones for certain; otherwise the entries themselves tell.
    """
    read: list[tuple[str, Entry]] = []
    for index, one in enumerate(entries, start=1):
        entry = read_entry(one) if isinstance(one, dict) else None
        if entry is None or entry.text is None:
            parsed.set_aside.append((f"{file}:{index}", "segment without text", shown(repr(one))))
        else:
            read.append((f"{file}:{index}", entry))
    scale = unit or _unit([entry for _, entry in read])
    read = [(where, _scaled(entry, scale)) for where, entry in read]
    if are_words or _are_words([entry for _, entry in read]):
        channels = dict.fromkeys(entry.channel for _, entry in read)
        turns = []
        for channel in channels:
            turns += turns_of_words([_word(entry) for _, entry in read if entry.channel == channel], channel)
        turns.sort(key=lambda turn: turn.start or 0.0)
        for index, turn in enumerate(turns, start=1):
            parsed.add(f"{file}:{index}", turn)
        return
    for where, entry in read:
        for turn in _turns(entry):
            parsed.add(where, turn)


def _label(names: dict[str, Any], known: tuple[str, ...]) -> str | None:
    return next((label for name in known if name in names and (label := label_of(names[name])) is not None), None)


def label_of(value: Any) -> str | None:
    """A speaker or channel as text; None where it says that nobody is known."""
    if isinstance(value, dict):
        return next((label for key in ("name", "label", "id") if (label := label_of(value.get(key)))), None)
    if isinstance(value, list | bool) or value is None:
        return None
    text = value.strip() if isinstance(value, str) else (as_text(value) or "").strip()
    return None if text.lower() in NO_VALUE else text


def moment(value: Any, unit: float | None = None) -> float | None:
    """Seconds out of a number, `"1.3s"`, `"PT1.3S"`, `"00:00:01,3"` or `{"seconds": 1, "nanos": 300000000}`."""
    return _moment(value, unit)[0]


def _moment(value: Any, unit: float | None) -> tuple[float | None, bool]:
    """(time or None, whether it is in seconds for certain)."""
    if isinstance(value, dict):
        if "relative" in value:
            return _moment(value["relative"], 1.0)
        if {"seconds", "nanos"} & set(value):
            return _number(value.get("seconds") or 0, 1.0) + _number(value.get("nanos") or 0, 1e-9), True
        return None, False
    if isinstance(value, str):
        try:
            return float(value) * (unit or 1.0), unit is not None
        except ValueError:
            try:
                return seconds(value.strip()), True
            except BadRow:
                return None, False
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return value * (unit or 1.0), unit is not None
    return None, False


def _number(value: Any, unit: float) -> float:
    return _moment(value, unit)[0] or 0.0


def _first(names: dict[str, Any], known: dict[str, float | None]) -> tuple[float | None, bool]:
    for name, unit in known.items():
        if name in names:
            found, exact = _moment(names[name], unit)
            if found is not None and math.isfinite(found):
                return found, exact
    return None, False


def _span(value: Any) -> tuple[Any, Any] | None:
    """Start and end out of `[0.4, 1.3]` or `{"from": 400, "to": 1300}`."""
    if isinstance(value, dict) and {"from", "to", "start", "end"} & set(value):
        return value.get("from", value.get("start")), value.get("to", value.get("end"))
    return (value[0], value[1]) if isinstance(value, list) and len(value) == 2 else None


def _said(value: Any) -> str | None:
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        return " ".join(value)
    return value if isinstance(value, str) else None


def _unit(entries: list[Entry]) -> float:
    """The unit of times without one, by how fast people speak: one to five words a second."""
    said, lasted = 0.0, 0.0
    for entry in entries:
        if entry.unitless and entry.text and entry.start is not None and entry.end is not None:
            said += max(len(entry.text.split()), sum(letter > "\u2e80" for letter in entry.text) / 2)
            lasted += entry.end - entry.start
    if said <= 0 or lasted <= 0 or said / lasted > 0.05:
        return 1.0
    return next(
        unit for unit, least in ((MILLI, 5e-5), (1e-6, 1e-6), (TICK, 5e-8), (1e-9, 0.0)) if said / lasted > least
    )


def _scaled(entry: Entry, unit: float) -> Entry:
    words = tuple(_scaled(word, unit) for word in entry.words)
    if not entry.unitless or unit == 1.0:
        return entry._replace(words=words)
    start, end = (None if time is None else time * unit for time in (entry.start, entry.end))
    return entry._replace(start=start, end=end, words=words)


def _are_words(entries: list[Entry]) -> bool:
    """Whether a list is one of words: nearly all are single ones, one soon after the other."""
    if len(entries) < 5 or 10 * sum(is_one_word(entry.text or " ") for entry in entries) < 9 * len(entries):
        return False
    gaps = [
        after.start - before.end
        for before, after in itertools.pairwise(entries)
        if after.start is not None and before.end is not None
    ]
    return not gaps or sum(gap < 0.6 for gap in gaps) > 0.6 * len(gaps)


def _word(entry: Entry) -> Word:
    return Word(entry.text or "", entry.start, entry.end, entry.speaker)


def _turns(entry: Entry) -> list[Turn]:
    """One turn, or one for each stretch of a speaker where the words of an entry are by several."""
    words = [_word(word) for word in entry.words]
    if len({word.speaker for word in words if word.speaker}) > 1:
        return turns_of_words(words, entry.channel, pauses=False)
    starts = [word.start for word in words if word.start is not None]
    ends = [word.end for word in words if word.end is not None]
    start = entry.start if entry.start is not None else next(iter(starts), None)
    end = entry.end if entry.end is not None else next(reversed(ends), None)
    speaker = entry.speaker or next((word.speaker for word in words if word.speaker), None)
    return [Turn((entry.text or "").strip(), start, end, speaker, entry.channel)]
