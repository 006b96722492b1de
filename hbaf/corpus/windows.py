"""What a text encoder reads of an utterance: its words, or with `context` also what was said before it.

Only earlier turns, so that a turn's vector does not change when the conversation goes on.
"""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

import pandas as pd

from hbaf.corpus.schema import is_missing

LONGEST = 20  # turns before; each other speaker of a window has a letter of his own
OWN, UNKNOWN = "A", "?"


class Window(NamedTuple):
    """One turn and the turns before it in its dialogue.

    Attributes:
        before: earlier turns, oldest first, each with the mark of its speaker, as "B: Where were you?".
        text: the turn itself; its speaker's mark is always A.
    """

    before: tuple[str, ...]
    text: str

    @property
    def lines(self) -> tuple[str, ...]:
        """All turns with their marks, the turn itself last."""
        return (*self.before, f"{OWN}: {self.text}")


TextItem: TypeAlias = str | Window


def text_items(utterances: pd.DataFrame, context: int = 0) -> list[TextItem | None]:
    """What a text extractor gets for each utterance, by row; None where the text cannot be used.

    Decision: marks are letters and no names, A for whoever says the turn itself, B for the other who spoke last before
    it, and so on; ? for a speaker that nobody knows. So a mark means the same in a conversation of people never seen
    in training, and no name gets into weights or keys. Turns without words are left out and do not count.

    Args:
        utterances: whole dialogues, in any order; a missing row is missing from the windows behind it.
        context: turns before, each row a `Window`; 0: the words alone, each row a str.
    """
    problems = utterances["text_problem"]
    texts = [
        None if is_missing(text) or not is_missing(problem) else str(text)
        for text, problem in zip(utterances["text"], problems, strict=True)
    ]
    if not context:
        return [*texts]
    speakers = [None if is_missing(name) else str(name) for name in utterances["speaker"]]
    keyed = utterances[["corpus", "dialogue_id", "turn"]].reset_index(drop=True)
    windows: list[TextItem | None] = [None] * len(texts)
    for rows in keyed.sort_values("turn", kind="stable").groupby(["corpus", "dialogue_id"], sort=False).groups.values():
        said: deque[tuple[str | None, str]] = deque(maxlen=context)
        for row in rows:
            if (text := texts[row]) is not None:
                windows[row] = Window(_marked(said, speakers[row]), text)
                if text.strip():
                    said.append((speakers[row], text))
    return windows


def as_window(item: object) -> Window:
    """The item itself, or plain words as a turn that nothing came before."""
    return item if isinstance(item, Window) else Window((), str(item))


def _marked(said: Iterable[tuple[str | None, str]], own: str | None) -> tuple[str, ...]:
    marks: dict[str | None, str] = {own: OWN, None: UNKNOWN}
    lines = []
    for speaker, text in reversed([*said]):
        mark = marks.setdefault(speaker, chr(ord(OWN) + len(marks) - (own is not None)))
        lines.append(f"{mark}: {text}")
    return tuple(reversed(lines))
