"""Rows of a manifest -> utterances in their dialogues, by what this manifest means with its columns."""

import unicodedata
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from hbaf.corpus.labels import LabelMap
from hbaf.corpus.schema import UNNAMED_SPEAKER
from hbaf.corpus.sound.find_audio import AudioFinder
from hbaf.corpus.text.manifest import Manifest, Row
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
from hbaf.corpus.text.split_tables import SPLIT_NAMES
from hbaf.parameters import LimitParameters

_TIMES = ("start", "end", "duration")


@dataclass(frozen=True)
class Placed:
    """A row in its dialogue, before the turns are ranked."""

    where: str
    values: dict[str, Any]
    order: float | None
    split: str | None


def place_rows(
    manifest: Manifest,
    name: str,
    emotions: tuple[str, ...],
    labels: LabelMap,
    finder: AudioFinder,
    limits: LimitParameters,
) -> tuple[list[Placed], list[tuple[str, str, str]]]:
    """(rows in their dialogues, (where, rule, found) of those that are set aside), in the order of the file.

    Args:
        name: of the corpus.
        emotions: the label set; empty: whatever stands there.
        labels: what becomes of labels before they are held against the set.
        limits: what is too long for one turn.
    """
    placed, set_aside = [], list(manifest.set_aside)
    seen: dict[tuple[str, float], str] = {}
    conventions = _Conventions(manifest)
    for row in manifest.rows:
        try:
            one = _place(row, conventions, emotions, labels, finder, limits)
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
        self.units = {name: unit_of(columns[name]) for name in _TIMES if name in columns}

    def times(self, value: dict[str, str]) -> tuple[float | None, float | None, str | None]:
        """(start, end, problem) in seconds; a duration counts where there is a start and no end.

        Raises:
            BadRow: no time, or an end before its start.
        """
        start, end = self._time(value, "start"), self._time(value, "end")
        if end is None and start is not None and (duration := self._time(value, "duration")) is not None:
            end = start + duration
        if end is not None and end < (start or 0.0):
            raise BadRow("end before start", f"{start or 0:g} to {end:g} s")
        if end is not None and end == (start or 0.0):
            return start, None, f"ends when it starts, at {end:g} s"
        return start, end, None

    def _time(self, value: dict[str, str], name: str) -> float | None:
        return seconds(value[name], self.units.get(name, 1.0))


def _place(
    row: Row,
    conventions: _Conventions,
    emotions: tuple[str, ...],
    labels: LabelMap,
    finder: AudioFinder,
    limits: LimitParameters,
) -> Placed:
    value = {name: clean(field) if (field := row.values.get(name)) else "" for name in COLUMN_NAMES}
    value |= {name: _name(value[name]) for name in ("dialogue", "speaker", "split")}
    if not conventions.dialogues:
        path = PurePosixPath(value["audio"].replace("\\", "/"))
        value["dialogue"] = path.with_suffix("").as_posix().strip("./") if path.name else ""
    if value["dialogue"].lower() in NO_VALUE:
        raise BadRow("no dialogue", shown(value["dialogue"]) if value["dialogue"] else "an empty field")
    order = None
    if conventions.turn:
        order = number(value[conventions.turn])
        if order is None:
            raise BadRow("turn is not a number", shown(value[conventions.turn]))
    start = end = time_problem = None
    if not conventions.episode_times:
        start, end, time_problem = conventions.times(value)
    emotion = None if (label := labels(value["emotion"])) not in emotions and label in NO_VALUE else label
    if emotions and emotion and emotion not in emotions:
        raise BadRow("unknown label", f"{shown(emotion)}, not one of {', '.join(emotions)}")
    split = SPLIT_NAMES.get(value["split"].lower())
    if split is None and value["split"].lower() not in NO_VALUE:
        raise BadRow("unknown split", f"{shown(value['split'])}, not train, dev or test")
    text, text_problem = text_or_problem(value["text"], limits)
    source = value["source_id"] or value["turn"] or None
    audio, audio_problem = finder.find(value["audio"], _expected_names(value, source, conventions, end is not None))
    values: dict[str, Any] = {
        name: None if extra is None else clean(extra) for name, extra in row.values.items() if name not in COLUMN_NAMES
    }
    values |= {
        "dialogue_id": row.prefix + value["dialogue"],
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
    return Placed(row.where, values, order if conventions.turn else start, split)


def _name(text: str) -> str:
    """One spelling of a name: blanks and composed letters differ from system to system."""
    return unicodedata.normalize("NFC", " ".join(text.split()))


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
