"""The verb about recordings without words."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from hbaf.verbs.options import Quiet, Set, aloud, changes_of


def transcribe(
    folder: Path,
    *,
    language: str | None = None,
    speakers: int | None = None,
    model: str | None = None,
    place: Annotated[str | None, Parameter(help="`beside` the recordings, or in the `home`.")] = None,
    set_: Set = None,  # cyclopts wants a list
    quiet: Quiet = False,
) -> int:
    """Writes down what is said in recordings, and by whom: a transcript beside each that has none.

    A channel is a speaker where channels hold different people; voices on one channel are told apart. What is done is
    kept: after a stop, or with new recordings, the same command goes on. Needs the extra: `pip install 'hbaf[words]'`.

    Try:

        hbaf transcribe ~/recordings

        hbaf transcribe ~/interviews --speakers 2 --language en

        hbaf transcribe ~/anrufe --language de --model Systran/faster-whisper-small

    Args:
        folder: With recordings in it, or in folders below.
        language: Code such as `en`; default: heard in each recording.
        speakers: People on one channel; default: as many voices as are heard.
        model: `tiny.en`, a folder, or a hub id that `hbaf models fetch whisper:ID` brought.
    """
    from hbaf import pipeline
    from hbaf.parameters import WordsParameters

    named = {"language": language, "speakers": speakers, "model": model, "place": place}
    changes: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
    changes |= changes_of(set_, ("words",)).get("words", {})
    found = aloud(pipeline.transcribe)(str(folder), WordsParameters(**changes), progress=not quiet)
    if not any(one.transcript for one in found.outcomes):
        return 1
    print(f"next: hbaf validate {folder}")
    return 0
