"""Other forms of captions -> turns: Advanced SubStation (ASS, SSA), TTML and DFXP, YouTube's XML."""

import html
import itertools
import re
from xml.etree.ElementTree import Element

from hbaf.corpus.text.manifest_values import BadRow, number, seconds, shown
from hbaf.corpus.text.transcripts.annotations import parse_xml
from hbaf.corpus.text.transcripts.captions import add_cues
from hbaf.corpus.text.transcripts.parsed import NotATranscriptError, Parsed
from hbaf.corpus.text.transcripts.rolling import Cue


def is_ass(text: str) -> bool:
    """Whether this is Advanced SubStation Alpha or its predecessor."""
    return "[Events]" in text and bool(re.search(r"^Dialogue:", text, re.MULTILINE))


def read_ass(file: str, text: str) -> Parsed:
    """The `Dialogue:` lines; who speaks stands in the column Name (or Actor)."""
    parsed, cues = Parsed("ASS"), []
    columns = ["layer", "start", "end", "style", "name", "marginl", "marginr", "marginv", "effect", "text"]
    for place, line in enumerate(text.splitlines(), start=1):
        kind, _, rest = line.partition(":")
        if kind.strip() == "Format" and "text" in rest.lower() and "start" in rest.lower():
            columns = [name.strip().lower() for name in rest.split(",")]
        if kind.strip() != "Dialogue":
            continue
        fields = dict(zip(columns, (part.strip() for part in rest.split(",", len(columns) - 1)), strict=False))
        said = fields.get("text", "")
        if re.search(r"\{[^}]*\\p[1-9]", said):
            continue  # a drawing
        words = re.split(r"\\N|\\n", re.sub(r"\{[^{}]*\}", "", said).replace("\\h", " "))
        where = f"{file}:{place}"
        try:
            start, end = (seconds(fields.get(name, "")) for name in ("start", "end"))
        except BadRow as bad:
            parsed.set_aside.append((where, bad.rule, bad.found))
            continue
        cues.append(Cue(where, start or 0.0, end or 0.0, tuple(words), fields.get("name") or fields.get("actor") or ""))
    cues.sort(key=lambda cue: cue.start)
    add_cues(parsed, cues)
    return parsed


def read_xml_captions(file: str, text: str) -> Parsed:
    """TTML (https://www.w3.org/TR/ttml2/), its kin, and what YouTube sends as srv1, srv2 and srv3.

    Raises:
        NotATranscriptError: another kind of XML, or without words in time.
    """
    root = parse_xml(text)
    kind = _plain(root.tag)
    if kind == "tt":
        parsed = _read_ttml(file, root)
    elif kind in ("transcript", "timedtext"):
        parsed = _read_youtube(file, root)
    else:
        raise NotATranscriptError(f"XML whose root is <{kind}>, which is not read")
    if not parsed.rows:
        raise NotATranscriptError(f"XML (<{kind}>) without words in time")
    return parsed


def _read_ttml(file: str, root: Element) -> Parsed:
    parsed, cues = Parsed("TTML"), []
    given = {_plain(name): value for name, value in root.attrib.items()}
    rate = number(given.get("frameRate", "")) or 30.0
    multiplier = re.fullmatch(r"(\d+)[ :](\d+)", given.get("frameRateMultiplier", ""))
    rate *= float(multiplier[1]) / float(multiplier[2]) if multiplier and float(multiplier[2]) else 1.0
    ticks = number(given.get("tickRate", "")) or 1.0
    names = {}
    for agent in root.iter():
        if _plain(agent.tag) == "agent":
            inner = next((one.text for one in agent.iter() if _plain(one.tag) == "name" and one.text), None)
            names[next((value for name, value in agent.attrib.items() if _plain(name) == "id"), "")] = inner
    for place, element in enumerate(element for element in root.iter() if _plain(element.tag) == "p"):
        own = {_plain(name): value for name, value in element.attrib.items()}
        where = f"{file}:{place + 1}"
        try:
            start, end, length = (_ttml_time(own.get(name), rate, ticks) for name in ("begin", "end", "dur"))
        except BadRow as bad:
            parsed.set_aside.append((where, bad.rule, bad.found))
            continue
        if start is None:
            parsed.set_aside.append((where, "text without a time", shown(" ".join(_lines(element)))))
            continue
        end = end if end is not None else start + (length or 0.0)
        agent_of = own.get("agent", "")
        cues.append(Cue(where, start, end, tuple(_lines(element)), names.get(agent_of) or agent_of))
    add_cues(parsed, cues)
    return parsed


def _ttml_time(text: str | None, rate: float, ticks: float) -> float | None:
    """A clock time with or without frames, or an offset: `00:00:01:12`, `1.5s`, `45f`, `15000000t`."""
    if not text:
        return None
    if offset := re.fullmatch(r"(\d+(?:\.\d+)?)([ft])", text.strip()):
        return float(offset[1]) / (rate if offset[2] == "f" else ticks)
    if frames := re.fullmatch(r"(\d+:\d{2}:\d{2}):(\d+(?:\.\d+)?)", text.strip()):
        return (seconds(frames[1]) or 0.0) + float(frames[2]) / rate
    return seconds(text.strip())


def _read_youtube(file: str, root: Element) -> Parsed:
    """srv1 has seconds (`start`, `dur`), srv2 and srv3 milliseconds (`t`, `d`)."""
    parsed, cues = Parsed("YouTube XML"), []
    for place, element in enumerate(root.iter(), start=1):
        if _plain(element.tag) not in ("text", "p"):
            continue
        start, length = number(element.get("start") or ""), number(element.get("dur") or "")
        if start is None:
            start, length = (
                None if (time := number(element.get(name) or "")) is None else time / 1000 for name in "td"
            )
        lines = [html.unescape(line) for line in _lines(element)]
        if start is not None and any(lines):
            cues.append(Cue(f"{file}:{place}", start, start + (length or 0.0), tuple(lines)))
    for index, (cue, after) in enumerate(itertools.pairwise(cues)):
        if cue.start < after.start < cue.end or cue.end == cue.start:
            cues[index] = Cue(cue.where, cue.start, after.start, cue.lines)
    add_cues(parsed, cues)
    return parsed


def _lines(element: Element) -> list[str]:
    return [" ".join(line.split()) for line in _said(element).split("\n") if line.strip()]


def _said(element: Element) -> str:
    """The text of an element and all in it; a break is the end of a line, other line ends are blanks."""
    parts = [(element.text or "").replace("\n", " ")]
    for one in element:
        parts += ["\n" if _plain(one.tag) == "br" else _said(one), (one.tail or "").replace("\n", " ")]
    return "".join(parts)


def _plain(name: str) -> str:
    return name.rpartition("}")[2]
