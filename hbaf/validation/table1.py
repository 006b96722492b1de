"""The paper's Table 1: how many dialogues and utterances MELD and IEMOCAP have (train with dev, and test)."""

from dataclasses import dataclass

from hbaf.corpus.readers.iemocap import label_count
from hbaf.corpus.schema import LABEL_SETS, Corpus


@dataclass(frozen=True)
class Counts:
    """Dialogues and labelled utterances of train with dev, and of test."""

    dialogues: tuple[int, int]
    utterances: tuple[int, int]


# The paper prints 1153 dialogues of MELD; the release's tables hold 1152, for train has no dialogue 60.
MELD = Counts((1152, 280), (11098, 2610))
IEMOCAP = Counts((120, 31), (5810, 1623))


def paper_counts(corpus: Corpus) -> tuple[int | None, str]:
    """How many of the four counts differ, and expected against found in words; None for any other corpus.

    IEMOCAP's own majority labels give 7380 utterances and the field's feature files 7433, so a difference there is
    expected; which of the two it is stands in the words.
    """
    expected = _expected(corpus)
    if expected is None:
        return None, ""
    labelled = corpus.utterances[corpus.utterances["emotion"].notna()]
    sides = (("train", "dev"), ("test",))
    chosen = [set(corpus.splits.loc[corpus.splits["split"].isin(side), "dialogue_id"]) for side in sides]
    dialogues = tuple(len(side) for side in chosen)
    utterances = tuple(int(labelled["dialogue_id"].isin(side).sum()) for side in chosen)
    pairs = ((expected.dialogues, dialogues, "dialogues"), (expected.utterances, utterances, "labelled utterances"))
    differ = sum(a != b for want, found, _ in pairs for a, b in zip(want, found, strict=True))
    message = "; ".join(f"{name} {f[0]} / {f[1]}, paper {w[0]} / {w[1]}" for w, f, name in pairs)
    if expected is IEMOCAP:
        message += f". {label_count(len(labelled), 6)}"
    return differ, message


def _expected(corpus: Corpus) -> Counts | None:
    """By label set and by the columns that the reader of the release alone adds."""
    if corpus.emotions == LABEL_SETS["meld"] and {"sentiment", "subtitle_seconds"} <= set(corpus.utterances):
        return MELD
    if corpus.emotions == LABEL_SETS["iemocap6"] and {"majority", "dialogue_start"} <= set(corpus.utterances):
        return IEMOCAP
    return None
