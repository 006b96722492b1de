"""Captions that roll: each cue shows what the cue before showed and adds to it, so every word stands there twice.

Automatic captions of video sites, live captions and broadcast roll-up do so; as a transcript only what is new counts.
"""

from dataclasses import dataclass, replace

_LONGEST_REPEAT = 200  # words of a cue that are compared with the one before
_HELD = 0.1  # seconds: a cue that follows at once and says the same only holds the line


@dataclass(frozen=True)
class Cue:
    """A caption.

    Attributes:
        where: the place of its time line: "call.vtt:17".
        start, end: seconds; infinite: not known.
        lines: as shown, without markup.
        speaker: where the cue itself names one.
    """

    where: str
    start: float
    end: float
    lines: tuple[str, ...]
    speaker: str = ""

    @property
    def words(self) -> list[str]:
        """The words of all its lines, in order."""
        return " ".join(self.lines).split()


def unrolled(cues: list[Cue]) -> tuple[list[Cue], int]:
    """The cues with what each adds to the one before, where a file rolls in more than half of its steps.

    Returns:
        (cues, how many repeated); equal cues and 0 where nothing rolls.
    """
    shown = [cue for cue in cues if cue.words]
    repeats, before = [], shown[0] if shown else None
    for cue in shown[1:]:
        repeats.append(_repeat(before, cue) if before else 0)
        if repeats[-1] < len(cue.words):  # one that only holds a line says nothing of what is on the screen
            before = cue
    rolling = sum(count > 0 for count in repeats)
    if rolling < 2 or 2 * rolling <= len(repeats):
        return cues, 0
    kept = shown[:1]
    for cue, count in zip(shown[1:], repeats, strict=True):
        new = _without(cue, count)
        if not new:
            if cue.start - kept[-1].end <= _HELD and cue.end - cue.start > _HELD:
                kept[-1] = replace(kept[-1], end=max(kept[-1].end, cue.end))
        elif count and _grows(cue, count):
            grown = (*kept[-1].lines[:-1], f"{kept[-1].lines[-1]} {new[0]}", *new[1:])
            kept[-1] = replace(kept[-1], lines=grown, end=max(kept[-1].end, cue.end))
        else:
            kept.append(replace(cue, lines=new))
    return [_until_next(cue, after) for cue, after in zip(kept, [*kept[1:], None], strict=True)], rolling


def _repeat(before: Cue, cue: Cue) -> int:
    """How many of its first words are the last ones of the cue before; 0 where that may be chance."""
    earlier, words = before.words[-_LONGEST_REPEAT:], cue.words
    for count in range(min(len(earlier), len(words)), 0, -1):
        if earlier[-count] != words[0] or earlier[-count:] != words[:count]:
            continue
        if count == len(words):  # nothing new: people say a thing twice, but not at once and as part of a longer one
            held = cue.start - before.end <= _HELD and (cue.end - cue.start <= _HELD or count < len(before.words))
            return count if held or (cue.start < before.end) else 0
        whole_line = count in _line_ends(cue) and len(before.lines[-1].split()) <= count
        return count if whole_line or count == len(before.words) or count > 2 else 0
    return 0


def _line_ends(cue: Cue) -> list[int]:
    ends, total = [], 0
    for line in cue.lines:
        total += len(line.split())
        ends.append(total)
    return ends


def _grows(cue: Cue, count: int) -> bool:
    """Whether the repeated words end inside a line, which is then one that is still being written."""
    return len(cue.lines) == 1 or count not in _line_ends(cue)


def _without(cue: Cue, count: int) -> tuple[str, ...]:
    """The lines without their first words."""
    left = []
    for line in cue.lines:
        words = line.split()
        if count < len(words):
            left.append(" ".join(words[count:]) if count else line)
        count = max(0, count - len(words))
    return tuple(left)


def _until_next(cue: Cue, after: Cue | None) -> Cue:
    """A rolled line stays on the screen while the next is spoken; what was said ends where that begins."""
    if after is not None and cue.start < after.start < cue.end:
        return replace(cue, end=after.start)
    return cue
