"""Praat's TextGrid, ELAN's EAF and Audacity's labels -> labels: by the id beside a label, else by its time.

A file is a conversation. Labels are read from tiers called `label` (`Ann label`), or else `emotion`; the tier `Ann id`
that `hbaf sample` writes holds the utterance ids. A text like `joy 83%` is a prediction that nobody touched.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from hbaf.corpus.text.transcripts.annotations import Tier, elan_tiers, is_textgrid, textgrid_tiers
from hbaf.labelling.given import Given, LabelFile
from hbaf.scoring.exports import BETWEEN

_KINDS = tuple(
    re.compile(rf"(?:^|[\s_:.-]){name}s?$", re.IGNORECASE) for name in ("label", "(?:emotion|affect|annotation)")
)
_ID_TIER = re.compile(r"(?:^|[\s_:.-])id$", re.IGNORECASE)
_PREDICTION = re.compile(r"(?:\S.*? \d{1,3}%|unscored)(?:, .*)?")
_ID = re.compile(r"[^/|\s][^/|]*/[^|]+/\d+")
_AUDACITY = re.compile(r"(\d+(?:[.,]\d+)?)\t(\d+(?:[.,]\d+)?)(?:\t(.*))?")
EMPTY = ("", "?")


class _Place(NamedTuple):
    """The form of a file, its name for messages, and the conversation that it is named after."""

    form: str
    name: str
    dialogue: str


def is_audacity(text: str) -> bool:
    """Whether a text's first line is a label of Audacity."""
    return bool(_AUDACITY.fullmatch(text.lstrip("\ufeff").partition("\n")[0].rstrip("\r")))


def read_tiers(name: str, stem: str, text: str) -> LabelFile:
    """The labels of a TextGrid or an EAF.

    Args:
        name: of the file, for messages.
        stem: which conversation it is: its id, or what exports are called.

    Raises:
        hbaf.corpus.text.transcripts.parsed.NotATranscriptError: it is broken.
    """
    is_grid = is_textgrid(text)
    tiers = textgrid_tiers(text) if is_grid else elan_tiers(text)
    read = LabelFile("TextGrid" if is_grid else "ELAN", by_file=True)
    found = next((kind for kind in _KINDS if any(kind.search(tier.name) for tier in tiers)), None)
    if found is None:
        names = ", ".join(tier.name for tier in tiers[:8]) or "none"
        read.problems.append((name, "no tier called `label` or `emotion`", f"its tiers: {names}"))
        return read
    for tier in tiers:
        if not found.search(tier.name):
            continue
        speaker = tier.speaker or tier.parent or found.sub("", tier.name).strip(" _:.-")
        ids = _ids(tiers, speaker)
        for number, (start, end, written) in enumerate(tier.intervals, start=1):
            if start is None or end is None:
                continue
            where = f"{name}, {tier.name}: {number}"
            one = Given(where, written.strip(), ids.get(_key(start, end), ""), stem, "", (start, end), speaker)
            _add(read, one, tier.annotator)
    return read


def read_audacity(name: str, stem: str, text: str) -> LabelFile:
    """The labels of a label track; arguments as of `read_tiers`."""
    read = LabelFile("Audacity labels", by_file=True)
    for number, line in enumerate(text.lstrip("\ufeff").splitlines(), start=1):
        match = _AUDACITY.fullmatch(line)
        if match is None:
            if line.strip() and not line.startswith("\\"):  # a line of frequencies
                read.problems.append((f"{name}:{number}", "not a label: start, end, text", line[:40]))
            continue
        label, *others = ((match[3] or "").strip()).split(BETWEEN)
        label = label if _PREDICTION.fullmatch(label) else label.partition(", ")[0]  # `joy, Ann: words`
        start, end = (float(time.replace(",", ".")) for time in match.groups()[:2])
        named = next((field.strip() for field in others if _ID.fullmatch(field.strip())), "")
        _add(read, Given(f"{name}:{number}", label.strip(), named, stem, "", (start, end)), "")
    return read


def _add(read: LabelFile, one: Given, annotator: str) -> None:
    if _PREDICTION.fullmatch(one.label):
        read.unchanged += 1
    elif one.label not in EMPTY:
        read.given.append(
            Given(one.where, one.label, one.utterance_id, one.dialogue, "", one.span, one.speaker, annotator)
        )


def _ids(tiers: Sequence[Tier], speaker: str) -> dict[tuple[int, int], str]:
    """Borders -> the id that stands there, of the tier of ids of a speaker."""
    return {
        _key(start, end): text.strip()
        for tier in tiers
        if _ID_TIER.search(tier.name) and _ID_TIER.sub("", tier.name).strip(" _:.-") == speaker
        for start, end, text in tier.intervals
        if start is not None and end is not None and text.strip()
    }


def _key(start: float, end: float) -> tuple[int, int]:
    """In hundredths of a second: programs round borders, each in its own way."""
    return round(100 * start), round(100 * end)
