"""Single words with times -> turns: by speaker, by pause, and by sentence where nobody says who speaks."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from hbaf.corpus.text.transcripts.parsed import Turn

PAUSE = 1.0  # seconds between two words of one person after which a new turn begins
_SENTENCE_END = (".", "?", "!", "。", "？", "！", "…")
_NO_SPACE_BEFORE = re.compile(r"[.,;:?!%…)\]}»”’。，、；：？！）】]+")
_CJK = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\u0e00-\u0e7f]")


class Word(NamedTuple):
    """A word as a recogniser heard it.

    Attributes:
        text: as written, a blank before it included where the recogniser writes one.
        start, end: seconds.
        speaker: None: not known, so whoever spoke before.
        segment: what the recogniser itself put together; a change of it begins a new turn.
        is_punctuation: belongs to the word before and never begins a turn.
    """

    text: str
    start: float | None = None
    end: float | None = None
    speaker: str | None = None
    segment: object = None
    is_punctuation: bool = False


def turns_of_words(words: Sequence[Word], channel: str | None = None, *, pauses: bool = True) -> list[Turn]:
    """The turns that words make up; without speakers, channels and segments a sentence is one.

    Args:
        channel: that all of them are on.
        pauses: whether a pause begins a new turn.
    """
    marked = any(word.speaker or word.segment is not None for word in words)
    return [
        _turn(group, channel) for group in _groups(words, by_sentence=channel is None and not marked, pauses=pauses)
    ]


def join_words(texts: Sequence[str]) -> str:
    """Words as a sentence: blanks where the recogniser put them, or else as people do."""
    if any(text != text.strip() for text in texts):
        return " ".join("".join(texts).split())
    joined = ""
    for text in texts:
        glued = not joined or _NO_SPACE_BEFORE.fullmatch(text) or (_CJK.match(text) and _CJK.match(joined[-1]))
        joined += text if glued else f" {text}"
    return joined


def is_one_word(text: str) -> bool:
    """Whether a text can be a single word; without blanks, Chinese and Japanese sentences look like one."""
    text = text.strip()
    return bool(text) and len(text.split()) == 1 and len(text) <= (3 if _CJK.search(text) else 30)


def _groups(words: Sequence[Word], *, by_sentence: bool, pauses: bool) -> Iterator[list[Word]]:
    group: list[Word] = []
    for word in words:
        if not word.text.strip() and not group:
            continue
        if group and not word.is_punctuation and word.text.strip() and _begins(group, word, by_sentence, pauses):
            yield group
            group = []
        group.append(word)
    if group:
        yield group


def _begins(group: list[Word], word: Word, by_sentence: bool, pauses: bool) -> bool:
    spoken = [earlier for earlier in reversed(group[-8:]) if not earlier.is_punctuation and earlier.text.strip()]
    last = spoken[0] if spoken else group[-1]
    speaker = next((earlier.speaker for earlier in reversed(group) if earlier.speaker), None)
    if (word.speaker and speaker and word.speaker != speaker) or word.segment != last.segment:
        return True
    if by_sentence and group[-1].text.rstrip().rstrip("\"'”’»)").endswith(_SENTENCE_END):
        return True
    return pauses and word.start is not None and last.end is not None and word.start - last.end > PAUSE


def _turn(group: list[Word], channel: str | None) -> Turn:
    starts = [word.start for word in group if word.start is not None]
    ends = [word.end for word in group if word.end is not None]
    speaker = next((word.speaker for word in group if word.speaker), None)
    text = join_words([word.text for word in group])
    return Turn(text, starts[0] if starts else None, ends[-1] if ends else None, speaker, channel)
