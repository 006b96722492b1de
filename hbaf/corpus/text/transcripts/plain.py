"""Text with times in it, as people and programs write it without a format -> turns.

`[00:00.400 --> 00:02.245] words` (Whisper's terminal), `0.40<tab>2.25<tab>words` (Audacity's labels),
`[00:01] Ann: words` (LRC, Descript, Trint), and `Ann  0:01` above the words (Otter, Teams, Zoom, Rev).
"""

import itertools
import re

from hbaf.corpus.text.manifest_values import BadRow, seconds
from hbaf.corpus.text.transcripts.captions import add_cues
from hbaf.corpus.text.transcripts.parsed import Parsed
from hbaf.corpus.text.transcripts.rolling import Cue

_CLOCK = r"\d{1,3}:\d{2}(?::\d{2})?(?:[.,]\d{1,6})?"
_RANGE = re.compile(
    rf"\s*[\[(]?\s*({_CLOCK}|\d+(?:\.\d+)?)s?\s*(?:-{{1,2}}>|[–→]|\t|-(?=[\d ]))\s*"
    rf"({_CLOCK}|\d+(?:\.\d+)?)s?\s*[\])]?(?:[:\t]|\s+|$)(.*)"
)
_START = re.compile(rf"\s*(?:\[({_CLOCK})\]|\(({_CLOCK})\)|({_CLOCK}))(?:\s*[-–:]?\s+|(?<=[\])])|$)(.*)")
_NAME_AND_TIME = re.compile(rf"\s*(?P<name>[^\t]{{1,60}}?)\s*[\t ,|-]*\s*[\[(]?({_CLOCK})[\])]?\s*:?\s*$")
_LEAST = 2  # times; a single one is a date or a remark


def read_plain(file: str, text: str) -> Parsed | None:
    """The turns of a text whose lines begin or end with times; None where it is none.

    A turn without an end lasts until the next begins.
    """
    lines = _names_beside_times(text.splitlines())
    for form, find in (
        ("labels", _of_range),
        ("text with times", _of_start),
        ("text with names and times", _of_header),
    ):
        found: list[tuple[str, float, float | None, str, list[str]]] = []
        lost = 0
        for place, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            if match := find(line):
                found.append((f"{file}:{place}", *match[:2], match[2], [match[3]]))
            elif found and find is not _of_range:
                found[-1][4].append(line.strip())
            else:
                lost += 1
        starts = [start for _, start, *_ in found]
        rising = sum(after >= before for before, after in itertools.pairwise(starts))
        if len(found) < _LEAST or 10 * rising < 9 * (len(found) - 1) or lost > len(found):
            continue
        if not any(any(said) for *_, said in found):
            continue
        parsed = Parsed(form)
        after = [*starts[1:], float("inf")]
        add_cues(
            parsed,
            [
                Cue(where, start, following if end is None else end, tuple(filter(None, said)), name)
                for (where, start, end, name, said), following in zip(found, after, strict=True)
                if any(said)
            ],
        )
        return parsed
    return None


def _names_beside_times(lines: list[str]) -> list[str]:
    """Puts a name that stands alone above a time beside it, where the text begins so (Teams)."""
    said = [line.strip() for line in lines if line.strip()]
    bare = [bool(re.fullmatch(_CLOCK, line)) for line in said]
    if len(said) < 3 or not bare[1] or bare[0] or len(said[0]) > 60 or sum(bare) < _LEAST:
        return lines
    joined: list[str] = []
    for line, is_time in zip(said, bare, strict=True):
        if is_time and joined and len(joined[-1]) <= 60:
            joined[-1] = f"{joined[-1]}  {line}"
        else:
            joined.append(line)
    return joined


_Found = tuple[float, float | None, str, str]  # start, end, name, words


def _of_range(line: str) -> _Found | None:
    match = _RANGE.match(line[:10_000])
    if match is None or (start := _time(match[1])) is None or (end := _time(match[2])) is None or end < start:
        return None
    return start, end, "", match[3].strip()


def _of_start(line: str) -> _Found | None:
    match = _START.match(line[:10_000])
    start = _time(match[1] or match[2] or match[3]) if match else None
    return None if match is None or start is None else (start, None, "", match[4].strip())


def _of_header(line: str) -> _Found | None:
    match = _NAME_AND_TIME.match(line[:200])
    if match is None or (start := _time(match[2])) is None:
        return None
    return start, None, match["name"].strip(" []():-|,\t"), ""


def _time(text: str) -> float | None:
    try:
        return seconds(text)
    except BadRow:
        return None


_WAYS = (("text with ranges", _of_range), ("text with times", _of_start), ("text with names and times", _of_header))
