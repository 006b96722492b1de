"""`hbaf review`: scored conversations in a browser of this machine, whose labels are kept at once.

The token is the first part of every address, so that links between the pages, and players, work without cookies; what
writes brings it in a header, which no page of another address can.
"""

import asyncio
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from hbaf.corpus.annotations import Annotation, add_annotations, content_of, read_annotations
from hbaf.corpus.confined import confined
from hbaf.corpus.labels import plain_label
from hbaf.corpus.schema import CorpusError, is_missing
from hbaf.corpus.text.manifest_values import clean
from hbaf.home import located
from hbaf.parameters import ServeParameters
from hbaf.report.pages import write_report
from hbaf.scoring.scores_folder import FACTS, NOT_SHOWN, TABLE, ScoresError, ScoresFolder
from hbaf.serving.conversation import RequestError
from hbaf.serving.guard import TOKEN, ServeError, bearer, is_token, listening, receive, token_of_this_start

HOST, PORT = "127.0.0.1", 8767
MOST_BYTES, MOST_LABELS, SECONDS = 256 << 10, 100, 10.0  # of a request with labels
NAMES = ["127.0.0.1", "localhost"]  # by which a browser may know this server: a page of another name reaches nothing
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",  # beside the policy that stands in each page
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class GivenLabel(BaseModel):
    """What a page sends of one turn; no emotion and no note: the label is taken away."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    utterance_id: str = Field(max_length=1000)
    emotion: str = Field("", max_length=200)
    annotator: str = Field(min_length=1, max_length=80)
    note: str = Field("", max_length=2000)
    at: str = Field(pattern=r"^[0-9][0-9T:.Z+-]{0,39}$")
    content: str = Field("", max_length=64)


class GivenLabels(BaseModel):
    """The body of a request."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    labels: tuple[GivenLabel, ...] = Field(max_length=MOST_LABELS)


@dataclass(frozen=True)
class Reviewed:
    """A folder of scores whose conversations are shown.

    Attributes:
        scores: its rows.
        root: folder that the paths in `scores.audio` lie below; None where nobody knows.
        facts: what scores.json says.
    """

    scores: pd.DataFrame
    root: Path | None
    facts: Mapping[str, Any]

    @staticmethod
    def read(folder: Path) -> "Reviewed":
        """What `hbaf score` left in a folder.

        Raises:
            ScoresError: it is none.
        """
        if not (folder / TABLE).is_file():
            raise ScoresError(f"{folder}: holds no {TABLE}. Name a folder that `hbaf score` wrote.")
        there = ScoresFolder(folder)
        root = there.facts.get("corpus_root") if (folder / FACTS).exists() else None
        return Reviewed(next(there.frames()), Path(located(root)) if root else None, there.facts)

    @property
    def emotions(self) -> tuple[str, ...]:
        """That the model knows."""
        return tuple(str(name)[2:] for name in self.scores if str(name).startswith("p_"))

    @cached_property
    def rows(self) -> dict[str, dict[str, Any]]:
        """By utterance id."""
        records: list[Any] = self.scores.to_dict("records")
        return {str(row["utterance_id"]): row for row in records}

    @cached_property
    def corpora(self) -> set[str]:
        """Their names."""
        return set(self.scores["corpus"].astype(str))

    @cached_property
    def sounds(self) -> set[str]:
        """The paths that a page may play."""
        return set(self.scores["audio"].dropna().astype(str))

    def annotation(self, given: GivenLabel) -> tuple[str, Annotation]:
        """(corpus, what is kept of a label).

        Raises:
            RequestError: the utterance, or what it says, or the emotion is none of this folder.
        """
        row = self.rows.get(given.utterance_id)
        if row is None:
            raise RequestError(f"{given.utterance_id}: no such utterance among these scores.")
        content = content_of(row)
        if given.content and given.content != content:
            raise RequestError(f"{given.utterance_id}: says something else now than on this page. Load the page again.")
        emotion, annotator = plain_label(clean(given.emotion)), " ".join(clean(given.annotator).split())
        if emotion and emotion not in map(plain_label, self.emotions):
            raise RequestError(f"{emotion}: none of {', '.join(self.emotions)}.")
        if not annotator:
            raise RequestError("a label needs the name of who gives it.")
        speaker = "" if is_missing(row.get("speaker")) else str(row["speaker"])
        return str(row["corpus"]), Annotation(
            given.utterance_id, emotion, annotator, given.at, "", content, speaker, clean(given.note)
        )


def review(folder: Path, *, port: int = PORT) -> None:
    """Shows the conversations of a folder of scores until Ctrl-C; prints the address, with its token.

    Raises:
        ScoresError: the folder holds no scores.
        ServeError: HBAF_SERVE_TOKEN is too short, or the port is taken.
    """
    reviewed = Reviewed.read(folder)
    token, _ = token_of_this_start()
    if not re.fullmatch(r"[\w.~-]+", token, re.ASCII):
        raise ServeError(f"{TOKEN}: stands in addresses here, so it may hold letters, digits and `-_.~` alone.")
    place, address = listening(ServeParameters(host=HOST, port=port))
    with tempfile.TemporaryDirectory(prefix="hbaf-review-") as pages:
        app = create_review(reviewed, Path(pages), token)
        print(f"{address}/{token}/\nopen this address in a browser of this machine; Ctrl-C ends it", flush=True)
        uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run([place])


def create_review(reviewed: Reviewed, pages: Path, token: str) -> FastAPI:
    """The application; writes the pages into a folder of its own."""
    write_report(
        reviewed.scores,
        pages,
        title=f"{reviewed.facts.get('corpus', 'scores')}: {len(reviewed.scores)} utterances",
        corpus_root=reviewed.root,
        emotions=reviewed.emotions,
        provenance={name: str(value) for name, value in reviewed.facts.items() if name not in NOT_SHOWN},
        audio="none" if reviewed.root is None else "link",
        notice=str(reviewed.facts.get("notice", "")),
        review=True,
    )
    app = FastAPI(title="hbaf review", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=NAMES)

    def known(named: str) -> None:
        if not is_token(named, token):
            raise HTTPException(404, "no such page: open the address that `hbaf review` printed.")

    writes = [Depends(known), Depends(bearer(token, "hbaf review"))]

    @app.middleware("http")
    async def guarded(request: Request, call_next: Any) -> Response:
        answer: Response = await call_next(request)
        answer.headers.update(HEADERS)
        return answer

    @app.exception_handler(AnyHTTPException)
    async def refused(request: Request, error: AnyHTTPException) -> JSONResponse:
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)

    @app.exception_handler(RequestError)
    async def unusable(request: Request, error: RequestError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, error.status)

    @app.get("/{named}", dependencies=[Depends(known)])
    async def start(named: str) -> Response:
        return RedirectResponse(f"/{named}/index.html")

    @app.get("/{named}/labels", dependencies=writes)
    async def kept(named: str, annotator: str, corpus: str) -> JSONResponse:
        if corpus not in reviewed.corpora:
            raise RequestError(f"{corpus}: no such corpus among these scores.")
        theirs = [one for one in read_annotations(corpus) if one.annotator == annotator]
        mine = [one for one in theirs if one.utterance_id in reviewed.rows]
        fields = ("utterance_id", "emotion", "note", "at", "content")
        return JSONResponse({"labels": [{name: getattr(one, name) for name in fields} for one in mine]})

    @app.post("/{named}/labels", dependencies=writes)
    async def give(named: str, request: Request) -> JSONResponse:
        content = bytearray()
        await receive(
            request, content.extend, most=MOST_BYTES, seconds=SECONDS,
            too_large=f"more than {MOST_BYTES} bytes of labels.", too_slow=f"not here within {SECONDS:g} s.",
        )  # fmt: skip
        try:
            given = GivenLabels.model_validate_json(bytes(content))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise RequestError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
        by_corpus: dict[str, list[Annotation]] = {}
        for corpus, one in map(reviewed.annotation, given.labels):
            by_corpus.setdefault(corpus, []).append(one)
        for corpus, annotations in by_corpus.items():
            await asyncio.to_thread(add_annotations, corpus, annotations)
        return JSONResponse({"saved": len(given.labels)})

    @app.get("/{named}/sound/{path:path}", dependencies=[Depends(known)])
    async def sound(named: str, path: str) -> Response:
        if reviewed.root is None or path not in reviewed.sounds:
            raise HTTPException(404, "no such recording among these scores.")
        try:
            return FileResponse(confined(reviewed.root / path, reviewed.root))
        except CorpusError as error:
            raise HTTPException(404, "the recording is not there any more.") from error

    @app.get("/{named}/{page:path}", dependencies=[Depends(known)])
    async def page(named: str, page: str) -> Response:
        try:
            return FileResponse(confined(pages / (page or "index.html"), pages))
        except CorpusError as error:
            raise HTTPException(404, "no such page.") from error

    return app
