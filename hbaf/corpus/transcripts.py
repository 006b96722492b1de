"""A folder of recordings with a transcript beside each: every transcript is a dialogue, and no manifest is needed.

Captions (WebVTT, SRT) and the JSON of speech recognisers; the dialogue is called like the recording.
"""

import json
import os
from pathlib import Path
from typing import Any

from hbaf.corpus.asr_json import read_asr_json
from hbaf.corpus.captions import SetAside, read_captions
from hbaf.corpus.find_audio import AUDIO_SUFFIXES, folded
from hbaf.corpus.manifest import Manifest, Row, decode
from hbaf.corpus.manifest_values import NO_TIME, BadRow, seconds
from hbaf.corpus.schema import CorpusError

SUFFIXES = (".json", ".vtt", ".srt")  # where one recording has several, the one that says most is read
LARGEST = 1 << 28  # bytes; words and times of a whole day are a tenth of that
NO_TRANSCRIPT = "recording without transcript"
_COLUMNS = ("dialogue", "turn", "source_id", "speaker", "text", "audio", "channel", "start", "end")


def read_transcripts(root: Path, file: str | None = None) -> Manifest | None:
    """The transcripts in a folder and below it as a manifest; None where there are none.

    Args:
        root: the corpus folder.
        file: read only this one.

    Raises:
        CorpusError: `file` is not there, lies outside, or is no transcript.
    """
    manifest = Manifest("transcripts", [*_COLUMNS])
    manifest.columns = {name: name for name in _COLUMNS}
    files = _files(root)
    if file is not None:
        manifest.file = file
        path = _named(root, file)
        rows, set_aside = _parse(path, _shown(path, root)) or ([], [(f"{file}:1", "not a transcript", "")])
        if not rows:
            raise CorpusError(
                f"{path}: no timed text in it. A transcript is WebVTT, SRT, or the JSON of Whisper or AWS Transcribe."
            )
        _add(manifest, path.stem, _Recordings(files).of(path), rows, root)
        manifest.set_aside += set_aside
        return manifest
    dialogues = _dialogues(files)
    for name, (recording, transcripts) in dialogues.items():
        _read_best(manifest, name, recording, transcripts, root)
    if not manifest.rows and not manifest.set_aside:
        return None
    with_one = {recording for recording, _ in dialogues.values()}
    manifest.set_aside += [
        (_shown(path, root), NO_TRANSCRIPT, "no .json, .vtt or .srt of its name")
        for path in files
        if path.suffix.lower() in AUDIO_SUFFIXES and path not in with_one
    ]
    return manifest


def read_recording(root: Path, name: str, recording: Path | None, transcripts: list[Path]) -> Manifest:
    """One recording with its transcripts, of which the one that says most is read.

    Args:
        root: the folder that paths are shown relative to.
        name: of the dialogue.
    """
    manifest = Manifest("transcripts", [*_COLUMNS], {column: column for column in _COLUMNS})
    best = sorted(transcripts, key=lambda path: (SUFFIXES.index(path.suffix.lower()), len(path.name)))
    _read_best(manifest, name, recording, best, root)
    return manifest


def _files(root: Path) -> list[Path]:
    """Recordings and possible transcripts, in order; nothing hidden, no pipes, nothing that leads out of the folder."""
    inside, found = root.resolve(), []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            if name.startswith(".") or path.suffix.lower() not in (*SUFFIXES, *AUDIO_SUFFIXES):
                continue
            try:
                if path.is_file() and path.resolve().is_relative_to(inside):
                    found.append(path)
            except (OSError, RuntimeError):  # a loop of links
                continue
    return found


def _named(root: Path, file: str) -> Path:
    path = root / file
    if not path.resolve().is_relative_to(root.resolve()):
        raise CorpusError(f"{file}: lies outside the corpus folder {root}. Put the transcript into it.")
    if not path.is_file():
        raise CorpusError(f"{path}: no such transcript. Give the name of a file in {root} with `--manifest`.")
    return path


class _Recordings:
    """Which recording a transcript belongs to: call1.wav for call1.vtt, call1.en.vtt and call1.wav.json.

    The one beside it, or else the only one of its name in the whole folder.
    """

    def __init__(self, files: list[Path]) -> None:
        audio = [path for path in files if path.suffix.lower() in AUDIO_SUFFIXES]
        audio.sort(key=lambda path: AUDIO_SUFFIXES.index(path.suffix.lower()))
        self._beside: dict[tuple[Path, str], Path] = {}
        self._anywhere: dict[str, list[Path]] = {}
        for path in audio:
            for name in (path.stem, path.name):
                self._beside.setdefault((path.parent, name), path)
                self._anywhere.setdefault(folded(name), []).append(path)

    def of(self, transcript: Path) -> Path | None:
        names = (transcript.stem, transcript.stem.rpartition(".")[0])
        for name in names:
            if (transcript.parent, name) in self._beside:
                return self._beside[transcript.parent, name]
        for name in map(folded, names):  # Call.WAV for call.srt, where it is the only one
            found = self._anywhere.get(name, [])
            beside = [path for path in found if path.parent == transcript.parent]
            if len(found) == 1 or len({path.stem for path in beside}) == 1:
                return (beside or found)[0]
        return None


def _dialogues(files: list[Path]) -> dict[str, tuple[Path | None, list[Path]]]:
    """Dialogue -> its recording and its possible transcripts, best first."""
    recordings = _Recordings(files)
    groups: dict[tuple[Path, str], tuple[Path | None, list[Path]]] = {}
    for path in files:
        if path.suffix.lower() in SUFFIXES:
            recording = recordings.of(path)
            stem = recording.stem if recording else path.stem
            groups.setdefault((path.parent, stem), (recording, []))[1].append(path)
    stems = [stem for _, stem in groups]
    top = Path(os.path.commonpath([str(folder) for folder, _ in groups])) if groups else Path()
    named: dict[str, tuple[Path | None, list[Path]]] = {}
    for (folder, stem), (recording, transcripts) in groups.items():
        transcripts.sort(key=lambda path: (SUFFIXES.index(path.suffix.lower()), len(path.name)))
        unique = stems.count(stem) == 1
        named[stem if unique else "-".join([*folder.relative_to(top).parts, stem])] = (recording, transcripts)
    return named


def _read_best(manifest: Manifest, name: str, recording: Path | None, transcripts: list[Path], root: Path) -> None:
    refused: list[SetAside] = []
    for path in transcripts:
        parsed = _parse(path, _shown(path, root))
        if parsed and parsed[0]:
            _add(manifest, name, recording, parsed[0], root)
            manifest.set_aside += parsed[1]
            return
        if recording or path.suffix.lower() != ".json":  # a JSON beside nothing is somebody's settings
            refused.append((f"{_shown(path, root)}:1", "not a transcript", "no timed text in it"))
    manifest.set_aside += refused


def _parse(path: Path, shown: str) -> tuple[list[Row], list[SetAside]] | None:
    """(rows, what cannot be read), or None for a file that is no transcript."""
    try:
        if not 0 < path.stat().st_size <= LARGEST:
            return None
        text, _ = decode(path)
        if path.suffix.lower() == ".json" or text.lstrip()[:1] in ("{", "["):
            return read_asr_json(shown, json.loads(text))
        return read_captions(shown, text) if "-->" in text else None
    except (OSError, ValueError, RecursionError):  # a CorpusError, of an unknown encoding, is a ValueError
        return None


def _add(manifest: Manifest, dialogue: str, recording: Path | None, rows: list[Row], root: Path) -> None:
    """Completes the rows of one dialogue in the order of their times."""
    audio = _shown(recording, root) if recording else None
    numbered = sorted(enumerate(rows, start=1), key=lambda one: _start(one[1]))
    for turn, (number, row) in enumerate(numbered):
        problem = row.audio_problem
        if audio is None:
            problem = f"no recording of the name of {row.where.rpartition(':')[0]}"
        elif any((row.values[name] or "").lower() in NO_TIME for name in ("start", "end")):
            problem = "the transcript has no time for it"
        values: dict[str, Any] = {"dialogue": dialogue, "turn": str(turn), "source_id": str(number), "audio": audio}
        manifest.rows.append(Row(row.where, {"channel": None, **row.values, **values}, problem))


def _start(row: Row) -> float:
    try:
        return seconds(row.values["start"] or "") or 0.0
    except BadRow:
        return 0.0


def _shown(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
