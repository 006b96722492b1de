"""MELD as it is released: three CSVs with the words and labels, and one video clip per utterance.

The clips lie in `train_splits`, `dev_splits_complete` and `output_repeated_splits_test`, called `dia{D}_utt{U}.mp4`, or
as extracted audio with the same stems. Dialogue numbers begin anew in every split and utterance numbers have gaps, so
the dialogue becomes `train-110`, the turn is a rank, and the official number stays in `source_id`.

Nothing is decoded here and no bad clip is known by name: a missing one is marked, the others are found when the audio
is measured and compared with `subtitle_seconds`.
"""

import logging
import os
import re
from pathlib import Path
from typing import Any

import pandas as pd

from hbaf.corpus.confined import read_confined
from hbaf.corpus.labels import LabelMap, noted
from hbaf.corpus.readers.folder import safe_name
from hbaf.corpus.schema import (
    LABEL_SETS,
    SPLITS,
    UNNAMED_SPEAKER,
    Corpus,
    CorpusError,
    Split,
    as_utterances,
    empty_set_aside,
)
from hbaf.corpus.sound.find_audio import AUDIO_SUFFIXES, AudioFinder
from hbaf.corpus.text.manifest_values import BadRow, clean, seconds, shown, text_or_problem
from hbaf.corpus.text.table_header import csv_records
from hbaf.corpus.text.windows_1252 import repair_windows_1252
from hbaf.files import one_place
from hbaf.parameters import CorpusParameters

# The release is GPL-3.0, which gives nobody a right to what it is made of: dialogue and sound are the broadcaster's.
LICENCE = "GPL-3.0 for the annotation; words and clips are the broadcaster's: research use only"
COLUMNS = ("Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID", "StartTime", "EndTime")
CLIP = re.compile(r"dia(\d+)_utt(\d+)")  # a whole stem; `final_videos_testdia1_utt0` are leftovers of the release
# Beginning of a folder's name -> the split whose clips lie below it.
CLIP_FOLDERS: dict[str, Split] = {
    "train": "train",
    "dev": "dev",
    "val": "dev",
    "test": "test",
    "output_repeated": "test",
}
CLIP_FOLDER_NAMES = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}
Clips = dict[tuple[str, int, int], str]  # (split, dialogue, utterance) -> path relative to the root

log = logging.getLogger(__name__)


def read_meld(parameters: CorpusParameters) -> Corpus:
    """Reads the official release below `parameters.root`; without any clip it is a corpus of text alone.

    Further columns: `sentiment`, `season`, `episode`, `subtitle_start` (seconds in the episode) and `subtitle_seconds`
    (how long the utterance should last by its subtitle's times; missing where they are not readable).

    Raises:
        CorpusError: a CSV is missing, doubled or not MELD's, clips lie in no split's folder, or more rows are bad than
            `parameters.bad_share`.
    """
    if parameters.root is None:
        raise CorpusError("the reader `meld` needs a root: the folder with train_sent_emo.csv or MELD.Raw.")
    root = one_place(parameters.root)
    files = {split: _find_csv(root, f"{split}_sent_emo.csv") for split in SPLITS}
    clips, finder = find_clips(root), AudioFinder(root)
    labels = LabelMap(parameters)
    emotions = parameters.emotions or labels.of_set(LABEL_SETS["meld"])
    rows: list[dict[str, Any]] = []
    set_aside: list[tuple[str, str, str]] = []
    repaired = sum(_read_split(split, file, emotions, labels, rows, set_aside) for split, file in files.items())
    _check_bad_share(root, set_aside, len(rows) + len(set_aside), parameters.bad_share)
    name = safe_name(parameters.name or "meld")
    for row in rows:
        row["corpus"] = name
        row["audio"], row["audio_problem"] = _audio_of(row, clips, finder)
    table = pd.DataFrame(rows)
    # Numbers have gaps and rows could stand in any order: the rank among the dialogue's utterances is the turn.
    table["turn"] = table.groupby("dialogue_id")["utterance"].rank(method="first").astype("int64") - 1
    splits = table[["dialogue_id", "split"]].drop_duplicates().sort_values("dialogue_id", ignore_index=True)
    log.info(
        "MELD: %s; %d clips",
        ", ".join(f"{s} {(splits['split'] == s).sum()} dialogues {(table['split'] == s).sum()} rows" for s in SPLITS),
        len(clips),
    )
    corpus = Corpus(
        name=name,
        root=root,
        utterances=as_utterances(table.drop(columns=["split", "dialogue", "utterance"])),
        splits=splits.astype("str"),
        emotions=emotions,
        set_aside=pd.DataFrame(set_aside, columns=list(empty_set_aside().columns)).astype("str"),
        licence=LICENCE,
        notes=_notes(table, repaired),
    )
    return noted(corpus, labels)


def find_clips(root: Path) -> Clips:
    """All clips below a folder by split, dialogue and utterance; audio is preferred to video.

    Raises:
        CorpusError: there are clips, but none in a folder that tells their split.
    """
    found: dict[tuple[str, int, int], tuple[int, int, str]] = {}
    homeless = None
    for folder, _, names in os.walk(root):
        split = _split_of(Path(folder).relative_to(root))
        for name in names:
            path = Path(folder, name).relative_to(root)
            match, suffix = CLIP.fullmatch(path.stem), path.suffix.lower()
            if match is None or suffix not in AUDIO_SUFFIXES:
                continue
            if split is None:
                homeless = path
                continue
            candidate = (AUDIO_SUFFIXES.index(suffix), len(path.parts), path.as_posix())
            key = (split, int(match[1]), int(match[2]))
            found[key] = min(found.get(key, candidate), candidate)
    if homeless is not None and not found:
        raise CorpusError(
            f"{root / homeless}: the folder does not say whether its clips are train, dev or test, and the numbers "
            f"occur in all three. Keep the release's folders: {', '.join(CLIP_FOLDER_NAMES.values())}."
        )
    return {key: path for key, (_, _, path) in found.items()}


def _find_csv(root: Path, name: str) -> Path:
    if not root.is_dir():
        raise CorpusError(f"{root}: no such folder. Give the folder with train_sent_emo.csv or MELD.Raw.")
    found = sorted((path for path in root.rglob(name) if not path.is_dir()), key=lambda path: len(path.parts))
    if not found:
        raise CorpusError(f"{root}: no {name} in it. Unpack the release there; it holds one table for each split.")
    nearest = [path for path in found if len(path.parts) == len(found[0].parts)]
    if len({read_confined(path, root) for path in nearest}) > 1:
        raise CorpusError(f"{nearest[0]} and {nearest[1]}: two different tables of one split. Keep the official one.")
    return found[0]


def _read_split(
    split: Split,
    file: Path,
    emotions: tuple[str, ...],
    labels: LabelMap,
    rows: list[dict[str, Any]],
    set_aside: list[tuple[str, str, str]],
) -> int:
    """Appends the rows of one table; returns how many of its lines had traces of a wrong encoding."""
    raw = file.read_bytes().decode("utf-8-sig", "surrogateescape")
    text = repair_windows_1252(raw)
    repaired = sum(line != repair_windows_1252(line) for line in raw.splitlines()) if text != raw else 0
    records = ((line, fields) for line, fields in csv_records(text) if any(fields))
    header = next((fields for _, fields in records if not isinstance(fields, str)), [])
    absent = [column for column in COLUMNS if column not in header]
    if absent:
        raise CorpusError(
            f"{file}: not a table of MELD, it lacks {', '.join(absent)}. Found: {', '.join(header)}. Take the official "
            "one, or read your own table with the reader `folder`."
        )
    seen: set[tuple[int, int]] = set()
    for line, fields in records:
        where = f"{file.name}:{line}"
        try:
            if isinstance(fields, str):
                raise BadRow("broken quotation marks", fields)
            if len(fields) != len(header):
                raise BadRow("wrong number of fields", f"{len(fields)} instead of {len(header)}")
            row = _row(split, dict(zip(header, fields, strict=True)), emotions, labels)
            key = (row["dialogue"], row["utterance"])
            if key in seen:
                raise BadRow("doubled dialogue and utterance", row["source_id"])
        except BadRow as bad:
            set_aside.append((where, bad.rule, bad.found))
            continue
        seen.add(key)
        rows.append(row)
    return repaired


def _notes(table: pd.DataFrame, repaired: int) -> tuple[str, ...]:
    """The release's known oddities, as far as they are in this copy; found, not listed."""
    numbers = table.groupby("dialogue_id")["utterance"].agg(["size", "max"])
    gapped = int((numbers["max"] + 1 != numbers["size"]).sum())
    notes = []
    for split, numbered in table.groupby("split")["dialogue"]:
        absent = sorted(set(range(int(numbered.max()) + 1)) - set(numbered))
        if absent:
            notes.append(f"{split} has no dialogue {', '.join(map(str, absent[:10]))}")
    if gapped:
        notes.append(f"utterance numbers have gaps in {gapped} dialogues; turns are ranks")
    if repaired:
        notes.append(f"{repaired} lines with traces of Windows-1252 repaired")
    return tuple(notes)


def _row(split: Split, fields: dict[str, Any], emotions: tuple[str, ...], labels: LabelMap) -> dict[str, Any]:
    value = {name: clean(text) for name, text in fields.items()}
    for name in ("Dialogue_ID", "Utterance_ID"):
        if not re.fullmatch(r"[0-9]{1,9}", value[name]):
            raise BadRow(f"{name} is not a number", shown(value[name]))
    emotion = labels(value["Emotion"]) or None
    if emotion and emotion not in emotions:
        raise BadRow("unknown label", f"{shown(emotion)}, not one of {', '.join(emotions)}")
    dialogue, utterance = int(value["Dialogue_ID"]), int(value["Utterance_ID"])
    text, text_problem = text_or_problem(value["Utterance"])
    start, end = _time(value["StartTime"]), _time(value["EndTime"])
    return {
        "split": split,
        "dialogue": dialogue,
        "utterance": utterance,
        "dialogue_id": f"{split}-{dialogue}",
        "source_id": f"dia{dialogue}_utt{utterance}",
        "speaker": value["Speaker"] or UNNAMED_SPEAKER,
        "text": text,
        "text_problem": text_problem,
        "emotion": emotion,
        "sentiment": value["Sentiment"].lower() or None,
        "season": value.get("Season"),
        "episode": value.get("Episode"),
        "subtitle_start": start,
        # Rounded, for the times have milliseconds: 00:00:01,100 - 00:00:01,000 is not 0.10000000000000009 s.
        "subtitle_seconds": None if start is None or end is None else round(end - start, 3),
    }


def _time(text: str) -> float | None:
    try:
        return seconds(text)
    except BadRow:
        return None


def _split_of(folder: Path) -> Split | None:
    """By the innermost folder that is named after a split."""
    for part in reversed(folder.parts):
        for beginning, split in CLIP_FOLDERS.items():
            if part.lower().startswith(beginning):
                return split
    return None


def _audio_of(row: dict[str, Any], clips: Clips, finder: AudioFinder) -> tuple[str | None, str | None]:
    if not clips:
        return None, "no audio: there are no clips in the release folder"
    path = clips.get((row["split"], row["dialogue"], row["utterance"]))
    if path is None:
        return None, f"no audio: the release lacks {CLIP_FOLDER_NAMES[row['split']]}/{row['source_id']}"
    return finder.find(path)


def _check_bad_share(root: Path, set_aside: list[tuple[str, str, str]], total: int, allowed: float) -> None:
    if len(set_aside) > allowed * total or len(set_aside) == total:
        first = "; ".join(f"{where}: {rule} ({found})" for where, rule, found in set_aside[:5])
        raise CorpusError(
            f"{root}: {len(set_aside)} of {total} rows are bad, more than the {allowed:.0%} allowed. First: {first}. "
            "Take the official tables, or allow more: `--set corpus.bad_share=0.5`."
        )
