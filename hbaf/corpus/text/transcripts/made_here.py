"""Transcripts that this project made (`hbaf.transcription`): what one says of itself, and where it is kept.

It lies beside its recording, or in the home under the sha256 of the recording, where the source cannot be written.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from hbaf.home import home_folder

KEY = "hbaf_transcript"  # of the facts in the JSON


def facts_of(path: Path) -> dict[str, Any] | None:
    """What a transcript says of itself; None where it is not ours."""
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    facts = data.get(KEY) if isinstance(data, dict) else None
    if not isinstance(facts, dict):
        return None
    return {**facts, "edited": facts.get("segments_sha256") != segments_digest(data.get("segments"))}


def segments_digest(segments: Any) -> str:
    """sha256 of the turns: another one than in the facts was edited by a person."""
    return hashlib.sha256(json.dumps(segments, sort_keys=True).encode()).hexdigest()


def shown_form(facts: dict[str, Any]) -> str:
    """Provenance in a few words, for the notes of a corpus."""
    engine, model, revision = (str(facts.get(name, "?")) for name in ("engine", "model", "revision"))
    return f"hbaf transcribe ({engine} {facts.get('engine_version', '?')}, {model} {revision[:12]})"


def recording_digest(recording: Path) -> str:
    """sha256 of the bytes of a recording."""
    with recording.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def place_in_home(digest: str) -> Path:
    """Where the transcript of a recording is, or would be, in the home."""
    return home_folder() / "transcripts" / f"{digest}.json"


def kept_in_home(recording: Path) -> Path | None:
    """The transcript of a recording that the home keeps."""
    folder = home_folder() / "transcripts"
    if not folder.is_dir() or next(folder.iterdir(), None) is None:
        return None  # nothing has to be read
    try:
        place = place_in_home(recording_digest(recording))
    except OSError:
        return None
    return place if place.is_file() else None
