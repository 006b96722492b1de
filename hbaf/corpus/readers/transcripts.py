"""A folder of recordings with a transcript beside each: every transcript is a dialogue, and no manifest is needed.

Captions, annotations and the JSON of speech recognisers (`hbaf.corpus.text.transcripts.forms`); the dialogue is called
like the recording.
"""

import os
from pathlib import Path
from typing import Any

from hbaf.corpus.schema import CorpusError
from hbaf.corpus.sound.find_audio import AUDIO_SUFFIXES, folded
from hbaf.corpus.text.manifest import Manifest, Row
from hbaf.corpus.text.manifest_values import NO_VALUE, BadRow, seconds
from hbaf.corpus.text.toolkits.rttm import SUFFIX as RTTM
from hbaf.corpus.text.toolkits.rttm import name_speakers
from hbaf.corpus.text.transcripts.forms import BESIDE_A_RECORDING, FORMS, SUFFIXES, ReadSummary, read_transcript
from hbaf.corpus.text.transcripts.made_here import kept_in_home
from hbaf.corpus.text.transcripts.parsed import NotATranscriptError, SetAside
from hbaf.parameters import LimitParameters

NO_TRANSCRIPT = "recording without transcript"
_COLUMNS = ("dialogue", "turn", "source_id", "speaker", "text", "audio", "channel", "start", "end")


def read_transcripts(
    root: Path,
    file: str | None = None,
    limits: LimitParameters = LimitParameters(),  # noqa: B008  # frozen
) -> Manifest | None:
    """The transcripts in a folder and below it as a manifest; None where there are none.

    Args:
        root: the corpus folder.
        file: read only this one.
        limits: what a transcript may cost.

    Raises:
        CorpusError: `file` is not there, lies outside, or is no transcript.
    """
    manifest = Manifest("transcripts", [*_COLUMNS])
    manifest.columns = {name: name for name in _COLUMNS}
    files = _files(root)
    if file is not None:
        manifest.file = file
        path = _named(root, file)
        summary = ReadSummary()
        try:
            parsed = read_transcript(path, _shown(path, root), limits)
        except NotATranscriptError as error:
            raise CorpusError(f"{path}: not a transcript: {error}. A transcript is {FORMS}.") from error
        summary.add(_shown(path, root), parsed)
        _add(manifest, path.stem, _Recordings(files).of(path), parsed.rows, root)
        manifest.set_aside += parsed.set_aside
        manifest.notes += summary.lines()
        name_speakers(manifest, files, root, limits)
        return manifest
    summary = ReadSummary()
    dialogues = _dialogues(files, in_home=True)
    for name, (recording, transcripts) in dialogues.items():
        _read_best(manifest, name, recording, transcripts, root, summary, limits)
    manifest.notes += summary.lines()
    if not manifest.rows and not manifest.set_aside:
        return None
    name_speakers(manifest, files, root, limits)
    with_one = {recording for recording, _ in dialogues.values()}
    manifest.set_aside += [
        (_shown(path, root), NO_TRANSCRIPT, f"no transcript of its name ({', '.join(SUFFIXES[:6])} ...)")
        for path in files
        if path.suffix.lower() in AUDIO_SUFFIXES and path not in with_one
    ]
    return manifest


def find_recordings(root: Path) -> list[tuple[Path, list[Path]]]:
    """Every recording below a folder with the transcripts beside it; of one in several kinds, the preferred kind."""
    files = _files(root)
    found = {recording: transcripts for recording, transcripts in _dialogues(files).values() if recording is not None}
    transcribed = {recording.with_suffix("") for recording in found}
    audio = [path for path in files if path.suffix.lower() in AUDIO_SUFFIXES]
    for path in sorted(audio, key=lambda path: AUDIO_SUFFIXES.index(path.suffix.lower())):
        if path.with_suffix("") not in transcribed:
            transcribed.add(path.with_suffix(""))
            found[path] = []
    return sorted(found.items())


def transcripts_by_recording(root: Path) -> dict[Path, list[Path]]:
    """Every recording below a folder that has transcripts -> those, best first; with those that the home keeps."""
    dialogues = _dialogues(_files(root), in_home=True)
    return {recording: transcripts for recording, transcripts in dialogues.values() if recording is not None}


def read_recording(
    root: Path, name: str, recording: Path | None, transcripts: list[Path], limits: LimitParameters
) -> Manifest:
    """One recording with its transcripts, of which the one that says most is read.

    Args:
        root: the folder that paths are shown relative to.
        name: of the dialogue.
    """
    manifest = Manifest("transcripts", [*_COLUMNS], {column: column for column in _COLUMNS})
    summary = ReadSummary()
    _read_best(manifest, name, recording, sorted(transcripts, key=_rank), root, summary, limits)
    manifest.notes += summary.lines()
    return manifest


def _rank(transcript: Path) -> tuple[int, int]:
    """Where several belong to one recording, the least is tried first."""
    return (*SUFFIXES, *BESIDE_A_RECORDING).index(transcript.suffix.lower()), len(transcript.name)


def _files(root: Path) -> list[Path]:
    """Recordings and possible transcripts, in order; nothing hidden, no pipes, nothing that leads out of the folder."""
    inside, found = root.resolve(), []
    known = {*SUFFIXES, *BESIDE_A_RECORDING, *AUDIO_SUFFIXES, RTTM}
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            if name.startswith(".") or path.suffix.lower() not in known:
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

    The one beside it, or else the only one of its name in the whole folder; case and the form of accents count only
    where several fit.
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
        alike = {name: self._anywhere.get(folded(name), []) for name in names}
        for paths in alike.values():  # Call.WAV for call.srt, where it is the only one
            beside = [path for path in paths if path.parent == transcript.parent]
            if len({path.stem for path in beside}) == 1:
                return beside[0]
        for name, paths in alike.items():
            exact = [path for path in paths if name in (path.stem, path.name)]
            if len(exact) == 1 or len(paths) == 1:
                return (exact or paths)[0]
        return None


def _dialogues(files: list[Path], *, in_home: bool = False) -> dict[str, tuple[Path | None, list[Path]]]:
    """Dialogue -> its recording and its possible transcripts, best first; with `in_home` those that the home keeps."""
    recordings = _Recordings(files)
    groups: dict[tuple[Path, str], tuple[Path | None, list[Path]]] = {}
    for path in files:
        if path.suffix.lower() in (*SUFFIXES, *BESIDE_A_RECORDING):
            recording = recordings.of(path)
            if recording is None and path.suffix.lower() in BESIDE_A_RECORDING:
                continue
            stem = recording.stem if recording else path.stem
            groups.setdefault((path.parent, stem), (recording, []))[1].append(path)
    with_one = {recording for recording, _ in groups.values()}
    for path in files if in_home else ():
        if path.suffix.lower() in AUDIO_SUFFIXES and path not in with_one and (kept := kept_in_home(path)):
            groups.setdefault((path.parent, path.stem), (path, []))[1].append(kept)
    stems = [stem for _, stem in groups]
    top = Path(os.path.commonpath([str(folder) for folder, _ in groups])) if groups else Path()
    named: dict[str, tuple[Path | None, list[Path]]] = {}
    for (folder, stem), (recording, transcripts) in groups.items():
        transcripts.sort(key=_rank)
        unique = stems.count(stem) == 1
        named[stem if unique else "-".join([*folder.relative_to(top).parts, stem])] = (recording, transcripts)
    return named


def _read_best(
    manifest: Manifest,
    name: str,
    recording: Path | None,
    transcripts: list[Path],
    root: Path,
    summary: ReadSummary,
    limits: LimitParameters,
) -> None:
    refused: list[SetAside] = []
    for path in transcripts:
        shown = _shown(path, root)
        try:
            parsed = read_transcript(path, shown, limits)
        except NotATranscriptError as error:
            if recording or path.suffix.lower() != ".json":  # a JSON beside nothing is somebody's settings
                refused.append((f"{shown}:1", "not a transcript", str(error)))
            continue
        summary.add(shown, parsed)
        _add(manifest, name, recording, parsed.rows, root)
        manifest.set_aside += parsed.set_aside
        manifest.notes += [f"{where.removesuffix(':1')}: not read ({found})" for where, _, found in refused]
        return
    manifest.set_aside += refused


def _add(manifest: Manifest, dialogue: str, recording: Path | None, rows: list[Row], root: Path) -> None:
    """Completes the rows of one dialogue in the order of their times."""
    audio = _shown(recording, root) if recording else None
    numbered, last = [], 0.0
    for number, row in enumerate(rows, start=1):
        last = start if (start := _start(row)) is not None else last  # without a time it stays behind the one before
        numbered.append((last, number, row))
    for turn, (_, number, row) in enumerate(sorted(numbered, key=lambda one: one[:2])):
        problem = row.audio_problem
        if audio is None:
            problem = f"no recording of the name of {row.where.rpartition(':')[0]}"
        elif (row.values["start"] or "").lower() in NO_VALUE:
            problem = "the transcript has no time for it"
        values: dict[str, Any] = {"dialogue": dialogue, "turn": str(turn), "source_id": str(number), "audio": audio}
        manifest.rows.append(Row(row.where, {"channel": None, **row.values, **values}, problem))


def _start(row: Row) -> float | None:
    try:
        return seconds(row.values["start"] or "")
    except BadRow:
        return None


def _shown(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else f"home:{path.name[:12]}{path.suffix}"
