"""Who speaks in captions: the many ways to write a name, or a change of speaker, before the words.

`Ann: words`, `[Ann]: words`, `[Ann] words`, `(Ann) words`, `>> ANN: words`, `>> words`, `- words`, `SPEAKER_00: words`.
A name counts where the file does so throughout; a single "Note: ..." among ordinary captions stays text.
"""

import re
from collections import Counter
from typing import NamedTuple

# No part of these can run on beyond the next bracket or colon, so that hostile text costs no more time than other text.
_MARK = re.compile(r"\s*(>{2,}|[-–—‐‑]+(?=\s|\D))\s*")
_COLON = r"(?P<colon>\s?：\s*|\s?:(?:\s+|(?=[^\s\d/:])|$))"
_NAMED = re.compile(
    r"(?:\[(?P<square>[^\]\n]{1,40})\]|\((?P<round>[^)\n]{1,40})\)|【(?P<wide>[^】\n]{1,40})】)"
    rf"(?:{_COLON}|\s+|$)(?P<said>.*)",
    re.DOTALL,
)
_PLAIN = re.compile(rf"(?P<plain>\+?[^\W_][^:：\n\[\]<>]{{0,39}}){_COLON}(?P<said>.*)", re.DOTALL)
_MOST_WORDS_OF_A_NAME = 5


class _Line(NamedTuple):
    """A line of a caption: how a change of speaker is marked, who is named, what is said; `whole` is mark-free."""

    mark: str
    name: str
    said: str
    whole: str


def split_speakers(cues: list[list[str]]) -> list[list[tuple[str, str]]]:
    """Takes names and marks from the words.

    A cue without a name or a mark goes on from the last. A mark without a name is somebody who is not known.

    Args:
        cues: the lines of each.

    Returns:
        For each cue (speaker, words) of everybody who speaks in it; the speaker is empty where nobody is named.
    """
    lines = [[_read(part, more) for part, more in _parts(cue)] for cue in cues]
    dashes = sum(line.mark == "-" for cue in lines for line in cue)
    names = _names(lines)
    found, speaker = [], ""
    for cue in lines:
        pieces: list[tuple[str, str]] = []
        for line in cue:
            named = line.name in names
            marked = line.mark == ">" or (line.mark == "-" and (dashes > 1 or line.whole != line.said))
            if named or marked:
                speaker = line.name if named else ""
            words = line.said if named else line.whole
            if line.mark == "-" and not named and not marked and len(cue) == 1:
                words = line.whole
            if pieces and not ((named or marked) and pieces[-1][1]):
                pieces[-1] = (speaker, f"{pieces[-1][1]} {words}".strip())
            else:
                pieces.append((speaker, words))
        found.append([piece for piece in pieces if piece[1]] or [(speaker, "")])
    return found


def _parts(cue: list[str]) -> list[tuple[str, bool]]:
    """(part, whether another one follows); a line with ">>" inside is several parts."""
    parts = [part for line in cue for part in re.split(r"\s+(?=>{2,})", line.strip()) if part]
    return [(part, place + 1 < len(parts)) for place, part in enumerate(parts)]


def _read(part: str, more: bool) -> _Line:
    mark = _MARK.match(part)
    whole = part[mark.end() :] if mark else part
    kind = mark[1][0].replace("–", "-").replace("—", "-").replace("‐", "-").replace("‑", "-") if mark else ""
    name, said = _name(whole, more)
    return _Line(kind, name, said, whole)


def _name(text: str, more: bool) -> tuple[str, str]:
    """(name or "", what follows it)."""
    match = _NAMED.match(text) or _PLAIN.match(text)
    if match is None or not (match["said"].strip() or more):
        return "", text
    groups = match.groupdict()
    name = (groups.get("plain") or groups.get("square") or groups.get("round") or groups.get("wide") or "").strip()
    if len(name.split()) > _MOST_WORDS_OF_A_NAME or not any(letter.isalnum() for letter in name):
        return "", text
    if not groups["colon"] and name[0].islower():
        return "", text  # [laughs] is a sound
    return name, match["said"].strip()


def _names(lines: list[list[_Line]]) -> set[str]:
    """The names of a file, empty where what looks like names is words.

    They are names if half of the cues have one, or the first one has and they come back. Behind ">>" a name in capitals
    is one at once.
    """
    first = [next((line.name for line in cue[:1]), "") for cue in lines]
    used = Counter(name for name in first if name)
    total = sum(used.values())
    everywhere = Counter(line.name for cue in lines for line in cue if line.name)
    if total and (2 * total >= len(lines) or (first[0] and total >= 2 * len(used))):
        again = {name for name, count in everywhere.items() if count > 1 or name.isupper()}
        return set(used) | again
    chevrons = Counter(line.name for cue in lines for line in cue if line.mark == ">" and line.name)
    return {name for name, count in chevrons.items() if count > 1 or name.isupper()}
