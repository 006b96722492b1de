"""Which column of a manifest is which of ours: by our names, MELD's, audformat's, or the user's own mapping."""

import json
import re
import shlex
from functools import partial
from pathlib import Path

from hbaf.corpus.schema import FACT_COLUMNS, UTTERANCE_COLUMNS, CorpusError

# our column -> how it may be written, without case, spaces and punctuation
COLUMN_NAMES: dict[str, tuple[str, ...]] = {
    "dialogue": ("dialogue", "dialogueid", "dialog", "dialogid", "conversation", "conversationid"),
    "turn": ("turn", "turnid", "turnnumber"),
    "source_id": ("utteranceid", "sourceid"),
    "speaker": ("speaker", "speakerid", "speakername"),
    "text": ("text", "utterance", "transcript", "transcription"),
    "audio": ("audio", "file", "path", "filename", "wav", "audiofile", "audiopath", "filepath"),
    "channel": ("channel",),
    "start": ("start", "starttime", "begin", "begintime", "onset", "startsec", "startseconds", "starts", "offset"),
    "end": ("end", "endtime", "endsec", "endseconds", "stop", "stoptime", "ends"),
    "duration": ("duration", "dur", "durationsec", "durationseconds", "durations"),
    "emotion": ("emotion", "label"),
    "split": ("split",),
}
# Names that other tools give them, which count where no column has one of the names above.
OTHER_NAMES: dict[str, tuple[str, ...]] = {
    "dialogue": ("convid", "callid", "sessionid"),
    "speaker": ("actor", "actorid"),
    "text": ("sentence", "words"),
    "audio": ("audiofilepath", "audiofilename", "wavfile", "wavpath", "wavfilename", "recording", "clip"),
    "duration": ("length", "lengthseconds", "seconds"),
    "emotion": ("emotionlabel",),
    "split": ("subset", "partition"),
}

# How the name of a column tells the unit of its numbers -> seconds.
_UNITS = {"milliseconds": 1e-3, "millisecond": 1e-3, "millis": 1e-3, "msec": 1e-3, "ms": 1e-3, "ticks": 1e-7}
_TIMES = ("start", "end", "duration")


def unit_of(column: str) -> float:
    """The unit in seconds that a column of times names: 0.001 for `start_ms`; 1 where it names none."""
    return next((unit for name, unit in _UNITS.items() if plain(column).endswith(name)), 1.0)


def _without_unit(column: str) -> str:
    name = plain(column)
    return next(
        (name[: -len(unit)].removesuffix("in") for unit in _UNITS if name.endswith(unit) and name != unit), name
    )


def refuse_doubled(path: Path, names: list[str]) -> None:
    """Raises CorpusError where a name stands twice in a header; empty names may."""
    doubled = sorted({name for name in names if name and names.count(name) > 1})
    if doubled:
        raise CorpusError(f"{path}: column {doubled[0]!r} stands in the header twice. Rename or remove one.")


def recognise(path: Path, found: list[str], mapping: dict[str, str]) -> dict[str, str]:
    """Our column -> the column as written; a mapping given by the user comes first, then our own name."""
    ours: dict[str, str] = {}
    for written, name in mapping.items():
        if name not in COLUMN_NAMES:
            raise CorpusError(f"{path}: {name!r} is none of our columns. There are: {', '.join(COLUMN_NAMES)}.")
        if written not in found:
            raise CorpusError(f"{path}: no column {written!r}. Found: {', '.join(found)}.")
        if name in ours:
            raise CorpusError(f"{path}: both {ours[name]!r} and {written!r} are mapped to {name!r}. Keep one.")
        ours[name] = written
    for name in COLUMN_NAMES:
        if name in ours:
            continue
        taken = (*mapping, *ours.values())
        free = [written for written in found if written not in taken]
        known = [written for written in free if _spelling(written, name) in COLUMN_NAMES[name]]
        known = known or [written for written in free if _spelling(written, name) in OTHER_NAMES.get(name, ())]
        if name == "duration" and not ("start" in ours and "end" not in ours):
            known = []  # where nothing follows from it it is a column like any other
        own = [written for written in known if written == name]
        if name in _TIMES and len(known) > 1 and not own:  # seconds and milliseconds, `start` and `offset`
            own = [min(known, key=partial(_preference, name))]
        if len(known) > 1 and not own:
            raise CorpusError(
                f"{path}: columns {' and '.join(repr(written) for written in known)} both look like {name!r}. "
                f"Say which one it is ({map_columns({known[0]: name})}), or remove one."
            )
        if known:
            ours[name] = (own or known)[0]
    return ours


def map_columns(columns: dict[str, str]) -> str:
    """How a person maps columns, as it is typed in a shell."""
    return f"`--set {shlex.quote(f'corpus.columns={json.dumps(columns, ensure_ascii=False)}')}`"


def is_called(written: str, *names: str) -> bool:
    """Whether a column as written is one of these columns of ours, under any name."""
    return any(_spelling(written, name) in (*COLUMN_NAMES[name], *OTHER_NAMES.get(name, ())) for name in names)


def _preference(name: str, written: str) -> tuple[bool, int]:
    return unit_of(written) != 1.0, (*COLUMN_NAMES[name], *OTHER_NAMES.get(name, ())).index(_spelling(written, name))


def _spelling(written: str, name: str) -> str:
    return _without_unit(written) if name in _TIMES else plain(written)


def carried_name(name: str) -> str:
    """The name under which a column that is not ours travels on; it must not pass for one that we fill."""
    taken = name in COLUMN_NAMES or name in UTTERANCE_COLUMNS or name in FACT_COLUMNS
    return f"source_{name}" if taken else name


def plain(name: str) -> str:
    """A column's name in lower case, of ASCII letters and digits alone: "Start Time" and "start_time" are the same."""
    return re.sub(r"[^a-z0-9]", "", name.lower())
