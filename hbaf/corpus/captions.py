"""WebVTT and SRT: timed captions -> rows, with the speaker where a voice tag or a prefix names one.

One cue is one utterance. WebVTT: https://www.w3.org/TR/webvtt1/ (voice spans `<v Name>`); SRT has no standard.
"""

import html
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from hbaf.corpus.manifest import Row
from hbaf.corpus.manifest_values import shown

SetAside = tuple[str, str, str]  # where, rule, found

_TIME = r"(?:\d+:)?\d{1,2}:\d{2}(?:[.,]\d{1,6})?"
_TIMING = re.compile(rf"\s*({_TIME})\s*-->\s*({_TIME})(?:\s.*)?")
# No part of these can run on beyond the next bracket, so that hostile text costs no more time than other text.
_VOICE = re.compile(r"<v(?:\.[^\s<>]*)?[ \t]([^<>]*)>")
_MARKUP = re.compile(r"</?(?:v|c|i|b|u|ruby|rt|lang|font)(?:[.\s][^<>]*)?>|<\d[\d:.]*>|\{\\[^{}]*\}", re.IGNORECASE)
_PREFIX = re.compile(
    r"(?:[-–]\s*)?(?:\[(?P<bracketed>[^\]\n]{1,40})\]|(?P<plain>[^\W\d_][^:\n\[\]<>]{0,39})):\s+(?P<said>\S.*)",
    re.DOTALL,
)
_NOT_CUES = ("WEBVTT", "NOTE", "STYLE", "REGION")  # how the other blocks of a WebVTT file begin
_MOST_WORDS_OF_A_NAME = 4


def read_captions(file: str, text: str) -> tuple[list[Row], list[SetAside]]:
    """The cues of a WebVTT or SRT file; what one holds decides, not the suffix.

    A cue with several voices becomes one row per voice. They share the cue's times, so their audio is marked.

    Args:
        file: name for the messages.

    Returns:
        Rows with `speaker` (may be empty), `text`, `start` and `end` as written, and the blocks that are no cues.
    """
    rows: list[Row] = []
    set_aside: list[SetAside] = []
    is_webvtt = text.lstrip("\ufeff").startswith("WEBVTT")
    for line, block in _blocks(text):
        timing = next((index for index, content in enumerate(block) if "-->" in content), None)
        if timing is None:
            if not (is_webvtt and block[0].startswith(_NOT_CUES)):
                set_aside.append((f"{file}:{line}", "text without a time", shown(block[0])))
            continue
        where = f"{file}:{line + timing}"
        times = _TIMING.fullmatch(block[timing])
        if times is None:
            set_aside.append((where, "time is not understood", shown(block[timing])))
            continue
        rows += _voices(where, times[1], times[2], " ".join(block[timing + 1 :]))
    if not any(row.values["speaker"] for row in rows):
        rows = _with_prefixes_as_speakers(rows)
    return rows, set_aside


def _blocks(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yields (line number from 1, lines) of each run of lines between blank ones; a second time begins a new block."""
    block: list[str] = []
    for number, line in enumerate([*re.split(r"\r\n|\r|\n", text), ""], start=1):
        again = "-->" in line and any("-->" in earlier for earlier in block)
        if block and (again or not line.strip()):
            counted = again and block[-1].strip().isdecimal()  # the number of the next cue
            kept = block[:-1] if counted else block
            yield number - len(block), kept
            block = []
        if line.strip():
            block.append(line)


def _voices(where: str, start: str, end: str, payload: str) -> list[Row]:
    pieces = _VOICE.split(payload)  # [before, name, said, name, said ...]
    said: dict[str, str] = {}
    for speaker, words in [("", pieces[0]), *zip(pieces[1::2], pieces[2::2], strict=True)]:
        words = html.unescape(_MARKUP.sub("", words)).strip()
        speaker = html.unescape(speaker).strip()
        if words:
            said[speaker] = f"{said[speaker]} {words}" if speaker in said else words
    problem = f"{len(said)} people speak in this cue, and it has one time for all" if len(said) > 1 else None
    return [
        Row(where, {"speaker": speaker, "text": words, "start": start, "end": end}, problem)
        for speaker, words in (said or {"": ""}).items()
    ]


def _with_prefixes_as_speakers(rows: list[Row]) -> list[Row]:
    """Takes "Name: words" apart where a file tells in that way who speaks; a cue without a name goes on from the last.

    It is so if half of the cues have a name, or the first one has and the names come back. A single "Note: ..." among
    ordinary captions stays text.
    """
    found = [_PREFIX.fullmatch(row.values["text"] or "") for row in rows]
    names = [_name(match) for match in found]
    used = Counter(name for name in names if name)
    total = sum(used.values())
    if not total or (2 * total < len(rows) and not (names[0] and total >= 2 * len(used))):
        return rows
    taken_apart, speaker = [], ""
    for row, match, name in zip(rows, found, names, strict=True):
        words = row.values["text"]
        if match is not None and name:
            speaker, words = name, match["said"]
        taken_apart.append(replace(row, values={**row.values, "speaker": speaker, "text": words}))
    return taken_apart


def _name(match: re.Match[str] | None) -> str:
    name = (match["bracketed"] or match["plain"]).strip() if match else ""
    return name if len(name.split()) <= _MOST_WORDS_OF_A_NAME else ""
