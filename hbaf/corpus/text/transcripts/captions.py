"""WebVTT, SRT and SBV: timed captions -> turns, with the speaker where a voice tag or a prefix names one.

One cue is one utterance. WebVTT: https://www.w3.org/TR/webvtt1/ (voice spans `<v Name>`); SRT and SBV have no standard.
"""

import html
import itertools
import math
import re
from collections.abc import Iterable, Iterator

from hbaf.corpus.text.manifest_values import BadRow, seconds, shown
from hbaf.corpus.text.transcripts.parsed import Parsed, SetAside, Turn
from hbaf.corpus.text.transcripts.rolling import Cue, unrolled
from hbaf.corpus.text.transcripts.speakers import split_speakers

_TIME = r"(?:\d+ ?: ?)?\d{1,2} ?: ?\d{2}(?: ?[.,:;] ?\d{1,9})?"
_ARROW = r"(?:-{1,3} ?>|[–—]>?|[→⟶])"
_TIMING = re.compile(rf"\s*({_TIME})\s*{_ARROW}\s*({_TIME})(?:\s.*)?")
_SBV = re.compile(r"(\d+:\d{2}:\d{2}\.\d{1,3}),(\d+:\d{2}:\d{2}\.\d{1,3})\s*")
# No part of these can run on beyond the next bracket, so that hostile text costs no more time than other text.
_VOICE = re.compile(r"<v(?:\.[^\s<>]*)?[ \t]([^<>]*)>")
_MARKUP = re.compile(r"</?(?:v|c|i|b|u|s|ruby|rt|lang|font)(?:[.\s][^<>]*)?>|<\d[\d:.]*>|\{\\[^{}]*\}", re.IGNORECASE)
_NOT_CUES = ("WEBVTT", "NOTE", "STYLE", "REGION")  # how the other blocks of a WebVTT file begin
_NAME_BESIDE_NUMBER = re.compile(r'\d+ "([^"]{1,60})"(?: \(\d+\))?')  # how Webex begins a cue


def are_captions(text: str) -> bool:
    """Whether this is WebVTT, SRT or SBV, by its content."""
    if text.startswith("WEBVTT") or "-->" in text:
        return True
    return any(_time_of(line) for line in text.split("\n", 20)[:20])


def read_captions(file: str, text: str) -> Parsed:
    """The cues of a WebVTT, SRT or SBV file; what one holds decides, not the suffix.

    A cue with several voices becomes one row per voice. They share the cue's times, so their audio is marked. Of cues
    that roll only what is new counts.

    Args:
        file: name for the messages.
    """
    text = text.lstrip("\ufeff")
    is_webvtt = text.startswith("WEBVTT")
    parsed = Parsed("WebVTT" if is_webvtt else "SRT" if "-->" in text else "captions")
    lines = re.split(r"\r\n|\r|\n", text)
    cues = list(_cues(file, lines, is_webvtt, parsed.set_aside))
    add_cues(parsed, cues)
    return parsed


def add_cues(parsed: Parsed, cues: list[Cue]) -> None:
    """Turns of cues that may still have voice tags, markup, repeats and names among their words."""
    if any("<v" in line for cue in cues for line in cue.lines):
        voices: list[list[tuple[str, str]]] = [_voices(cue.lines) for cue in cues]
    else:
        cues = [_with_lines(cue, (without_markup(line) for line in cue.lines)) for cue in cues]
        total = len(cues)
        cues, repeats = unrolled(cues)
        if repeats:
            parsed.notes.append(f"{repeats} of {total} cues repeat the one before (they roll); only what is new counts")
        voices = split_speakers([list(cue.lines) for cue in cues])
    for cue, said in zip(cues, voices, strict=True):
        problem = f"{len(said)} people speak in this cue, and it has one time for all" if len(said) > 1 else None
        for speaker, words in said:
            end = cue.end if math.isfinite(cue.end) else None
            parsed.add(cue.where, Turn(words, cue.start, end, speaker or cue.speaker or None, None, problem))


def without_markup(text: str) -> str:
    """Words as people read them: without tags and styles, entities as characters."""
    return html.unescape(_MARKUP.sub("", text)).strip()


def _with_lines(cue: Cue, lines: Iterable[str]) -> Cue:
    return Cue(cue.where, cue.start, cue.end, tuple(line for line in lines if line), cue.speaker)


def _cues(file: str, lines: list[str], is_webvtt: bool, set_aside: list[SetAside]) -> Iterator[Cue]:
    timed = [number for number, line in enumerate(lines) if _time_of(line) or "-->" in line]
    bounds = [-1, *timed, len(lines)]
    name = ""  # beside the number of the cue that comes next
    for at, following in itertools.pairwise(bounds):
        blocks = _blocks(lines, at + 1, following, is_webvtt)
        own = blocks.pop(0)[1] if at >= 0 and blocks and blocks[0][0] == at + 1 else []
        before_next = blocks[-1][1] if blocks else own
        speaker, name = name, ""
        if following < len(lines) and before_next and _is_next_to(blocks, following, own, at):
            beside = _NAME_BESIDE_NUMBER.fullmatch(before_next[-1].strip())
            name = beside[1] if beside else ""
            if blocks or beside or before_next[-1].strip().isdecimal():
                before_next.pop()
        for number, block in blocks:
            if not block or (is_webvtt and block[0].startswith(_NOT_CUES)):
                continue
            if is_webvtt or at < 0:
                set_aside.append((f"{file}:{number + 1}", "text without a time", shown(block[0])))
            else:
                own += block  # an empty line among the words
        if at >= 0:
            times = _time_of(lines[at])
            if times is None:
                set_aside.append((f"{file}:{at + 1}", "time is not understood", shown(lines[at])))
            else:
                yield Cue(f"{file}:{at + 1}", *times, tuple(line for line in own if line.strip()), speaker)


def _is_next_to(blocks: list[tuple[int, list[str]]], following: int, own: list[str], at: int) -> bool:
    """Whether the last block runs up to the next time line, so that its last line belongs to the next cue."""
    first, block = blocks[-1] if blocks else (at + 1, own)
    # A blank line between a number and its time occurs.
    return first + len(block) == following or (bool(blocks) and len(block) == 1 and block[0].strip().isdecimal())


def _blocks(lines: list[str], first: int, last: int, is_webvtt: bool) -> list[tuple[int, list[str]]]:
    """(index of its first line, lines) of each run of lines between blank ones.

    In WebVTT a line of spaces is part of the cue, unless the file has no other blank lines there.
    """
    strict = is_webvtt and any(not line for line in lines[first:last])
    blocks: list[tuple[int, list[str]]] = []
    open_ = False
    for number in range(first, last):
        line = lines[number]
        if not line or not (strict or line.strip()):
            open_ = False
        elif open_:
            blocks[-1][1].append(line)
        else:
            blocks.append((number, [line]))
            open_ = True
    return blocks


def _time_of(line: str) -> tuple[float, float] | None:
    match = _TIMING.fullmatch(line[:200]) or _SBV.fullmatch(line[:40])
    try:
        return (_moment(match[1]), _moment(match[2])) if match else None
    except BadRow:
        return None


def _moment(text: str) -> float:
    """`00:00:01,500`, and as translating programs leave it: `00: 00: 01, 500` or `00:00:01:500`."""
    text = text.replace(" ", "").replace(";", ":")
    if text.count(":") == 3 and len(text.rpartition(":")[2]) > 2:
        text = ".".join(text.rsplit(":", 1))
    return seconds(text) or 0.0


def _voices(lines: tuple[str, ...]) -> list[tuple[str, str]]:
    """(speaker, words) of the voices of one cue; a voice like "-" marks a change and names nobody."""
    pieces = _VOICE.split(" ".join(lines))  # [before, name, said, name, said ...]
    said: dict[str, str] = {}
    for speaker, words in [("", pieces[0]), *zip(pieces[1::2], pieces[2::2], strict=True)]:
        words = without_markup(words)
        speaker = html.unescape(speaker).strip()
        speaker = speaker if any(letter.isalnum() for letter in speaker) else ""
        if words:
            said[speaker] = f"{said[speaker]} {words}" if speaker in said else words
    return list(said.items()) or [("", "")]
