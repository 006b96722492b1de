"""What the rules see: columns derived from a corpus, and nothing that a person said, is called, or a file is called.

great_expectations writes values that it finds unexpected into its pages, so it gets numbers, truth values and
utterance ids only. A missing value means that a rule does not apply to the row.
"""

import re

import pandas as pd

from hbaf.corpus.readers.transcripts import NO_TRANSCRIPT
from hbaf.corpus.schema import ASSIGNED_SPLITS, GATE, SPLITS, Corpus, is_missing
from hbaf.corpus.sound.facts import utterance_keys
from hbaf.corpus.text.encoding import is_garbled
from hbaf.corpus.text.windows_1252 import repair_windows_1252
from hbaf.validation.accepted import Accepted, label_shift
from hbaf.validation.rules import TableName
from hbaf.validation.table1 import paper_counts

# Shorter ones ("Yeah.", "I don't know.") recur in every conversation and say nothing about a leak.
SHORTEST_TELLING_TEXT = 4  # words
FEWEST_TELLING = 3  # utterances; of fewer nothing follows
# How the problems of rows begin whose sound was named, or looked for among other sound, and not found.
LOST_SOUND = ("path ", "not a regular file", "no audio at", "no audio: the release lacks")
# The replacement character, and control characters other than tab and line ends.
DEBRIS = re.compile("[\ufffd\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def tables_of(corpus: Corpus, before: Accepted | None = None) -> dict[TableName, pd.DataFrame]:
    """The three tables that the rules of `hbaf.validation.rules` look at, by name.

    Args:
        before: the last version of this corpus that passed.
    """
    return {
        "utterances": utterance_table(corpus),
        "dialogues": dialogue_table(corpus),
        "corpus": corpus_table(corpus, before),
    }


def split_counts(corpus: Corpus) -> dict[str, dict[str, int]]:
    """Split ("none" where a dialogue has none) -> dialogues, utterances, one number per emotion, unlabelled."""
    split_of = corpus.splits.drop_duplicates("dialogue_id").set_index("dialogue_id")["split"]
    splits = corpus.utterances["dialogue_id"].map(split_of).astype("object").fillna("none")
    counts = {}
    for split in (*ASSIGNED_SPLITS, "none"):
        rows = corpus.utterances[splits == split]
        if split in (GATE, "none") and not len(rows):
            continue
        counts[split] = {
            "dialogues": int(rows["dialogue_id"].nunique()),
            "utterances": len(rows),
            **{emotion: int((rows["emotion"] == emotion).sum()) for emotion in corpus.emotions},
            "unlabelled": int(rows["emotion"].isna().sum()),
        }
    return counts


def utterance_table(corpus: Corpus) -> pd.DataFrame:
    """One row per utterance: `utterance_id`, booleans, seconds, loudness (dB), clipped (share), words per second."""
    rows = corpus.utterances
    text_usable = rows["text_problem"].isna() & (rows["text"].fillna("").str.strip() != "")
    audio_usable = rows["audio_problem"].isna() & rows["audio"].notna()
    words = rows["text"].fillna("").map(lambda text: len(text.split())).where(text_usable)
    seconds = _fact(rows, "seconds").where(audio_usable)
    expected_id = rows["corpus"] + "/" + rows["dialogue_id"] + "/" + rows["turn"].astype("str")
    begin = rows["start"].fillna(0.0)
    table = {
        "utterance_id": rows["utterance_id"],
        "id_well_formed": _truth(rows["utterance_id"].eq(expected_id)),
        "label_known": _truth(rows["emotion"].isin(corpus.emotions), applies=rows["emotion"].notna()),
        # A corpus without any text or any audio is legitimate; has_text and has_audio say so once, not on every row.
        "text_usable": _truth(text_usable, applies=_has_text(corpus)),
        "audio_usable": _truth(audio_usable, applies=_has_audio(corpus)),
        "some_modality": _truth(text_usable | audio_usable),
        "audio_measured": _truth(seconds.notna(), applies=audio_usable),
        "segment_in_order": _truth(
            (begin >= 0) & (rows["end"].isna() | (rows["end"] > begin)),
            applies=rows["start"].notna() | rows["end"].notna(),
        ),
        "seconds": seconds,
        "loudness": _fact(rows, "loudness").where(audio_usable),
        "clipped": _fact(rows, "clipped").where(audio_usable),
        "voiced_share": _fact(rows, "voiced_share").where(audio_usable),
        "announced_seconds": _fact(rows, "subtitle_seconds"),
        "announced_gap": (seconds - _fact(rows, "subtitle_seconds")).abs(),
        "text_clean": _truth(rows["text"].map(_is_clean, na_action="ignore"), applies=rows["text"].notna()),
        "words_per_second": words.astype("float64") / seconds.where(seconds > 0),
        **_novelty(corpus, words),
    }
    return pd.DataFrame(table).reset_index(drop=True)


def dialogue_table(corpus: Corpus) -> pd.DataFrame:
    """One row per dialogue of the utterances or the splits; `utterance_id` is its first utterance.

    A dialogue that only the splits name has "<corpus>/<dialogue_id>" there instead.
    """
    turns = corpus.utterances.groupby("dialogue_id", sort=True)
    found = pd.DataFrame(
        {
            "utterance_id": turns["utterance_id"].first(),
            "ranks": (
                (turns["turn"].min() == 0)
                & (turns["turn"].max() == turns.size() - 1)
                & (turns["turn"].nunique() == turns.size())
            ),
            "labelled": turns["emotion"].count() > 0,
        }
    )
    assigned = corpus.splits.groupby("dialogue_id", sort=True)["split"]
    named = pd.DataFrame(
        {
            "splits": assigned.nunique(dropna=False),
            "known": assigned.agg(lambda split: bool(split.isin(ASSIGNED_SPLITS).all())),
        }
    )
    table = found.join(named, how="outer")
    has_utterances, in_splits = table["utterance_id"].notna(), table["splits"].notna()
    placeholder = pd.Series([f"{corpus.name}/{dialogue}" for dialogue in table.index], index=table.index, dtype="str")
    return pd.DataFrame(
        {
            "utterance_id": table["utterance_id"].where(has_utterances, placeholder),
            "turns_are_ranks": _truth(table["ranks"], applies=has_utterances),
            "one_split": _truth(table["splits"] == 1, applies=in_splits),
            "split_known": _truth(table["known"], applies=in_splits),
            "has_utterances": _truth(has_utterances, applies=in_splits),
            "labelled_in_split": _truth(
                in_splits, applies=table["labelled"].eq(True) if len(corpus.splits) else pd.Series(False, table.index)
            ),
        }
    ).reset_index(drop=True)


def corpus_table(corpus: Corpus, before: Accepted | None = None) -> pd.DataFrame:
    """One row of figures about the whole; a column `<figure>_found` says in words what was counted."""
    rows, aside = corpus.utterances, corpus.set_aside["row"].nunique()
    labelled = rows[rows["emotion"].notna()] if corpus.emotions else rows
    dialogues_of = {name: corpus.splits.loc[corpus.splits["split"] == name, "dialogue_id"] for name in SPLITS}
    counts = {name: int(labelled["dialogue_id"].isin(chosen).sum()) for name, chosen in dialogues_of.items()}
    trained = set(labelled.loc[labelled["dialogue_id"].isin(dialogues_of["train"]), "emotion"])
    absent = [emotion for emotion in corpus.emotions if emotion not in trained]
    differ, compared = paper_counts(corpus)
    shift, shifted = label_shift(corpus, before)
    repeated, telling = _repeated(rows)
    garbled, written = sum(map(is_garbled, rows["text"].dropna())), int(rows["text"].notna().sum())
    split, learnable = len(corpus.splits) > 0, len(corpus.splits) > 0 and len(corpus.emotions) > 0
    return pd.DataFrame(
        {
            "utterance_id": pd.Series([corpus.name], dtype="str"),
            "smallest_split": pd.Series([min(counts.values()) if split else None], dtype="float64"),
            "smallest_split_found": ", ".join(f"{name} {count}" for name, count in counts.items()),
            "emotions_absent_from_train": pd.Series([len(absent) if learnable else None], dtype="float64"),
            "emotions_absent_from_train_found": f"{len(absent)} of {len(corpus.emotions)} emotions absent",
            "set_aside_share": pd.Series([aside / (aside + len(rows)) if aside + len(rows) else None], dtype="float64"),
            "set_aside_share_found": f"{aside} of {aside + len(rows)} rows set aside",
            "repeated_share": pd.Series([repeated / telling if telling >= FEWEST_TELLING else None], dtype="float64"),
            "repeated_share_found": f"{repeated} of {telling} longer utterances hold the words of the one before",
            "garbled_share": pd.Series([garbled / written if written else None], dtype="float64"),
            "garbled_share_found": f"{garbled} of {written} texts",
            "paper_counts_differ": pd.Series([differ], dtype="float64"),
            "paper_counts_differ_found": compared,
            "label_shift": pd.Series([shift], dtype="float64"),
            "label_shift_found": shifted,
            "has_text": _truth(pd.Series([_has_text(corpus)]), applies=len(rows) > 0),
            "has_text_found": f"{rows['text'].notna().sum()} of {len(rows)} utterances",
            "has_audio": _truth(pd.Series([_has_audio(corpus)]), applies=len(rows) > 0),
            "has_audio_found": f"{rows['audio'].notna().sum()} of {len(rows)} utterances",
        }
    )


def _repeated(rows: pd.DataFrame) -> tuple[int, int]:
    """(utterances that hold the words of the one before in their dialogue, longer ones that have one before)."""
    repeated = telling = 0
    last: dict[str, tuple[str, bool]] = {}  # dialogue -> its last words, and whether they are telling
    for dialogue, words in zip(rows["dialogue_id"].tolist(), rows["text"].tolist(), strict=True):
        if is_missing(words):
            continue
        text = f" {' '.join(str(words).casefold().split())} "
        tells = _is_telling(text)
        before, told = last.get(dialogue, ("", False))
        if told:
            telling += 1
            repeated += before in text or (tells and text in before)
        last[dialogue] = text, tells
    return repeated, telling


def _is_telling(text: str) -> bool:
    """Whether a text is long enough not to recur by chance; without blanks between words its letters count."""
    if len(text.split()) >= SHORTEST_TELLING_TEXT:
        return True
    return not text.isascii() and sum(letter > "\u2e80" for letter in text) >= 2 * SHORTEST_TELLING_TEXT


def _novelty(corpus: Corpus, words: pd.Series) -> dict[str, pd.Series]:
    """For utterances of the test split: whether train lacks the text, and the speaker."""
    rows, train, test = corpus.utterances, _rows_in(corpus, "train"), _rows_in(corpus, "test")
    if not (train.any() and test.any()):
        nowhere = pd.Series(None, index=rows.index, dtype="object")
        return dict.fromkeys(("text_new_in_test", "audio_new_in_test", "speaker_new_in_test"), nowhere)
    text = rows["text"].map(lambda words: " ".join(words.casefold().split()), na_action="ignore")
    # Equal sound is one recording whatever the file's name; the digest is there once the audio was measured.
    audio = (
        utterance_keys(rows, "audio") if "audio_digest" in rows else pd.Series(None, index=rows.index, dtype="object")
    )
    return {
        "text_new_in_test": _truth(
            ~text.isin(text[train].dropna()), applies=test & (words.fillna(0) >= SHORTEST_TELLING_TEXT)
        ),
        "audio_new_in_test": _truth(~audio.isin(audio[train].dropna()), applies=test & audio.notna()),
        "speaker_new_in_test": _truth(
            ~rows["speaker"].isin(rows.loc[train, "speaker"].dropna()),
            applies=test & rows["speaker"].notna(),
        ),
    }


def _rows_in(corpus: Corpus, split: str) -> pd.Series:
    chosen = corpus.splits.loc[corpus.splits["split"] == split, "dialogue_id"]
    return corpus.utterances["dialogue_id"].isin(chosen)


def _has_text(corpus: Corpus) -> bool:
    return bool(corpus.utterances["text"].notna().any())


def _has_audio(corpus: Corpus) -> bool:
    """Whether there is sound, or was meant to be: what is named, or lies there, and belongs to no row, was lost."""
    problems = corpus.utterances["audio_problem"].dropna()
    unclaimed = bool((corpus.set_aside["rule"] == NO_TRANSCRIPT).any())
    lost = LOST_SOUND + (("no recording of the name",) if unclaimed else ())
    return bool(
        corpus.utterances["audio"].notna().any()
        or problems.str.startswith(lost).any()
        or problems.str.contains("files are called").any()
    )


def _fact(rows: pd.DataFrame, name: str) -> pd.Series:
    if name in rows:
        return rows[name].astype("float64")
    return pd.Series(float("nan"), index=rows.index, dtype="float64")


def _is_clean(text: str) -> bool:
    return repair_windows_1252(text) == text and not DEBRIS.search(text)


def _truth(values: pd.Series, applies: pd.Series | bool = True) -> pd.Series:
    """Truth values as objects: True, False, or None where the rule does not apply."""
    answers = values.eq(True).fillna(False).astype("bool").astype("object")
    if isinstance(applies, bool):
        applies = pd.Series(applies, index=values.index, dtype="bool")
    return answers.where(applies.astype("bool"), None)
