"""Which column of a manifest is which of ours: by our names, MELD's, audformat's, or the user's own mapping."""

import re
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
    "start": ("start", "starttime"),
    "end": ("end", "endtime"),
    "emotion": ("emotion", "label"),
    "split": ("split",),
}
# Names that other tools give them, which count where no column has one of the names above.
OTHER_NAMES: dict[str, tuple[str, ...]] = {
    "dialogue": ("convid", "callid", "sessionid"),
    "text": ("sentence", "words"),
    "audio": ("audiofilepath", "audiofilename", "wavfile", "wavpath", "wavfilename", "recording", "clip"),
    "start": ("startseconds", "startsec", "begin", "begintime", "onset", "offset"),
    "end": ("endseconds", "endsec", "stop", "stoptime"),
    "emotion": ("emotionlabel",),
    "split": ("subset", "partition"),
}


def refuse_doubled(path: Path, names: list[str]) -> None:
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
    for name, spellings in COLUMN_NAMES.items():
        if name in ours:
            continue
        free = [written for written in found if written not in mapping]
        known = [written for written in free if plain(written) in spellings]
        known = known or [written for written in free if plain(written) in OTHER_NAMES.get(name, ())]
        own = [written for written in known if written == name]
        if len(known) > 1 and not own:
            raise CorpusError(
                f"{path}: columns {' and '.join(repr(written) for written in known)} both look like {name!r}. "
                f"Say which one it is (`columns: {{{known[0]}: {name}}}`), or remove one."
            )
        if known:
            ours[name] = (own or known)[0]
    return ours


def carried_name(name: str) -> str:
    """The name under which a column that is not ours travels on; it must not pass for one that we fill."""
    taken = name in COLUMN_NAMES or name in UTTERANCE_COLUMNS or name in FACT_COLUMNS
    return f"source_{name}" if taken else name


def plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
