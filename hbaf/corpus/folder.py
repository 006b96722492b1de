"""The reader for your own conversations: a manifest beside a folder of audio, or a transcript beside each recording.

One row is one utterance. A row that cannot be placed in its dialogue is set aside with its line and the rule; a row
whose text or audio is missing stays, with the reason.
"""

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from hbaf.corpus.channels import UNNAMED_SPEAKER, assign_channels
from hbaf.corpus.find_audio import AudioFinder
from hbaf.corpus.manifest import Manifest, Row, read_manifest, tables_in
from hbaf.corpus.manifest_columns import COLUMN_NAMES, plain
from hbaf.corpus.manifest_values import MISSING, BadRow, channel_number, clean, number, seconds, shown, text_or_problem
from hbaf.corpus.schema import LABEL_SETS, Corpus, CorpusError, as_utterances, empty_set_aside, empty_splits
from hbaf.corpus.split_tables import SPLIT_NAMES, read_split_tables, tables_by_split
from hbaf.corpus.transcripts import NO_TRANSCRIPT, SUFFIXES, read_transcripts
from hbaf.corpus.turn_times import complete_times
from hbaf.parameters import CorpusParameters

DURATIONS = ("duration", "dur", "durationseconds", "durations", "length", "lengthseconds", "seconds")


@dataclass(frozen=True)
class _Placed:
    """A row in its dialogue, before the turns are ranked."""

    where: str
    values: dict[str, Any]
    order: float | None
    split: str | None


def read_folder(parameters: CorpusParameters) -> Corpus:
    """Reads a manifest, or the transcripts where there is none, and finds the audio; decodes nothing.

    `utterances` carries the manifest's other columns after ours. `splits` is empty where the manifest names none.

    Raises:
        CorpusError: no folder or manifest, a column missing or doubled, a dialogue in two splits, a speaker whom
            `parameters.channels` does not name, or more rows set aside than `parameters.bad_share`.
    """
    root = _root(parameters)
    return corpus_of(_read(root, parameters), root, parameters)


def corpus_of(manifest: Manifest, root: Path, parameters: CorpusParameters) -> Corpus:
    """What a manifest says, with the audio found below `root`; raises as `read_folder`."""
    notes = list(manifest.notes)
    if "dialogue" not in manifest.columns:
        if "audio" not in manifest.columns or "turn" in manifest.columns:
            raise CorpusError(_no_dialogue(root / manifest.file, manifest))
        notes.append("no column says which dialogue a row belongs to: each audio file is one of its own")
    name = safe_name(parameters.name or root.name)
    emotions = tuple(emotion.strip().lower() for emotion in parameters.emotions)
    finder = AudioFinder(root)
    placed, set_aside = _place_rows(manifest, name, emotions, finder)
    table = pd.DataFrame(set_aside, columns=list(empty_set_aside().columns)).astype("str")
    _check_bad_share(root / manifest.file, table, len(placed), parameters.bad_share)
    assign_channels(((row.where, row.values) for row in placed), parameters.channels)
    notes += [*complete_times([row.values for row in placed]), *finder.notes, *_unlabelled_words(manifest, emotions)]
    found = {str(row.values["emotion"]) for row in placed if row.values["emotion"]}
    return Corpus(
        name=name,
        root=root,
        utterances=_ranked(placed),
        splits=_splits(root / manifest.file, placed),
        emotions=emotions or _label_set(manifest, found),
        set_aside=table,
        notes=tuple(notes),
    )


def _no_dialogue(file: Path, manifest: Manifest) -> str:
    header = f" Line {manifest.header_line} was taken for the header." if manifest.header_line else ""
    return (
        f"{file}: no column says which dialogue a row belongs to. Found: {', '.join(manifest.found)}.{header} Add a "
        "column `dialogue`, or map one (`columns: {<yours>: dialogue}`)."
    )


def _unlabelled_words(manifest: Manifest, emotions: tuple[str, ...]) -> list[str]:
    """Which words in the column of labels were taken for none at all."""
    written = {" ".join((row.values.get("emotion") or "").split()) for row in manifest.rows}
    words = sorted(word for word in written if word and _is_missing(word) and word.lower() not in emotions)
    if not words:
        return []
    return [
        f"labels {', '.join(map(repr, words))} were read as no label; where one of them is an emotion, list all of "
        "them in `corpus.emotions`"
    ]


def _is_missing(text: str) -> bool:
    return text.lower() in MISSING


def _read(root: Path, parameters: CorpusParameters) -> Manifest:
    named = parameters.manifest
    if named is None and len(tables_in(root)) != 1:
        if by_split := tables_by_split(root):
            return read_split_tables(root, by_split, parameters.columns)
        if not tables_in(root) and (found := read_transcripts(root)):
            return found
    if named is not None and Path(named).suffix.lower() in SUFFIXES and (found := read_transcripts(root, named)):
        return found
    return read_manifest(root, named, parameters.columns)


def safe_name(name: str) -> str:
    """A corpus name out of any folder name: lower-case ASCII letters, digits, `_` and `-`."""
    return re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-") or "corpus"


def _root(parameters: CorpusParameters) -> Path:
    if parameters.root is None:
        raise CorpusError("the reader `folder` needs a root: the folder with the manifest and the audio.")
    root = parameters.root.expanduser().absolute()
    if not root.is_dir():
        raise CorpusError(f"{root}: no such folder. Give the folder that holds the manifest and the audio.")
    return root


def _place_rows(
    manifest: Manifest, name: str, emotions: tuple[str, ...], finder: AudioFinder
) -> tuple[list[_Placed], list[tuple[str, str, str]]]:
    placed, set_aside = [], list(manifest.set_aside)
    seen: dict[tuple[str, float], str] = {}
    conventions = _Conventions(manifest)
    for row in manifest.rows:
        try:
            one = _place(row, conventions, emotions, finder)
            if conventions.numbered and one.order is not None:
                key = (one.values["dialogue_id"], one.order)
                if key in seen:
                    raise BadRow("doubled dialogue and turn", f"turn {one.values['source_id']} as in {seen[key]}")
                seen[key] = row.where
        except BadRow as bad:
            set_aside.append((row.where, bad.rule, bad.found))
            continue
        one.values["corpus"] = name
        placed.append(one)
    return placed, sorted(set_aside, key=_file_and_line)


def _file_and_line(bad: tuple[str, str, str]) -> tuple[str, int]:
    file, _, line = bad[0].rpartition(":")
    return (file, int(line)) if line.isdecimal() else (bad[0], 0)


class _Conventions:
    """How this manifest numbers its turns and means its times.

    Attributes:
        meld: Dialogue_ID and Utterance_ID name the clips: dia3_utt5.
        turn: our column that holds the turn number, None without one.
        numbered: turns have numbers, so two equal ones are an error.
        episode_times: StartTime and EndTime are positions in a TV episode, not in the audio file.
        unique_ids: source ids alone tell rows apart.
        dialogues: a column names them; else each audio file is one.
    """

    def __init__(self, manifest: Manifest) -> None:
        columns = manifest.columns
        self.meld = manifest.has("dialogueid", "utteranceid") and "turn" not in columns
        self.dialogues = "dialogue" in columns
        self.turn: str | None = "turn" if "turn" in columns else None
        ids = [row.values.get("source_id") for row in manifest.rows]
        numbers = sum(number(value or "") is not None for value in ids)
        if self.turn is None and "source_id" in columns and 2 * numbers > len(ids):
            self.turn = "source_id"
        self.meld = self.meld and self.turn == "source_id"
        self.numbered = self.turn is not None
        self.episode_times = manifest.has("season", "episode") or (self.meld and "audio" not in columns)
        self.unique_ids = len(set(ids)) == len(ids)


def _place(row: Row, conventions: _Conventions, emotions: tuple[str, ...], finder: AudioFinder) -> _Placed:
    value = {name: clean(row.values.get(name) or "") for name in COLUMN_NAMES}
    value |= {name: _name(value[name]) for name in ("dialogue", "speaker", "emotion", "split")}
    if not conventions.dialogues:
        value["dialogue"] = PurePosixPath(value["audio"].replace("\\", "/")).with_suffix("").as_posix()
        value["dialogue"] = value["dialogue"].strip("./")
    if _is_missing(value["dialogue"]):
        raise BadRow("no dialogue", shown(value["dialogue"]) if value["dialogue"] else "an empty field")
    order = None
    if conventions.turn:
        order = number(value[conventions.turn])
        if order is None:
            raise BadRow("turn is not a number", shown(value[conventions.turn]))
    start = end = None
    if not conventions.episode_times:
        start, end = seconds(value["start"]), seconds(value["end"])
        if start is not None and end is None and (length := _duration(row)) is not None:
            end = start + length
        if end is not None and end <= (start or 0.0):
            raise BadRow("end before start", f"{start or 0:g} to {end:g} s")
    emotion = value["emotion"].lower() or None
    if emotion and emotion not in emotions and _is_missing(emotion):
        emotion = None
    if emotions and emotion and emotion not in emotions:
        raise BadRow("unknown label", f"{shown(emotion)}, not one of {', '.join(emotions)}")
    split = SPLIT_NAMES.get(value["split"].lower())
    if split is None and not _is_missing(value["split"]):
        raise BadRow("unknown split", f"{shown(value['split'])}, not train, dev or test")
    text, text_problem = text_or_problem(value["text"])
    source = value["source_id"] or value["turn"] or None
    audio, audio_problem = finder.find(value["audio"], _expected_names(value, source, conventions, end is not None))
    values: dict[str, Any] = {
        name: None if extra is None else clean(extra) for name, extra in row.values.items() if name not in COLUMN_NAMES
    }
    values |= {
        "dialogue_id": row.prefix + value["dialogue"],
        "speaker": value["speaker"] or UNNAMED_SPEAKER,
        "text": text,
        "audio": audio,
        "channel": channel_number(value["channel"]),
        "start": start,
        "end": end,
        "emotion": emotion,
        "source_id": source,
        "text_problem": text_problem,
        "audio_problem": row.audio_problem or audio_problem,
    }
    return _Placed(row.where, values, order if conventions.turn else start, split)


def _name(text: str) -> str:
    """One spelling of a name: blanks and composed letters differ from system to system."""
    return unicodedata.normalize("NFC", " ".join(text.split()))


def _duration(row: Row) -> float | None:
    """What a column `duration` says, which only counts beside a start."""
    written = next((value for name, value in row.values.items() if plain(name) in DURATIONS), None)
    try:
        return seconds(clean(written or ""))
    except BadRow:
        return None


def _expected_names(
    value: dict[str, str], source: str | None, conventions: _Conventions, is_segment: bool
) -> list[str]:
    """How the file of a row without a path may be called, without suffix."""
    names = []
    if conventions.meld:
        names.append(f"dia{value['dialogue']}_utt{value['source_id']}")
    elif source and conventions.unique_ids and value["source_id"]:
        names.append(source)
    if source:
        names.append(f"{value['dialogue']}_{source}")
    if is_segment:
        names.append(value["dialogue"])
    return names


def _ranked(placed: list[_Placed]) -> pd.DataFrame:
    """Turns are ranks inside the dialogue: by turn number, else by start time if all have one, else as in the file."""
    dialogues: dict[str, list[_Placed]] = {}
    for one in placed:
        dialogues.setdefault(one.values["dialogue_id"], []).append(one)
    for rows in dialogues.values():
        orders = [one.order for one in rows if one.order is not None]
        if len(orders) == len(rows):
            rows.sort(key=lambda one: one.order or 0.0)
        for turn, one in enumerate(rows):
            one.values["turn"] = turn
            one.values["source_id"] = one.values["source_id"] or str(turn)
    return as_utterances(pd.DataFrame([one.values for one in placed]))


def _splits(file: Path, placed: list[_Placed]) -> pd.DataFrame:
    found: dict[str, tuple[str, str]] = {}
    for one in placed:
        if one.split is None:
            continue
        dialogue = one.values["dialogue_id"]
        split, where = found.setdefault(dialogue, (one.split, one.where))
        if split != one.split:
            raise CorpusError(
                f"{file}: dialogue {shown(dialogue)} is in {split} ({where}) and in {one.split} ({one.where}). "
                "A dialogue belongs to one split; name the dialogues of different splits differently."
            )
    if not found:
        return empty_splits()
    return pd.DataFrame(
        {"dialogue_id": list(found), "split": [split for split, _ in found.values()]}, dtype="str"
    ).sort_values("dialogue_id", ignore_index=True)


def _label_set(manifest: Manifest, found: set[str]) -> tuple[str, ...]:
    if found and found <= set(LABEL_SETS["meld"]) and manifest.has("dialogueid", "utteranceid"):
        return LABEL_SETS["meld"]
    return tuple(sorted(found))


def _check_bad_share(file: Path, set_aside: pd.DataFrame, placed: int, allowed: float) -> None:
    set_aside = set_aside[set_aside["rule"] != NO_TRANSCRIPT]  # said, but no row of anything
    bad, total = len(set_aside), placed + len(set_aside)
    if bad <= allowed * total and bad < total:
        return
    first = "; ".join(f"{row.row}: {row.rule} ({row.found})" for row in set_aside.head(5).itertuples())
    raise CorpusError(
        f"{file}: {bad} of {total} rows are bad, more than the {allowed:.0%} allowed. First: {first}. "
        "Mend them, or allow more: `--set corpus.bad_share=0.5`."
        if bad < total
        else f"{file}: none of {total} rows can be used. First: {first}."
    )
