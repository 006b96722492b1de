"""Arrivals -> one corpus of conversations, measured and judged; what cannot be read costs only itself.

A conversation is called like its recording's path, `2026:11:20:call1`; one out of a table like the table's folder and
its dialogue, `2026:11:day:7`. Its digest is over words, speakers, times and sound, so that a copy under another name is
known as one.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from hbaf.corpus.readers.folder import corpus_of, read_folder
from hbaf.corpus.readers.transcripts import read_recording
from hbaf.corpus.schema import (
    UTTERANCE_COLUMNS,
    Corpus,
    CorpusError,
    as_bytes,
    as_utterances,
    empty_splits,
    is_missing,
)
from hbaf.corpus.sound.facts import add_facts
from hbaf.corpus.sound.find_audio import AUDIO_SUFFIXES
from hbaf.corpus.text.manifest import Manifest, Row
from hbaf.corpus.text.transcripts.forms import SUFFIXES
from hbaf.corpus.text.transcripts.made_here import kept_in_home
from hbaf.home import storage_trouble
from hbaf.inbox.ledger.records import Found
from hbaf.inbox.ledger.source_ledger import name_is_taken
from hbaf.inbox.source import Arrival, SourceParameters
from hbaf.inbox.way_out import WORDS
from hbaf.parameters import CorpusParameters, ValidationParameters, WordsParameters
from hbaf.validation.broken_rows import broken_rows
from hbaf.validation.tables import tables_of

NO_WORDS = "no transcript yet"
# A missing modality is the model's to bear (`unscored`), and labels are not used here.
NOT_JUDGED = {"text_usable", "audio_usable", "some_modality", "known_labels"}


@dataclass(frozen=True)
class ReadArrivals:
    """What arrivals hold.

    Attributes:
        corpus: measured; its root is the source's or that of a local copy.
        found: its conversations, in the order of the arrivals.
        refused: arrival -> why it cannot be read.
    """

    corpus: Corpus
    found: tuple[Found, ...]
    refused: dict[str, str]


def read_arrivals(
    arrivals: Sequence[Arrival], root: Path, source: SourceParameters, *, workers: int | None = None
) -> ReadArrivals:
    """Reads, measures and judges arrivals whose files lie below `root`.

    With `source.words` recordings without transcript first get one, in the home: beside them it would be an arrival.

    Raises:
        hbaf.transcription.engine.TranscriptionError: there is no engine for that.
    """
    unheard = {} if source.words is None else _transcribe(arrivals, root, source.words)
    pieces: dict[str, pd.DataFrame] = {}
    refused: dict[str, str] = {}
    owners: dict[str, str] = {}  # dialogue -> arrival
    for arrival in arrivals:
        try:
            piece = _read(arrival, root, source)
        except Exception as error:  # whatever lies in it, the others are read
            refused[arrival.name] = _reason(error, root)
            continue
        taken = [name for name in piece["dialogue_id"].unique() if name in owners]
        if taken:
            refused[arrival.name] = name_is_taken(f"{source.label}/{taken[0]}", owners[taken[0]])
            continue
        pieces[arrival.name] = piece
        owners |= dict.fromkeys(piece["dialogue_id"].unique(), arrival.name)
    try:
        corpus, found = _measured(pieces, root, source, workers, unheard)
    except Exception as error:
        if storage_trouble(error) is not None:
            raise
        # One of them stops all (two people on two channels, and nobody says who is where): each by itself.
        corpus, found = _measured({}, root, source, 1, unheard)
        for name, piece in pieces.items():
            try:
                alone, more = _measured({name: piece}, root, source, 1, unheard)
            except Exception as own:
                refused[name] = _reason(own, root)
            else:
                rows = pd.concat([corpus.utterances, alone.utterances], ignore_index=True)
                corpus, found = replace(corpus, utterances=rows), (*found, *more)
    return ReadArrivals(corpus, found, refused)


def _measured(
    pieces: dict[str, pd.DataFrame],
    root: Path,
    source: SourceParameters,
    workers: int | None,
    unheard: dict[str, str],
) -> tuple[Corpus, tuple[Found, ...]]:
    corpus = add_facts(_joined(pieces, root, source), limits=source.limits, workers=workers)
    return corpus, _found(corpus, source, pieces, unheard)


def _read(arrival: Arrival, root: Path, source: SourceParameters) -> pd.DataFrame:
    """The utterance table of one arrival, with paths relative to `root`."""
    if arrival.problem:
        raise CorpusError(arrival.problem)
    common = {
        "name": source.label, "channels": source.channels, "bad_share": source.bad_share, "limits": source.limits,
    }  # fmt: skip
    if arrival.kind == "table":
        path = PurePosixPath(arrival.name)
        folder = root / path.parent
        parameters = CorpusParameters(
            reader="folder", root=folder, manifest=path.name, columns=source.columns, **common
        )
        table = read_folder(parameters).utterances
        inside = folder.relative_to(root).as_posix()
        if inside != ".":
            table["audio"] = table["audio"].map(lambda audio: audio if is_missing(audio) else f"{inside}/{audio}")
        prefix = conversation_name(str(path.with_suffix("")))
        return table.assign(dialogue_id=[f"{prefix}:{_escaped(name)}" for name in table["dialogue_id"]])
    recording, transcripts = _files(arrival, root)
    name = conversation_name(arrival.name)
    if recording is not None and not transcripts:
        transcripts = [kept for kept in [kept_in_home(recording)] if kept]
    if transcripts:
        manifest = read_recording(root, name, recording, transcripts, source.limits)
    else:
        assert recording is not None
        manifest = _one_utterance(name, recording.relative_to(root).as_posix())
    parameters = CorpusParameters(reader="folder", root=root, **common)
    return corpus_of(manifest, root, parameters).utterances


def _files(arrival: Arrival, root: Path) -> tuple[Path | None, list[Path]]:
    """The recording of an arrival in its preferred kind, and its transcripts."""
    paths = [(root / file.path, PurePosixPath(file.path).suffix.lower()) for file in arrival.files]
    recordings = [(AUDIO_SUFFIXES.index(suffix), path) for path, suffix in paths if suffix in AUDIO_SUFFIXES]
    transcripts = [path for path, suffix in paths if suffix in SUFFIXES]
    return min(recordings)[1] if recordings else None, transcripts


def _transcribe(arrivals: Sequence[Arrival], root: Path, words: WordsParameters) -> dict[str, str]:
    """Recording -> why no transcript could be made of it."""
    from hbaf.transcription.transcribe import transcribe_recordings

    files = [_files(arrival, root) for arrival in arrivals if arrival.kind == "recording" and not arrival.problem]
    alone = [(recording, ()) for recording, transcripts in files if recording is not None and not transcripts]
    if not alone:
        return {}
    done = transcribe_recordings(alone, root, words.model_copy(update={"place": "home"}))
    return {one.recording: one.problem for one in done.outcomes if one.problem}


def _one_utterance(name: str, recording: str) -> Manifest:
    """A recording alone: the whole of it."""
    columns = ["dialogue", "turn", "audio"]
    manifest = Manifest(recording, columns, {column: column for column in columns})
    manifest.rows.append(Row(f"{recording}:1", {"dialogue": name, "turn": "0", "audio": recording}))
    return manifest


def conversation_name(path: str) -> str:
    """A path as a dialogue id: `2026/11/call1` -> `2026:11:call1`; paths stay distinct but for blanks."""
    return ":".join(_escaped(part) for part in path.split("/") if part != ".")


def _escaped(part: str) -> str:
    return " ".join(part.replace("%", "%25").replace(":", "%3A").replace("/", "%2F").split())


def _joined(pieces: dict[str, pd.DataFrame], root: Path, source: SourceParameters) -> Corpus:
    # A table's own columns are anything, and need not fit together.
    tables = [
        table[[name for name in table if name in UTTERANCE_COLUMNS]].assign(arrival=name)
        for name, table in pieces.items()
        if len(table)
    ]
    if tables:
        utterances = as_utterances(pd.concat(tables, ignore_index=True))
    else:
        utterances = as_utterances(
            pd.DataFrame({name: pd.Series(dtype="str") for name in ("corpus", "dialogue_id", "arrival")} | {"turn": []})
        )
    return Corpus(source.label, root, utterances, empty_splits())


def _found(
    corpus: Corpus, source: SourceParameters, pieces: dict[str, pd.DataFrame], unheard: dict[str, str]
) -> tuple[Found, ...]:
    table = corpus.utterances
    if not len(table):
        return ()
    rules = broken_rows(tables_of(corpus), ValidationParameters(bad_share=source.bad_share))
    critical = rules[(rules["severity"] == "critical") & ~rules["rule"].isin(NOT_JUDGED)]
    order = {name: place for place, name in enumerate(pieces)}
    lacking = table["audio_problem"].notna()
    closer = (
        table["utterance_id"].isin(critical["utterance_id"])
        | lacking & (table["audio_digest"].notna() | table["text_problem"].notna())
        | ~table["dialogue_id"].duplicated(keep=False)
    )
    suspicious = set(table.loc[closer, "dialogue_id"])
    content, arrivals = _content(table), table["arrival"].tolist()
    found = []
    for dialogue, indices in table.groupby("dialogue_id", sort=False).indices.items():
        places = [int(place) for place in indices]
        problem = ""
        if dialogue in suspicious:  # a closer look costs more than all the rest
            rows = table.iloc[places]
            problem = _problem(rows, critical[critical["utterance_id"].isin(rows["utterance_id"])], source, unheard)
        name, digest = f"{corpus.name}/{dialogue}", conversation_digest(content, places)
        found.append(Found(name, str(arrivals[places[0]]), digest, len(places), problem))
    return tuple(sorted(found, key=lambda one: (order[one.arrival], one.name)))


def _problem(rows: pd.DataFrame, broken: pd.DataFrame, source: SourceParameters, unheard: dict[str, str]) -> str:
    """Why a conversation goes to quarantine, "" for one that is fine."""
    allowed = source.bad_share * len(rows)
    # A file that was there and opened, but does not decode: sending it again mends it, scoring without it would not.
    corrupt = rows[rows["audio_problem"].notna() & rows["audio_digest"].notna()]
    if len(corrupt) > allowed:
        first = corrupt.iloc[0]
        return f"{len(corrupt)} of {len(rows)} turns do not decode; {first['audio']}: {first['audio_problem']}"
    for rule, cases in broken.groupby("rule", sort=False):
        if len(cases) > allowed:
            return f"rule {rule}: broken by {len(cases)} of {len(rows)} turns, first {cases['utterance_id'].iloc[0]}"
    if (rows["audio_problem"].notna() & rows["text_problem"].notna()).all():
        return f"no turn has text or audio; {rows['audio_problem'].iloc[0]}"
    if len(rows) == 1 and is_missing(rows["text"].iloc[0]) and rows["seconds"].iloc[0] > source.utterance_seconds:
        why = f" ({unheard[rows['audio'].iloc[0]]})" if rows["audio"].iloc[0] in unheard else ""
        ways = "" if source.words is not None else f"; or {WORDS}"
        return (
            f"a recording of {rows['seconds'].iloc[0]:.0f} s without transcript{why} is more than one utterance. Put a "
            f"transcript of its name beside it (.json, .vtt, .srt), as `hbaf transcribe` makes them{ways}. It then "
            "comes back by itself."
        )
    return ""


@dataclass(frozen=True)
class _Content:
    """What counts of a table, row by row: a conversation of ten rows costs pandas more than all the rest."""

    turns: list[int]
    rows: list[bytes]
    problems: tuple[np.ndarray, np.ndarray]


def _content(table: pd.DataFrame) -> _Content:
    columns = ("turn", "speaker", "text", "channel", "start", "end", "audio_digest")
    rows = [b"\0".join((*row, b"\n")) for row in zip(*(as_bytes(table[name]) for name in columns), strict=True)]
    # Without a readable file there is no audio digest: a recording that comes later makes other content.
    audio, text = (table[name].notna().to_numpy(bool) for name in ("audio_problem", "text_problem"))
    return _Content(table["turn"].tolist(), rows, (audio, text))


def conversation_digest(content: _Content, places: list[int]) -> str:
    """sha256 of what the model is given: words, speakers, times, sound and what is missing; names do not count.

    Args:
        places: of the conversation's rows.
    """
    hasher = hashlib.sha256(b"".join(content.rows[place] for place in sorted(places, key=content.turns.__getitem__)))
    for problem in content.problems:
        hasher.update(problem[places].tobytes())
    return hasher.hexdigest()


def _reason(error: Exception, root: Path) -> str:
    message = str(error).replace(f"{root}/", "").replace(str(root), ".")
    if isinstance(error, CorpusError | OSError):
        return message
    message = message or "no more is known"
    return f"cannot be read ({type(error).__name__}: {message}). If other programs read it, report it."
