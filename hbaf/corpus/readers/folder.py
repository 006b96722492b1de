"""The reader for your own conversations: a manifest beside a folder of audio, or a transcript beside each recording.

One row is one utterance. A row that cannot be placed in its dialogue is set aside with its line and the rule; a row
whose text or audio is missing stays, with the reason.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hbaf.corpus.readers.transcripts import NO_TRANSCRIPT, read_transcripts
from hbaf.corpus.schema import LABEL_SETS, Corpus, CorpusError, as_utterances, empty_set_aside, empty_splits
from hbaf.corpus.sound.channels import UNNAMED_SPEAKER, assign_channels
from hbaf.corpus.sound.find_audio import AUDIO_SUFFIXES, AudioFinder
from hbaf.corpus.text.manifest import Manifest, Row, read_manifest, tables_in
from hbaf.corpus.text.manifest_columns import COLUMN_NAMES, unit_of
from hbaf.corpus.text.manifest_values import (
    NO_VALUE,
    BadRow,
    channel_number,
    clean,
    number,
    seconds,
    shown,
    text_or_problem,
)
from hbaf.corpus.text.transcripts.forms import BESIDE_A_RECORDING, SUFFIXES, TABLES, is_table_of_turns
from hbaf.corpus.text.turn_times import complete_times
from hbaf.parameters import CorpusParameters

_TIMES = ("start", "end", "duration")
SPLIT_NAMES = {"train": "train", "dev": "dev", "val": "dev", "valid": "dev", "validation": "dev", "test": "test"}


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
    if "dialogue" not in manifest.columns:
        raise CorpusError(
            f"{root / manifest.file}: no column says which dialogue a row belongs to. Found: "
            f"{', '.join(manifest.found)}. Add a column `dialogue`, or map one (`columns: {{<yours>: dialogue}}`)."
        )
    name = safe_name(parameters.name or root.name)
    emotions = tuple(emotion.strip().lower() for emotion in parameters.emotions)
    placed, set_aside = _place_rows(manifest, name, emotions, AudioFinder(root))
    table = pd.DataFrame(set_aside, columns=list(empty_set_aside().columns)).astype("str")
    _check_bad_share(root / manifest.file, table, len(placed), parameters.bad_share)
    notes = list(manifest.notes)
    if taken := complete_times(row.values for row in placed):
        notes.append(
            f"{taken} turn{'s' if taken > 1 else ''} without an end last until the next turn of the recording begins"
        )
    assign_channels(((row.where, row.values) for row in placed), parameters.channels)
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


def _read(root: Path, parameters: CorpusParameters) -> Manifest:
    named = parameters.manifest
    if named is None and not [path for path in tables_in(root) if not _is_of_a_recording(path)]:
        return read_transcripts(root) or read_manifest(root)
    if named is not None and Path(named).suffix.lower() in {*SUFFIXES, *BESIDE_A_RECORDING} - set(TABLES):
        found = read_transcripts(root, named)
        if found is not None:
            return found
    return read_manifest(root, named, parameters.columns)


def _is_of_a_recording(table: Path) -> bool:
    """Whether a table holds the turns of one recording, beside it and of its name."""
    if table.suffix.lower() not in TABLES or not any(table.with_suffix(kind).exists() for kind in AUDIO_SUFFIXES):
        return False
    with table.open("rb") as file:
        return is_table_of_turns(file.readline(20_000).decode("utf-8", "replace").lstrip("\ufeff"))


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
    """

    def __init__(self, manifest: Manifest) -> None:
        columns = manifest.columns
        self.meld = manifest.has("dialogueid", "utteranceid") and "turn" not in columns
        self.turn: str | None = "turn" if "turn" in columns else None
        ids = [row.values.get("source_id") for row in manifest.rows]
        numbers = sum(number(value or "") is not None for value in ids)
        if self.turn is None and "source_id" in columns and 2 * numbers > len(ids):
            self.turn = "source_id"
        self.meld = self.meld and self.turn == "source_id"
        self.numbered = self.turn is not None
        self.episode_times = manifest.has("season", "episode") or (self.meld and "audio" not in columns)
        self.unique_ids = len(set(ids)) == len(ids)
        self.units = {name: unit_of(columns[name]) for name in _TIMES if name in columns}

    def times(self, value: dict[str, str]) -> tuple[float | None, float | None, str | None]:
        """(start, end, problem) in seconds; a duration counts where there is a start and no end.

        Raises:
            BadRow: no time, or an end before its start.
        """
        start, end, duration = (
            seconds(value[name], self.units.get(name, 1.0)) for name in ("start", "end", "duration")
        )
        if end is None and start is not None and duration is not None:
            end = start + duration
        if end is not None and end < (start or 0.0):
            raise BadRow("end before start", f"{start or 0:g} to {end:g} s")
        if end is not None and end == (start or 0.0):
            return start, None, f"ends when it starts, at {end:g} s"
        return start, end, None


def _place(row: Row, conventions: _Conventions, emotions: tuple[str, ...], finder: AudioFinder) -> _Placed:
    value = {name: clean(row.values.get(name) or "") for name in COLUMN_NAMES}
    value |= {name: " ".join(value[name].split()) for name in ("dialogue", "speaker", "emotion", "split")}
    if not value["dialogue"]:
        raise BadRow("no dialogue", "an empty field")
    order = None
    if conventions.turn:
        order = number(value[conventions.turn])
        if order is None:
            raise BadRow("turn is not a number", shown(value[conventions.turn]))
    start = end = time_problem = None
    if not conventions.episode_times:
        start, end, time_problem = conventions.times(value)
    emotion = None if (label := value["emotion"].lower()) in NO_VALUE else label
    if emotions and emotion and emotion not in emotions:
        raise BadRow("unknown label", f"{shown(emotion)}, not one of {', '.join(emotions)}")
    split = SPLIT_NAMES.get(value["split"].lower())
    if split is None and value["split"].lower() not in NO_VALUE:
        raise BadRow("unknown split", f"{shown(value['split'])}, not train, dev or test")
    text, text_problem = text_or_problem(value["text"])
    source = value["source_id"] or value["turn"] or None
    audio, audio_problem = finder.find(value["audio"], _expected_names(value, source, conventions, end is not None))
    values: dict[str, Any] = {
        name: None if extra is None else clean(extra) for name, extra in row.values.items() if name not in COLUMN_NAMES
    }
    values |= {
        "dialogue_id": value["dialogue"],
        "speaker": UNNAMED_SPEAKER if value["speaker"].lower() in NO_VALUE else value["speaker"],
        "text": text,
        "audio": audio,
        "channel": channel_number(value["channel"]),
        "start": start,
        "end": end,
        "emotion": emotion,
        "source_id": source,
        "text_problem": text_problem,
        "audio_problem": row.audio_problem or audio_problem or time_problem,
    }
    return _Placed(row.where, values, order if conventions.turn else start, split)


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
