"""Which words follow each other in a corpus, as one bit per pair: whether new text reads like language of that kind.

Recognition that failed, words out of order or another language leave single words or vectors almost as they were; the
pairs of neighbouring words show it. Only pairs of several dialogues are kept, so a name that occurs in one is not.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from zlib import crc32

import numpy as np
import pandas as pd

from hbaf.corpus.schema import is_missing

BITS = 2**20  # 128 KiB; 30,000 pairs then share a bit with a stranger in 3 of 100 cases
FEWEST = 3  # dialogues in which a pair occurs
WORD = re.compile(r"\w+(?:['’]\w+)*")


@dataclass(frozen=True, eq=False)
class KnownPairs:
    """Pairs of neighbouring words of the train split.

    Attributes:
        bits: (BITS / 8,) uint8, a bit for each pair by its checksum.
    """

    bits: np.ndarray

    def share(self, texts: Iterable[object]) -> np.ndarray:
        """(n,) share of each text's pairs that are known, 0..1; NaN for a text of fewer than two words, or none."""
        found = []
        for text in texts:
            pairs = _pairs(text)
            known = [bool(self.bits[pair >> 3] >> (pair & 7) & 1) for pair in pairs]
            found.append(sum(known) / len(known) if known else np.nan)
        return np.array(found, np.float32)


def fit_known_pairs(texts: pd.Series, dialogues: pd.Series) -> KnownPairs:
    """Args are (n,) texts and the dialogue of each."""
    seen: dict[int, set[str]] = {}
    for text, dialogue in zip(texts, dialogues, strict=True):
        for pair in _pairs(text):
            seen.setdefault(pair, set()).add(dialogue)
    bits = np.zeros(BITS // 8, np.uint8)
    for pair, where in seen.items():
        if len(where) >= FEWEST:
            bits[pair >> 3] |= 1 << (pair & 7)
    return KnownPairs(bits)


def _pairs(text: object) -> list[int]:
    """A number below BITS for each pair of neighbouring words."""
    if is_missing(text):
        return []
    words = WORD.findall(str(text).casefold())
    return [crc32(f"{one} {other}".encode()) % BITS for one, other in pairwise(words)]
