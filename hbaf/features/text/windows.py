"""Windows of turns as tokens, and which of the tokens are the turn's own.

The layout is EmoBERTa's, with earlier turns alone: "<s> B: text </s> A: text </s> A: the turn itself </s>", where <s>
and </s> stand for what the tokenizer puts at both ends of a text.

Decision: the vector is the mean over the tokens of the turn itself, its speaker's mark and the closing token included.
EmoBERTa reads <s>; the mean over the turn says which one of the window is meant and is what is read without context.
"""

from collections.abc import Sequence
from typing import Any

from hbaf.corpus.windows import Window


def tokenize(
    tokenizer: Any, windows: Sequence[Window], max_length: int, context: int
) -> tuple[list[list[int]], list[int]]:
    """Token ids of each window, and where in them the turn itself begins.

    Args:
        max_length: tokens of a window. The turn itself is cut at its end; what is left goes to the turns before it,
            the nearest first, so the oldest are cut.
        context: 0 reads the turn itself alone and without a mark.
    """
    if not windows:
        return [], []
    if not context:
        ids = tokenizer([window.text for window in windows], truncation=True, max_length=max_length)["input_ids"]
        return ids, [0] * len(ids)
    opening, closing = _ends(tokenizer)
    lines = list(dict.fromkeys(line for window in windows for line in window.lines))
    found = tokenizer(lines, add_special_tokens=False, verbose=False)["input_ids"]
    tokens = dict(zip(lines, found, strict=True))
    ids, starts = [], []
    for window in windows:
        *earlier, own = (tokens[line] for line in window.lines)
        turn = [*own[: max_length - len(opening) - len(closing)], *closing]
        before = [token for line in earlier for token in (*line, *closing)]
        cut = max(0, len(opening) + len(before) + len(turn) - max_length)
        starts.append(len(opening) + len(before) - cut)
        ids.append([*opening, *before[cut:], *turn])
    return ids, starts


def own_tokens(mask: Any, starts: Sequence[int]) -> Any:
    """(B, T): the mask without the tokens before the turn itself."""
    import torch

    places = torch.arange(mask.shape[1], device=mask.device)[None]
    return mask * (places >= torch.tensor(starts, device=mask.device)[:, None])


def _ends(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The special tokens before and behind a text."""
    word = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    at = next(place for place in range(len(whole)) if whole[place : place + len(word)] == word)
    return whole[:at], whole[at + len(word) :]
