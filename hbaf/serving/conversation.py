"""What a request holds -> a measured corpus of one conversation; audio comes as an upload, never as a path."""

import io
import threading
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Self

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header

from hbaf.corpus.readers.folder import corpus_of
from hbaf.corpus.schema import as_utterances, is_missing
from hbaf.corpus.sound.facts import add_facts
from hbaf.corpus.text.manifest import Manifest, Row
from hbaf.parameters import CorpusParameters, LimitParameters, ServeParameters

SOURCE = "serve"  # the corpus that conversations of requests belong to
FORM_FIELD = "conversation"  # holds the JSON of a request with recordings
FIELDS = ("speaker", "text", "start", "end", "channel")
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class RequestError(ValueError):
    """A request cannot be used; the message names the rule and the next step.

    Attributes:
        status: of HTTP.
    """

    def __init__(self, message: str, status: int = 422) -> None:
        super().__init__(message)
        self.status = status


class Turn(BaseModel):
    """One turn of a conversation.

    Attributes:
        speaker: any name; empty: unknown.
        text: what was said; None or blank where only the recording is there.
        audio: file name of an uploaded recording.
        start, end: seconds from the recording's beginning; None: from its beginning, to its end.
        channel: of the recording, from 0.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    speaker: str = Field("", max_length=200)
    text: str | None = None
    audio: str | None = None
    start: Seconds | None = None
    end: Seconds | None = None
    channel: int | None = Field(None, ge=0, lt=1000)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end is not None and self.end <= (self.start or 0.0):
            raise ValueError("end must be after start: check both, in seconds")
        return self


class Turns(BaseModel):
    """The body of a request: turns in their order, at least one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    turns: tuple[Turn, ...] = Field(min_length=1)


@dataclass(frozen=True)
class Received:
    """A request that was read: its turns, and the bytes of each recording by file name."""

    turns: tuple[Turn, ...]
    recordings: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """Turns that came together, of the conversation `name`; `first` is the number of the first of them in it."""

    name: str
    received: Received
    first: int = 0


def read_request(body: bytes, content_type: str, limits: ServeParameters) -> Received:
    """Turns from JSON, or from a form with the JSON in the field `conversation` beside recordings.

    Raises:
        RequestError: neither, or more turns or characters than `limits` allow.
    """
    kind, options = parse_options_header(content_type)
    recordings: dict[str, bytes] = {}
    if kind == "multipart/form-data":
        body, recordings = _form(body, options, limits)
    elif kind != "application/json":
        raise RequestError(
            f"content type {kind or 'missing'}: send application/json, or multipart/form-data with recordings.", 415
        )
    try:
        turns = Turns.model_validate_json(body).turns
    except ValidationError as error:
        raise RequestError(_plainly(error)) from error
    check_count(len(turns), limits)
    for number, turn in enumerate(turns):
        if len(turn.text or "") > limits.turn_characters:
            raise RequestError(
                f"turns.{number}.text: {len(turn.text or '')} characters, more than the {limits.turn_characters} "
                "allowed (serve.turn_characters). Split it into turns."
            )
    return Received(turns, recordings)


def check_count(turns: int, limits: ServeParameters) -> None:
    """Refuses a conversation of more turns than are allowed.

    Raises:
        RequestError: it has.
    """
    if turns > limits.turns:
        raise RequestError(
            f"turns: {turns} of them, more than the {limits.turns} allowed (serve.turns). Split the conversation."
        )


def _form(body: bytes, options: dict[str, str], limits: ServeParameters) -> tuple[bytes, dict[str, bytes]]:
    parser = FormDataParser(max_form_memory_size=limits.request_bytes, max_form_parts=limits.turns + 1, silent=False)
    try:
        _, fields, files = parser.parse(io.BytesIO(body), "multipart/form-data", len(body), options)
    except Exception as error:  # whatever a damaged form makes of the parser
        raise RequestError(
            f"the form cannot be read ({type(error).__name__}); it may have {limits.turns + 1} parts at most. Send "
            f"the field `{FORM_FIELD}` and each recording once, as `curl -F` does."
        ) from error
    if FORM_FIELD not in fields:
        raise RequestError(f"the form has no field `{FORM_FIELD}`: put the JSON with the turns there.")
    recordings: dict[str, bytes] = {}
    for _, file in files.items(multi=True):
        name = file.filename or ""
        if name in recordings:
            raise RequestError(f"two recordings are called {name!r}: give each a file name of its own.")
        recordings[name] = file.read()
    return fields[FORM_FIELD].encode("utf-8", "surrogatepass"), recordings


def _plainly(error: ValidationError) -> str:
    """What is wrong, without the values: a log may keep the message."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    shown = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'the body'}: {one['msg']}" for one in found[:5])
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    return f'{shown}{more}. A conversation is {{"turns": [{{"speaker": "A", "text": "Hello."}}]}}.'


_one_decoder = threading.Lock()  # one recording is decoded at a time, in a process of its own


def measured(parts: Sequence[Part], folder: Path, limits: ServeParameters) -> pd.DataFrame:
    """The turns as an utterance table with the facts of their sound; `audio` is an absolute path in `folder`.

    Args:
        parts: of different conversations.
        folder: empty, and there until the turns were scored; recordings are written to it, under names of ours.

    Raises:
        hbaf.corpus.schema.CorpusError: the turns do not fit together; one person per channel, and no channel is named.
    """
    columns = ("dialogue", "turn", "audio", *FIELDS)
    manifest = Manifest("turns", list(columns), {column: column for column in columns})
    for place, part in enumerate(parts):
        written: dict[str, str] = {}
        for number, (called, content) in enumerate(part.received.recordings.items()):
            written[called] = f"upload-{place}-{number}"
            (folder / written[called]).write_bytes(content)
        for number, turn in enumerate(part.received.turns, part.first):
            given = turn.model_dump(include={*FIELDS})
            values = {name: None if value is None else str(value) for name, value in given.items()}
            audio = None if turn.audio is None else written.get(turn.audio)
            lacking = turn.audio is not None and audio is None
            problem = "no recording of that name was uploaded with the turn" if lacking else None
            values |= {"dialogue": part.name, "turn": str(number), "audio": audio}
            manifest.rows.append(Row(f"turns:{number}", values, problem))
    decoding = LimitParameters(turn_characters=limits.turn_characters)
    parameters = CorpusParameters(reader="folder", root=folder, name=SOURCE, bad_share=0, limits=decoding)
    corpus = corpus_of(manifest, folder, parameters)
    if any(part.first for part in parts):  # a reader counts from the first turn that it has
        table = corpus.utterances
        corpus = corpus.with_utterances(as_utterances(table.assign(turn=table["source_id"].astype("int64"))))
    with _one_decoder if any(part.received.recordings for part in parts) else nullcontext():
        table = add_facts(corpus, limits=decoding, workers=1).utterances
    paths = [None if is_missing(path) else str(folder / str(path)) for path in table["audio"]]
    return table.assign(audio=pd.Series(paths, index=table.index, dtype="str"))


def with_upload_names(rows: Sequence[dict[str, Any]], received: Received) -> list[dict[str, Any]]:
    """Rows that name recordings as the request did."""
    return [{**row, "audio": turn.audio} for row, turn in zip(rows, received.turns, strict=True)]
