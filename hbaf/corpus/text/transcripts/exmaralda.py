"""EXMARaLDA's basic transcriptions (.exb), tiers of events on one time line: https://exmaralda.org/en/documentation/."""

import itertools

from hbaf.corpus.text.manifest_values import number
from hbaf.corpus.text.transcripts.annotations import Tier, add_tiers, parse_xml
from hbaf.corpus.text.transcripts.parsed import NotATranscriptError, Parsed

_SPOKEN = "t"  # the type of tiers that hold what is said; `a` annotates, `d` describes


def is_exmaralda(text: str) -> bool:
    """Whether this is a basic transcription."""
    return "<basic-transcription" in text[:5000]


def read_exmaralda(file: str, text: str) -> Parsed:
    """The events of each speaker; points of the time line without a time lie evenly between those that have one.

    Raises:
        NotATranscriptError: broken XML, or no event with words.
    """
    root, parsed = parse_xml(text), Parsed("EXMARaLDA")
    names = {one.get("id"): (one.findtext("abbreviation") or one.get("id") or "") for one in root.iter("speaker")}
    times = _times([(one.get("id") or "", number(one.get("time") or "")) for one in root.iter("tli")])
    tiers = [
        Tier(
            tier.get("display-name") or tier.get("id") or "",
            names.get(tier.get("speaker"), ""),
            [
                (
                    times.get(event.get("start") or ""),
                    times.get(event.get("end") or ""),
                    " ".join("".join(event.itertext()).split()),
                )
                for event in tier.iter("event")
            ],
        )
        for tier in root.iter("tier")
        if tier.get("type") == _SPOKEN
    ]
    add_tiers(parsed, file, tiers)
    if not parsed.rows:
        raise NotATranscriptError("an EXMARaLDA transcription without words")
    return parsed


def _times(points: list[tuple[str, float | None]]) -> dict[str, float]:
    known = [at for at, (_, time) in enumerate(points) if time is not None]
    found = {name: time for name, time in points if time is not None}
    for left, right in itertools.pairwise(known):
        first, last = points[left][1] or 0.0, points[right][1] or 0.0
        for at in range(left + 1, right):
            found[points[at][0]] = first + (last - first) * (at - left) / (right - left)
    return found
