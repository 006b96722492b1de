"""The utterance table: what every reader makes and every later stage reads.

One row is one utterance. `utterance_id` is unique and every join is by it, never by row order. Which dialogues are
train, dev or test is a table of its own, `splits`, with a digest of its own.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from hbaf.home import located, portable, published, write_atomically

Split = Literal["train", "dev", "test", "gate"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")  # those that a corpus may bring
GATE: Split = "gate"  # set aside at assignment, for promotion alone
UNNAMED_SPEAKER = "unknown"  # several people may be nobody in particular
ASSIGNED_SPLITS: tuple[Split, ...] = (*SPLITS, GATE)

# column -> pandas dtype. Times are seconds from the beginning of the file; channel counts from 0.
UTTERANCE_COLUMNS: dict[str, str] = {
    "utterance_id": "str",  # "<corpus>/<dialogue_id>/<turn>"
    "corpus": "str",
    "dialogue_id": "str",
    "turn": "int64",  # rank in the dialogue, from 0; the official number stays in source_id
    "speaker": "str",
    "text": "str",  # missing where text_problem says why
    "audio": "str",  # path relative to the corpus root, "/" between folders
    "channel": "Int64",  # missing: the only channel, or a mix-down of correlated ones
    "start": "float64",  # missing: from the beginning
    "end": "float64",  # missing: to the end
    "emotion": "str",  # missing: unlabelled
    "source_id": "str",  # the name or number that the source gives the utterance
    "text_problem": "str",  # missing: the text is usable
    "audio_problem": "str",  # missing: the audio is usable, as far as it was looked at
}

# What `hbaf.corpus.sound.facts.add_facts` measures, once per audio segment.
FACT_COLUMNS: dict[str, str] = {
    "audio_digest": "str",  # sha256 of the file's bytes
    "seconds": "float64",  # length of the segment
    "sample_rate": "Int64",  # Hz, as stored in the file
    "loudness": "float64",  # dB relative to full scale, root mean square
    "clipped": "float64",  # share of samples at full scale, 0..1
    "voiced_share": "float64",  # share of 30 ms frames within 40 dB of the loudest, 0..1
}

LABEL_SETS: dict[str, tuple[str, ...]] = {
    "meld": ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger"),
    "iemocap6": ("happy", "sad", "neutral", "angry", "excited", "frustrated"),
    "iemocap4": ("happy", "sad", "neutral", "angry"),
    "example": ("neutral", "joy", "anger", "sadness", "fear", "surprise"),
}


class CorpusError(ValueError):
    """A corpus cannot be read; the message names the file, the rule, what came and the next step."""


@dataclass(frozen=True)
class Corpus:
    """Conversations as tables.

    Attributes:
        name: short name, the first part of every utterance_id.
        root: folder below which every path in `utterances.audio` lies.
        utterances: `UTTERANCE_COLUMNS`, then `FACT_COLUMNS` once measured, then whatever else the source carried;
            sorted by dialogue and turn.
        splits: `dialogue_id`, `split`; empty for a corpus that is only scored. Split by speaker, also `group`: which
            dialogues stay together.
        emotions: the label set, in the order of the class indices; empty for a corpus without labels.
        set_aside: rows that could not become utterances: `row` (where in the file), `rule`, `found`.
        licence: SPDX identifier or short statement, empty when unknown.
        notes: what the reader found in the source that a person should know; no part of the digest.
        labels: label of the source -> emotion, "" for none, where `corpus.labels` asked for it; part of the digest.
    """

    name: str
    root: Path
    utterances: pd.DataFrame
    splits: pd.DataFrame
    emotions: tuple[str, ...] = ()
    set_aside: pd.DataFrame = field(default_factory=lambda: empty_set_aside())
    licence: str = ""
    notes: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    def digest(self) -> str:
        """sha256 over names, words, labels and audio content: equal corpora have equal digests on any machine.

        Paths and measured facts other than the audio digest do not count.
        """
        columns = [name for name in [*UTTERANCE_COLUMNS, "audio_digest"] if name in self.utterances and name != "audio"]
        facts: dict[str, Iterable[str]] = {"emotions": self.emotions}
        if self.labels:  # without a map a corpus has the digest that it had before there were maps
            facts["labels"] = [f"{label}={emotion}" for label, emotion in sorted(self.labels.items())]
        return _table_digest(self.utterances[columns], facts)

    def splits_digest(self) -> str:
        """sha256 of the assignment of dialogues to splits."""
        return _table_digest(self.splits.sort_values("dialogue_id"), {})

    def in_split(self, split: Split) -> pd.DataFrame:
        """The utterances of one split, in table order.

        For `"test"` go through `hbaf.training.evaluate`, for `"gate"` through `hbaf.training.quality.gate` instead.
        """
        chosen = self.splits.loc[self.splits["split"] == split, "dialogue_id"]
        return self.utterances[self.utterances["dialogue_id"].isin(chosen)]

    def with_utterances(self, utterances: pd.DataFrame) -> "Corpus":
        """A copy with another utterance table; splits and everything else stay."""
        return replace(self, utterances=utterances)


@dataclass(frozen=True)
class CorpusReference:
    """Where a saved corpus lies: small enough to travel between tasks.

    Attributes:
        folder: holds utterances.parquet, splits.parquet, set_aside.parquet and corpus.json.
        name: the corpus name.
        digest: `Corpus.digest()` of what lies there.
        splits_digest: `Corpus.splits_digest()` of what lies there.
    """

    folder: Path
    name: str
    digest: str
    splits_digest: str

    @cached_property
    def corpus(self) -> "Corpus":
        """What lies there, read once by everybody who holds this reference; nobody changes it."""
        return load_corpus(self)

    def __getstate__(self) -> dict[str, Any]:
        # The tables stay behind when the reference travels.
        return {item.name: getattr(self, item.name) for item in fields(self)}


def empty_set_aside() -> pd.DataFrame:
    """A `Corpus.set_aside` without rows: `row`, `rule` and `found`, all text."""
    return pd.DataFrame(
        {"row": pd.Series(dtype="str"), "rule": pd.Series(dtype="str"), "found": pd.Series(dtype="str")}
    )


def empty_splits() -> pd.DataFrame:
    """A `Corpus.splits` without rows: `dialogue_id` and `split`, both text."""
    return pd.DataFrame({"dialogue_id": pd.Series(dtype="str"), "split": pd.Series(dtype="str")})


def utterance_id(corpus: str, dialogue_id: str, turn: int) -> str:
    """`<corpus>/<dialogue>/<turn>`: unique, because the turns of a dialogue do not repeat."""
    return f"{corpus}/{dialogue_id}/{turn}"


def as_utterances(rows: pd.DataFrame) -> pd.DataFrame:
    """Completes and orders a reader's rows: adds absent optional columns, sets dtypes, ids and the order of rows.

    `corpus`, `dialogue_id` and `turn` must be there; other columns of the schema become missing values, columns that
    the schema does not know stay at the end.

    Raises:
        CorpusError: two rows have the same dialogue and turn.
    """
    table = rows.copy()
    table["utterance_id"] = [
        utterance_id(corpus, dialogue, turn)
        for corpus, dialogue, turn in zip(table["corpus"], table["dialogue_id"], table["turn"], strict=True)
    ]
    for column, dtype in UTTERANCE_COLUMNS.items():
        if column not in table:
            table[column] = None
        table[column] = table[column].astype(dtype)  # type: ignore[call-overload]  # a name from our table
    doubled = table.loc[table["utterance_id"].duplicated(), "utterance_id"]
    if len(doubled):
        raise CorpusError(
            f"{doubled.iloc[0]}: two rows have the same dialogue and turn ({len(doubled)} such rows). "
            "Number the turns of each dialogue without repeats."
        )
    extra = [name for name in table if name not in UTTERANCE_COLUMNS and name not in FACT_COLUMNS]
    facts = [name for name in FACT_COLUMNS if name in table]
    return table.sort_values(["dialogue_id", "turn"], kind="stable")[[*UTTERANCE_COLUMNS, *facts, *extra]].reset_index(
        drop=True
    )


def save_corpus(corpus: Corpus, folder: Path) -> CorpusReference:
    """Writes a corpus as Parquet + JSON; corpus.json comes last, so a folder with it is whole.

    Args:
        folder: made if absent; equal content written twice gives the same files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in (
        ("utterances", corpus.utterances),
        ("splits", corpus.splits),
        ("set_aside", corpus.set_aside),
    ):
        with published(folder / f"{name}.parquet") as beside:
            table.to_parquet(beside, index=False)
    reference = CorpusReference(folder, corpus.name, corpus.digest(), corpus.splits_digest())
    facts = {
        "name": corpus.name,
        "root": portable(corpus.root),
        "emotions": list(corpus.emotions),
        "licence": corpus.licence,
        "notes": list(corpus.notes),
        "labels": dict(corpus.labels),
        "digest": reference.digest,
        "splits_digest": reference.splits_digest,
    }
    write_atomically(folder / "corpus.json", json.dumps(facts, indent=1).encode())
    return reference


def load_corpus(reference: CorpusReference | Path) -> Corpus:
    """Reads what `save_corpus` wrote.

    Raises:
        CorpusError: the folder holds no whole corpus, or not the one that the reference names.
    """
    folder = reference if isinstance(reference, Path) else reference.folder
    try:
        facts = json.loads((folder / "corpus.json").read_text())
    except FileNotFoundError as error:
        raise CorpusError(f"{folder}: no corpus.json, so no saved corpus. Run `hbaf validate` first.") from error
    corpus = Corpus(
        name=facts["name"],
        root=Path(located(facts["root"])),
        utterances=pd.read_parquet(folder / "utterances.parquet"),
        splits=pd.read_parquet(folder / "splits.parquet"),
        emotions=tuple(facts["emotions"]),
        set_aside=pd.read_parquet(folder / "set_aside.parquet"),
        licence=facts["licence"],
        notes=tuple(facts.get("notes", ())),
        labels=facts.get("labels", {}),
    )
    if not isinstance(reference, Path) and facts["digest"] != reference.digest:
        raise CorpusError(
            f"{folder}: holds corpus {facts['digest'][:12]}, but {reference.digest[:12]} was asked for. "
            "Run `hbaf validate` again."
        )
    return corpus


def is_missing(value: object) -> bool:
    """True for None, NaN and NA."""
    return value is None or value is pd.NA or value != value


def _table_digest(table: pd.DataFrame, facts: dict[str, Iterable[str]]) -> str:
    hasher = hashlib.sha256(json.dumps({name: list(values) for name, values in facts.items()}).encode())
    for name in table.columns:
        hasher.update(b"".join([name.encode(), b"\0", *(value + b"\0" for value in as_bytes(table[name]))]))
    return hasher.hexdigest()


def as_bytes(column: pd.Series) -> list[bytes]:
    """The values of a column for a digest: repr of a float is exact, and a missing one differs from the text "None"."""
    return [
        b"\1" if value is None or value is pd.NA or value != value else repr(value).encode()
        for value in column.tolist()
    ]
