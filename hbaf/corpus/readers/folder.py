"""The reader for your own conversations: a manifest beside a folder of audio, or a transcript beside each recording.

One row is one utterance. A row that cannot be placed in its dialogue is set aside with its line and the rule; a row
whose text or audio is missing stays, with the reason.
"""

import re
from pathlib import Path

import pandas as pd

from hbaf.corpus.confined import confined
from hbaf.corpus.labels import LabelMap, noted, plain_label
from hbaf.corpus.readers.placed_rows import Placed, place_rows
from hbaf.corpus.readers.transcripts import NO_TRANSCRIPT, read_transcripts
from hbaf.corpus.readers.words_beside import add_words
from hbaf.corpus.schema import LABEL_SETS, Corpus, CorpusError, as_utterances, empty_set_aside, empty_splits
from hbaf.corpus.sound.channels import assign_channels
from hbaf.corpus.sound.find_audio import AUDIO_SUFFIXES, AudioFinder
from hbaf.corpus.text.find_manifest import read_manifest, tables_in
from hbaf.corpus.text.manifest import Manifest
from hbaf.corpus.text.manifest_columns import map_columns
from hbaf.corpus.text.manifest_values import NO_VALUE, shown
from hbaf.corpus.text.split_tables import read_split_tables, tables_by_split
from hbaf.corpus.text.toolkits.json_lines import is_nemo
from hbaf.corpus.text.toolkits.kaldi import kaldi_directories, read_kaldi
from hbaf.corpus.text.toolkits.lhotse import lhotse_files, read_lhotse
from hbaf.corpus.text.transcripts.forms import BESIDE_A_RECORDING, SUFFIXES, TABLES, is_table_of_turns
from hbaf.corpus.text.turn_times import complete_times
from hbaf.files import one_place
from hbaf.parameters import CorpusParameters


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
        if "audio" not in manifest.columns or "turn" in manifest.columns:
            raise CorpusError(_no_dialogue(root / manifest.file, manifest))
        manifest.notes.append("no column says which dialogue a row belongs to: each audio file is one of its own")
    name, labels = safe_name(parameters.name or root.name), LabelMap(parameters)
    emotions = tuple(plain_label(emotion) for emotion in parameters.emotions)
    finder = AudioFinder(root)
    add_words(manifest, root, finder, parameters.limits)
    notes = list(manifest.notes)
    placed, set_aside = place_rows(manifest, name, emotions, labels, finder, parameters.limits)
    table = pd.DataFrame(set_aside, columns=list(empty_set_aside().columns)).astype("str")
    _check_bad_share(root / manifest.file, table, len(placed), parameters.bad_share)
    assign_channels(((row.where, row.values) for row in placed), parameters.channels)
    if taken := complete_times(row.values for row in placed):
        notes.append(
            f"{taken} turn{'s' if taken > 1 else ''} without an end last until the next turn of the recording begins"
        )
    notes += [*finder.notes, *_unlabelled_words(manifest, {*emotions, *labels.targets})]
    found = {str(row.values["emotion"]) for row in placed if row.values["emotion"]}
    corpus = Corpus(
        name=name,
        root=root,
        utterances=_ranked(placed),
        splits=_splits(root / manifest.file, placed),
        emotions=emotions or _label_set(manifest, found),
        set_aside=table,
        notes=tuple(notes),
    )
    return noted(corpus, labels)


def _no_dialogue(file: Path, manifest: Manifest) -> str:
    header = f" Line {manifest.header_line} was taken for the header." if manifest.header_line else ""
    return (
        f"{file}: no column says which dialogue a row belongs to. Found: {', '.join(manifest.found)}.{header} Add a "
        f"column `dialogue`, or say which one it is: {map_columns({'YOURS': 'dialogue'})}."
    )


def _unlabelled_words(manifest: Manifest, known: set[str]) -> list[str]:
    """Which words in the column of labels were taken for none at all."""
    written = {" ".join((row.values.get("emotion") or "").split()) for row in manifest.rows}
    words = sorted(word for word in written if word and word.lower() in {*NO_VALUE} - known)
    if not words:
        return []
    return [
        f"labels {', '.join(map(repr, words))} were read as no label; where one of them is an emotion, list all of "
        "them in `corpus.emotions`"
    ]


def _read(root: Path, parameters: CorpusParameters) -> Manifest:
    named = parameters.manifest
    if (by_toolkit := _read_toolkit(root, named, parameters)) is not None:
        return by_toolkit
    if named is None:
        tables = [path for path in tables_in(root) if not _is_of_a_recording(path)]
        if len(tables) != 1 and (by_split := tables_by_split(root)):
            return read_split_tables(root, by_split, parameters.columns, parameters.limits)
        if not tables and (found := read_transcripts(root, limits=parameters.limits)):
            return found
    elif Path(named).suffix.lower() in {*SUFFIXES, *BESIDE_A_RECORDING} - set(TABLES) and (
        not is_nemo(root / named) and (found := read_transcripts(root, named, parameters.limits))
    ):
        return found
    return read_manifest(root, named, parameters.columns, parameters.limits)


def _read_toolkit(root: Path, named: str | None, parameters: CorpusParameters) -> Manifest | None:
    """What a toolkit of speech recognition describes; a folder that is named may also hold a table for each split."""
    folder = root if named is None else root / named
    if folder.is_dir():
        if not folder.resolve().is_relative_to(root.resolve()):
            raise CorpusError(f"{named}: lies outside the corpus folder {root}. Put the manifest into it.")
        if directories := kaldi_directories(folder):
            return read_kaldi(root, directories, parameters.limits)
        if named is not None and (by_split := tables_by_split(folder)):
            return read_split_tables(root, by_split, parameters.columns, parameters.limits)
    parts = lhotse_files(root, named)
    return read_lhotse(root, parts, parameters.limits) if parts.whole else None


def _is_of_a_recording(table: Path) -> bool:
    """Whether a table holds the turns of one recording, beside it and of its name."""
    if table.suffix.lower() not in TABLES or not any(table.with_suffix(kind).exists() for kind in AUDIO_SUFFIXES):
        return False
    with confined(table, table.parent).open("rb") as file:
        return is_table_of_turns(file.readline(20_000).decode("utf-8", "replace").lstrip("\ufeff"))


def safe_name(name: str) -> str:
    """A corpus name out of any folder name: lower-case ASCII letters, digits, `_` and `-`."""
    return re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-") or "corpus"


def _root(parameters: CorpusParameters) -> Path:
    if parameters.root is None:
        raise CorpusError("the reader `folder` needs a root: the folder with the manifest and the audio.")
    root = one_place(parameters.root)
    if not root.is_dir():
        raise CorpusError(f"{root}: no such folder. Give the folder that holds the manifest and the audio.")
    return root


def _ranked(placed: list[Placed]) -> pd.DataFrame:
    """Turns are ranks inside the dialogue: by turn number, else by start time if all have one, else as in the file."""
    dialogues: dict[str, list[Placed]] = {}
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


def _splits(file: Path, placed: list[Placed]) -> pd.DataFrame:
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
    set_aside = set_aside[set_aside["rule"] != NO_TRANSCRIPT]  # reported, but no row of anything
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
