"""A folder of recordings -> a transcript for each that has none; done again it does only what is missing.

A transcript is written when its recording is heard whole, so a kill costs the recordings under way. One that cannot be
read is a problem with a name; the others go on.
"""

import hashlib
import importlib.util
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hbaf import __version__
from hbaf.corpus.readers.transcripts import find_recordings
from hbaf.corpus.schema import CorpusError
from hbaf.corpus.sound.audio import AudioProblem
from hbaf.corpus.text.transcripts.forms import read_transcript
from hbaf.corpus.text.transcripts.made_here import (
    KEY,
    facts_of,
    kept_in_home,
    place_in_home,
    recording_digest,
    segments_digest,
)
from hbaf.corpus.text.transcripts.parsed import NotATranscriptError
from hbaf.features.weights import WeightsError
from hbaf.home import directory, write_atomically
from hbaf.parameters import WordsParameters
from hbaf.processes import cores, run_in_processes
from hbaf.progress import under_way
from hbaf.transcription.engine import Engine, TranscriptionError, no_engine
from hbaf.transcription.engines import make_engine
from hbaf.transcription.models import VOICES_SHA256, locate_model
from hbaf.transcription.voice_activity import NAME as VOICE_ACTIVITY

if TYPE_CHECKING:
    from hbaf.transcription.turns import Heard

VERSION = 1  # raise it when the same recording gives other turns: transcripts of before are made again
# They change how long it takes, not what is heard.
NOT_IN_DIGEST = {"workers", "device", "place"}

State = Literal["made", "up to date", "edited", "of others", "problem"]


@dataclass(frozen=True)
class Outcome:
    """What became of one recording.

    Attributes:
        recording: path relative to the folder.
        state: `made` now, `up to date` from before, ours but `edited` by a person, `of others`, or a `problem`.
        transcript: where it is.
        problem: why there is none.
        seconds: of sound that was heard now.
    """

    recording: str
    state: State
    transcript: Path | None = None
    problem: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Transcribed:
    """What became of a folder.

    Attributes:
        seconds: that it took.
    """

    root: Path
    outcomes: tuple[Outcome, ...]
    seconds: float

    @property
    def problems(self) -> dict[str, list[str]]:
        """Problem -> the recordings that have it."""
        found: dict[str, list[str]] = {}
        for one in self.outcomes:
            if one.problem:
                found.setdefault(one.problem, []).append(one.recording)
        return found

    def lines(self) -> Iterator[str]:
        """What to tell of it."""
        count: Counter[str] = Counter(one.state for one in self.outcomes)
        sound = sum(one.seconds for one in self.outcomes)
        speed = f", {sound / 60:.1f} min of sound in {self.seconds:.0f} s ({sound / self.seconds:.1f}x real time)"
        yield f"{count['made']} of {len(self.outcomes)} recordings transcribed{speed if count['made'] else ''}"
        for state, message in (
            ("up to date", "have a transcript with these settings"),
            ("edited", "have one that was edited since it was made, which stays; delete it to have it made again"),
            ("of others", "have a transcript that was made elsewhere, which stays"),
        ):
            if count[state]:
                yield f"  {count[state]} {message}"
        for problem, names in self.problems.items():
            others = f" and {len(names) - 1} more" if len(names) > 1 else ""
            yield f"  not transcribed: {names[0]}{others}: {problem}"


def transcribe_folder(
    root: Path,
    parameters: WordsParameters = WordsParameters(),  # noqa: B008  # frozen
    *,
    progress: bool = False,
) -> Transcribed:
    """Gives every recording of a folder, and of those in it, a transcript.

    Args:
        root: folder with recordings.
        progress: draw a progress bar with the real-time factor.

    Raises:
        CorpusError: no such folder, or no recording in it.
        TranscriptionError, WeightsError: no engine, or its model is not here.
    """
    root = root.expanduser().absolute()
    if not root.is_dir():
        raise CorpusError(f"{root}: no such folder. Give the folder that holds the recordings.")
    recordings = find_recordings(root)
    if not recordings:
        raise CorpusError(f"{root}: no recording in it. Give the folder that holds the recordings.")
    return transcribe_recordings(recordings, root, parameters, progress=progress)


def transcribe_recordings(
    recordings: Sequence[tuple[Path, Sequence[Path]]],
    root: Path,
    parameters: WordsParameters,
    *,
    progress: bool = False,
) -> Transcribed:
    """Gives recordings below `root` a transcript; the paths beside each are transcripts that it may have already.

    Raises:
        TranscriptionError, WeightsError: no engine, or its model is not here.
    """
    began = time.monotonic()
    if importlib.util.find_spec("faster_whisper") is None:
        raise TranscriptionError(no_engine(root))
    settings = settings_digest(parameters)
    found = [_before(recording, beside, root, settings) or recording for recording, beside in recordings]
    done = [one for one in found if isinstance(one, Outcome)]
    wanted = [one for one in found if isinstance(one, Path)]
    if wanted and parameters.language is not None:
        make_engine(parameters)  # says so here if the model does not know it
    with _shown(progress, wanted, root) as advance:
        for outcome in _hear_all(wanted, root, parameters, settings):
            done.append(outcome)
            advance(outcome)
    return Transcribed(root, tuple(sorted(done, key=lambda one: one.recording)), time.monotonic() - began)


def settings_digest(parameters: WordsParameters) -> str:
    """sha256 of what decides the turns: the settings, and the revision of the model that is here."""
    weights = locate_model(parameters)
    facts = {
        **parameters.model_dump(mode="json", exclude=NOT_IN_DIGEST),
        "revision": weights.revision, "model": weights.model, "version": VERSION,
    }  # fmt: skip
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _before(recording: Path, transcripts: Sequence[Path], root: Path, settings: str) -> Outcome | None:
    """What there is already; None where the recording is to be heard."""
    shown = recording.relative_to(root).as_posix()
    digest = ""
    for path in transcripts or filter(None, [kept_in_home(recording)]):
        facts = facts_of(path)
        if facts is None:
            if _is_transcript(path):
                return Outcome(shown, "of others", path)
            continue
        if facts["edited"]:
            return Outcome(shown, "edited", path)
        digest = digest or recording_digest(recording)
        if (facts.get("settings_sha256"), facts.get("recording_sha256")) == (settings, digest):
            return Outcome(shown, "up to date", path)
    return None


def _is_transcript(path: Path) -> bool:
    """Whether a file beside a recording is more than notes."""
    try:
        read_transcript(path, path.name)
    except NotATranscriptError:
        return False
    return True


def _hear_all(wanted: Sequence[Path], root: Path, parameters: WordsParameters, settings: str) -> Iterable[Outcome]:
    if not wanted:
        return
    workers = min(parameters.workers or (1 if _on_gpu(parameters) else cores()), len(wanted))
    start = (parameters, settings, root, max(1, cores() // workers))
    for number, outcome in run_in_processes(_hear_one, wanted, workers, _start, start):
        shown = wanted[number].relative_to(root).as_posix()
        yield outcome or Outcome(shown, "problem", problem="the process that read it died; the file may be damaged")


def _on_gpu(parameters: WordsParameters) -> bool:
    import ctranslate2

    return parameters.device != "cpu" and ctranslate2.get_cuda_device_count() > 0


@dataclass(frozen=True)
class _Worker:
    engine: Engine
    parameters: WordsParameters
    settings: str
    root: Path


_worker: list[_Worker] = []  # of this process


def _start(parameters: WordsParameters, settings: str, root: Path, threads: int) -> None:
    _worker[:] = [_Worker(make_engine(parameters, threads), parameters, settings, root)]


def _hear_one(recording: Path) -> Outcome:
    from hbaf.transcription.turns import hear

    (worker,) = _worker
    shown = recording.relative_to(worker.root).as_posix()
    try:
        digest = recording_digest(recording)
        heard = hear(recording, worker.engine, worker.parameters)
    except AudioProblem as problem:
        return Outcome(shown, "problem", problem=problem.without_path)
    except (WeightsError, OSError) as problem:
        return Outcome(shown, "problem", problem=str(problem))
    except Exception as error:  # whatever ails an engine with one recording, the others are heard
        return Outcome(shown, "problem", problem=f"cannot be heard ({type(error).__name__}: {error})")
    if not heard.turns:
        return Outcome(shown, "problem", problem="nobody speaks in it", seconds=heard.seconds)
    path = _place(recording, digest, worker.parameters)
    content = json.dumps(transcript_of(heard, digest, worker), ensure_ascii=False, indent=1)
    write_atomically(path, content.encode(), private=path.parent != recording.parent)
    return Outcome(shown, "made", path, seconds=heard.seconds)


def _place(recording: Path, digest: str, parameters: WordsParameters) -> Path:
    if parameters.place == "beside" and os.access(recording.parent, os.W_OK):
        return recording.with_suffix(".json")
    directory("transcripts")
    return place_in_home(digest)


def transcript_of(heard: "Heard", digest: str, worker: _Worker) -> dict[str, Any]:
    """The JSON of a transcript: Whisper's form, with its provenance beside it."""
    segments = [
        {name: value for name, value in turn._asdict().items() if value is not None}
        | {"start": round(turn.start or 0.0, 3), "end": round(turn.end or 0.0, 3)}
        | ({} if turn.channel is None else {"channel": int(turn.channel)})
        for turn in heard.turns
    ]
    engine = worker.engine
    facts = {
        "hbaf": __version__,
        "engine": engine.name, "engine_version": engine.version, "model": engine.model, "revision": engine.revision,
        "voice_activity": VOICE_ACTIVITY, "speakers_by": heard.speakers_by,
        "speaker_encoder": VOICES_SHA256 if heard.speakers_by == "voice" else None,
        "settings": worker.parameters.model_dump(mode="json"), "settings_sha256": worker.settings,
        "recording_sha256": digest, "segments_sha256": segments_digest(segments), "seconds": round(heard.seconds, 3),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
    }  # fmt: skip
    return {KEY: facts, "language": heard.language, "segments": segments}


@contextmanager
def _shown(progress: bool, wanted: Sequence[Path], root: Path) -> Iterator[Callable[[Outcome], None]]:
    """By bytes: how long a recording lasts is known when it is decoded."""
    sizes = {path.relative_to(root).as_posix(): path.stat().st_size for path in wanted}
    began, outcomes = time.monotonic(), list[Outcome]()
    with under_way("transcribing", sum(sizes.values()), shown=progress, counted=False) as advance:

        def ended(outcome: Outcome) -> None:
            outcomes.append(outcome)
            speed = sum(one.seconds for one in outcomes) / (time.monotonic() - began)
            advance(sizes[outcome.recording], f"{len(outcomes)} of {len(wanted)} recordings, {speed:.1f}x real time")

        yield ended
