"""Kaldi's data directories (https://kaldi-asr.org/doc/data_prep.html), as ESPnet and others write them too.

`wav.scp` names the recordings, `segments` the utterances in them, `text` the words, `utt2spk` the speakers,
`reco2file_and_channel` the two sides of a call; labels stand in `utt2emo`. Each split may have a directory of its own.
"""

from pathlib import Path

from hbaf.corpus.schema import CorpusError
from hbaf.corpus.text.manifest import Manifest, Row
from hbaf.corpus.text.split_tables import SPLIT_NAMES
from hbaf.corpus.text.toolkits.described import lines_of, manifest_of, summary
from hbaf.parameters import LimitParameters

RECORDINGS = "wav.scp"
LABELS = ("utt2emo", "utt2emotion", "utt2label", "emotion", "emotions")
CHANNELS = {"a": "0", "1": "0", "b": "1", "2": "1"}
_Table = dict[str, tuple[str, str]]  # id -> (where, what follows it)


def kaldi_directories(root: Path) -> dict[Path, str]:
    """Directory -> its split ("" where none is named): the root itself, or those of the splits below it."""
    if (root / RECORDINGS).is_file():
        return {root: ""}
    below = (path for path in sorted(root.iterdir()) if path.is_dir() and path.name.lower() in SPLIT_NAMES)
    return {path: SPLIT_NAMES[path.name.lower()] for path in below if (path / RECORDINGS).is_file()}


def read_kaldi(root: Path, directories: dict[Path, str], limits: LimitParameters) -> Manifest:
    """The utterances of all directories.

    No command of `wav.scp` is run: its recording counts as missing, with the reason.

    Raises:
        CorpusError: a file cannot be read, or no utterance is described.
    """
    rows: list[Row] = []
    set_aside: list[tuple[str, str, str]] = []
    for directory, split in directories.items():
        rows += _rows(directory, root, split, limits, set_aside)
    if not rows and not set_aside:
        raise CorpusError(f"{root}: {RECORDINGS} names no recording. It needs a line `ID PATH` for each.")
    return manifest_of(RECORDINGS, rows, set_aside, summary("Kaldi", rows))


def _rows(
    directory: Path, root: Path, split: str, limits: LimitParameters, set_aside: list[tuple[str, str, str]]
) -> list[Row]:
    def table(*names: str) -> _Table:
        path = next((directory / name for name in names if (directory / name).is_file()), None)
        return {} if path is None else _table(path, root, limits, set_aside)

    recordings, segments, sides = table(RECORDINGS), table("segments"), table("reco2file_and_channel")
    words, speakers, labels = table("text"), table("utt2spk"), table(*LABELS)
    rows = []
    for utterance, (where, of) in (segments or recordings).items():
        recording, start, end = utterance, None, None
        if segments:
            fields = of.split()
            if len(fields) != 3:
                set_aside.append((where, "broken line", "a segment is `UTTERANCE RECORDING START END`"))
                continue
            recording, start, end = fields[0], fields[1], None if fields[2].startswith("-") else fields[2]
        audio, problem = _audio(recordings.get(recording, ("", ""))[1])
        file, _, side = sides.get(recording, ("", recording))[1].rpartition(" ")
        values = {
            "dialogue": file or recording,
            "source_id": utterance,
            "speaker": speakers.get(utterance, ("", None))[1],
            "text": words.get(utterance, ("", None))[1],
            "audio": audio,
            "channel": CHANNELS.get(side.lower()) if file else None,
            "start": start,
            "end": end,
            "emotion": labels.get(utterance, ("", None))[1],
            "split": split or None,
        }
        rows.append(Row(where, values, problem))
    return rows


def _table(path: Path, root: Path, limits: LimitParameters, set_aside: list[tuple[str, str, str]]) -> _Table:
    found: _Table = {}
    for where, line in lines_of(path, root, limits):
        key, _, rest = line.strip().partition(" ") if " " in line.strip() else line.strip().partition("\t")
        if key in found:
            set_aside.append((where, "doubled id", f"stands in {found[key][0]} already"))
            continue
        found[key] = (where, rest.strip())
    return found


def _audio(place: str) -> tuple[str | None, str | None]:
    """(path, problem) of what `wav.scp` says of a recording."""
    if not place:
        return None, f"{RECORDINGS} names no recording for it"
    if place.endswith("|") or place.startswith("|"):
        return None, f"{RECORDINGS} has a command for it, and no command is run: write the recording to a file"
    if ".ark:" in place:
        return None, f"{RECORDINGS} has a place in an archive for it: write the recording to a file"
    return place, None
