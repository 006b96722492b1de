"""What annotation programs write: Praat's TextGrid, ELAN's EAF and CHAT transcripts -> turns, a tier for each person.

Tiers of single words are put together; tiers of sounds, syllables and glosses are left alone.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple
from xml.etree import ElementTree

from hbaf.corpus.text.manifest_values import number
from hbaf.corpus.text.recognisers.words import Word, turns_of_words
from hbaf.corpus.text.transcripts.parsed import NotATranscriptError, Parsed, Turn

_WORD_TIERS = re.compile(r"(?:^|[\W_])(?:words?|wort|orthography_words|MAU|ORT-MAU)(?:$|[\W_])", re.IGNORECASE)
_NOT_WORDS = re.compile(
    r"(?:^|[\W_])(?:phones?|phonemes?|phon|segments?_phon|syllables?|syll?|pos|lemmas?|gloss(?:es)?|gesture|gaze|notes?|"
    r"comments?|pauses?|silences?|breath|pitch|tobi|tones?|translation|mot|emotions?|affect|valence|arousal)(?:$|[\W_])",
    re.IGNORECASE,
)
# Tiers that say what is said and not who says it.
_NOBODY = re.compile(
    r"(?:text|utterances?|sentences?|transcripts?|transcriptions?|words?|speech|ort|ortho(?:graphy)?|default(?:-lt)?|"
    r"phrases?|ipus?|turns?|segments?|tier[ _-]?\d*|orthographic transcription)",
    re.IGNORECASE,
)
_DEEPEST = 8  # tiers below each other in ELAN
_SILENCE = re.compile(r"(?:|sil|sp|spn|<sil>|<p:?>|#|_|xxx|\(?silence\)?|\{sl\}|\{ns\})", re.IGNORECASE)


class Tier(NamedTuple):
    """A tier of an annotation program.

    Attributes:
        speaker: who it belongs to; "" where that is not given.
        intervals: (start, end in seconds, text).
        annotator: who filled it in; "" where that is not given.
        parent: the tier whose intervals it refines; "" where it has times of its own.
    """

    name: str
    speaker: str
    intervals: list[tuple[float | None, float | None, str]]
    annotator: str = ""
    parent: str = ""


def add_tiers(parsed: Parsed, file: str, tiers: list[Tier]) -> None:
    """Adds what is said in all tiers, in the order of time.

    A tier of utterances counts before one of words of the same person.
    """
    spoken = [
        tier for tier in tiers if not _NOT_WORDS.search(tier.name) and any(_is_said(one[2]) for one in tier.intervals)
    ]
    whole = [tier for tier in spoken if not _WORD_TIERS.search(tier.name)]
    people = {_speaker(tier) for tier in whole}
    turns: list[Turn] = []
    for tier in spoken:
        speaker = _speaker(tier)
        said = [(start, end, text.strip()) for start, end, text in tier.intervals if _is_said(text)]
        if tier in whole:
            turns += [Turn(text, start, end, speaker) for start, end, text in said]
        elif not whole or (speaker is not None and speaker not in people and None not in people):
            turns += turns_of_words([Word(text, start, end, speaker, 0) for start, end, text in said])
    for index, turn in enumerate(sorted(turns, key=lambda turn: turn.start or 0.0), start=1):
        parsed.add(f"{file}:{index}", turn)


def _is_said(text: str) -> bool:
    return not _SILENCE.fullmatch(text.strip())


def _speaker(tier: Tier) -> str | None:
    if tier.speaker:
        return tier.speaker
    name = _WORD_TIERS.sub("", tier.name).strip(" -_.:@") if _WORD_TIERS.search(tier.name) else tier.name.strip()
    first = re.split(r"\s+-\s+|@", name)
    name = first[-1] if "@" in name else first[0]
    return None if not name or _NOBODY.fullmatch(name) else name


_PRAAT_VALUE = re.compile(
    r'"((?:[^"]|"")*)"|(<exists>|<absent>)|(?<![\w\[.+-])([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)(?![\w\]])'
)


def is_textgrid(text: str) -> bool:
    """Whether this is a TextGrid in one of its two text forms."""
    return bool(re.match(r"\s*(?:File type\s*=\s*)?\"?ooTextFile", text))


def read_textgrid(file: str, text: str) -> Parsed:
    """A TextGrid: https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html; long or short form.

    Both hold the same values in the same order; names and comments outside of quotation marks do not count.

    Raises:
        NotATranscriptError: it ends in the middle, or no tier holds words.
    """
    parsed, tiers = Parsed("TextGrid"), textgrid_tiers(text)
    add_tiers(parsed, file, tiers)
    if not parsed.rows:
        names = ", ".join(tier.name for tier in tiers[:8])
        raise NotATranscriptError(f"a TextGrid without words (its tiers of intervals: {names or 'none'})")
    return parsed


def textgrid_tiers(text: str) -> list[Tier]:
    """The tiers of intervals of a TextGrid; tiers of points are left out.

    Raises:
        NotATranscriptError: it ends in the middle.
    """
    values = iter(_praat_values(text))
    tiers = []
    try:
        while (kind := next(values)) != "TextGrid":
            pass
        next(values), next(values)  # of the whole
        flag = next(values)
        count = int(float(next(values) if flag == "<exists>" else flag))
        for _ in range(count):
            kind, name = next(values), next(values)
            next(values), next(values)
            intervals: list[tuple[float | None, float | None, str]] = []
            for _ in range(int(float(next(values)))):
                start = number(next(values))
                end = number(next(values)) if kind == "IntervalTier" else start
                intervals.append((start, end, next(values)))
            if kind == "IntervalTier":
                tiers.append(Tier(name, "", intervals))
    except (StopIteration, ValueError) as error:
        raise NotATranscriptError("a TextGrid that ends in the middle") from error
    return tiers


def _praat_values(text: str) -> Iterator[str]:
    """Texts in quotation marks, flags and free-standing numbers, in their order."""
    for match in re.finditer(
        r'"((?:[^"]|"")*)"|(<exists>|<absent>)|(?<![\w\[.+-])([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)(?![\w\]])', text
    ):
        yield match[2] or match[3] or (match[1] or "").replace('""', '"')


def parse_xml(text: str) -> ElementTree.Element:
    """The root of an XML document that declares nothing of its own.

    Raises:
        NotATranscriptError: it is broken, or declares entities, which can grow without end.
    """
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise NotATranscriptError("XML that declares its own entities, which is not read")
    try:
        return ElementTree.fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", text))
    except ElementTree.ParseError as error:
        raise NotATranscriptError(f"XML that is broken ({error})") from error


def read_elan(file: str, text: str) -> Parsed:
    """ELAN's EAF: https://www.mpi.nl/tools/elan/EAF_Annotation_Format_3.0_and_ELAN.pdf.

    Only tiers with times of their own hold turns; those that depend on others (glosses, words) refine them.
    """
    parsed, tiers = Parsed("ELAN"), elan_tiers(text)
    add_tiers(parsed, file, [tier for tier in tiers if not tier.parent] or tiers)
    if not parsed.rows:
        raise NotATranscriptError(
            f"an ELAN file without words (its tiers: {', '.join(t.name for t in tiers[:8]) or 'none'})"
        )
    return parsed


def elan_tiers(text: str) -> list[Tier]:
    """The tiers of an EAF; an annotation that refers to another one has its times.

    Raises:
        NotATranscriptError: broken XML, or XML that is not read.
    """
    root = parse_xml(text)
    header = root.find("HEADER")
    unit = 1e-3 if header is None or header.get("TIME_UNITS", "milliseconds") == "milliseconds" else 1.0
    slots = {one.get("TIME_SLOT_ID"): number(one.get("TIME_VALUE") or "") for one in root.iter("TIME_SLOT")}
    spans: dict[str | None, tuple[float | None, float | None]] = {}
    for one in root.iter("ALIGNABLE_ANNOTATION"):
        times = [slots.get(one.get(f"TIME_SLOT_REF{place}")) for place in (1, 2)]
        start, end = (None if time is None else time * unit for time in times)
        spans[one.get("ANNOTATION_ID")] = start, end
    refers = {one.get("ANNOTATION_ID"): one.get("ANNOTATION_REF") for one in root.iter("REF_ANNOTATION")}
    tiers = []
    for tier in root.iter("TIER"):
        intervals: list[tuple[float | None, float | None, str]] = []
        for one in tier.iter():
            if one.tag not in ("ALIGNABLE_ANNOTATION", "REF_ANNOTATION"):
                continue
            at = one.get("ANNOTATION_ID")
            for _ in range(_DEEPEST):  # tiers that refine tiers
                at = refers.get(at, at)
            intervals.append((*spans.get(at, (None, None)), one.findtext("ANNOTATION_VALUE") or ""))
        name, speaker, annotator, parent = (
            tier.get(key) or "" for key in ("TIER_ID", "PARTICIPANT", "ANNOTATOR", "PARENT_REF")
        )
        tiers.append(Tier(name, speaker, intervals, annotator, parent))
    return tiers


def is_chat(text: str) -> bool:
    """Whether this is a CHAT transcript of TalkBank."""
    return text.lstrip().startswith(("@UTF8", "@Begin"))


def read_chat(file: str, text: str) -> Parsed:
    """CHAT: https://talkbank.org/0info/manuals/CHAT.html; `*ANN:` and words, then milliseconds."""
    parsed = Parsed("CHAT")
    names = dict(re.findall(r"([A-Z0-9]{1,7}) ([^\s,]+)", " ".join(re.findall(r"^@Participants:\s*(.*)$", text, re.M))))
    lines = re.sub(r"\r?\n[\t ]+", " ", text).splitlines()
    for number_, line in enumerate(lines, start=1):
        match = re.match(r"\*([^\s:]{1,20}):\s*(.*)", line)
        if match is None:
            continue
        times = re.search(r"\x15(\d+)_(\d+)\x15", match[2])
        words = re.sub(r"\x15[^\x15]*\x15|\[[^\]]*\]|&[-=+~]\S+|\+[./\"!?,<^+]+|[<>‹›(){}]", " ", match[2])
        words = re.sub(r"\s+([.,!?])", r"\1", " ".join(words.split()))
        start, end = (float(time) / 1000 for time in times.groups()) if times else (None, None)
        if words.strip(".?! "):
            parsed.add(f"{file}:{number_}", Turn(words, start, end, names.get(match[1], match[1])))
    if not parsed.rows:
        raise NotATranscriptError("a CHAT file without turns")
    return parsed
