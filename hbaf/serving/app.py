"""The addresses that answer: a conversation at once, a conversation turn by turn, health, figures."""

import asyncio
import logging
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.exceptions import HTTPException as AnyHTTPException

from hbaf.corpus.schema import CorpusError
from hbaf.parameters import ServeParameters
from hbaf.serving.conversation import (
    Part,
    Received,
    RequestError,
    check_count,
    measured,
    read_request,
    with_upload_names,
)
from hbaf.serving.guard import bearer, receive
from hbaf.serving.scorer import Answer, Kept, Scorer

log = logging.getLogger(__name__)

READERS = 4  # requests whose turns are read and measured at a time
SWEEP = 5.0  # seconds between two sweeps of idle conversations, at most


@dataclass
class Open:
    """A conversation that goes on: what is kept of it, and when it was used last (monotonic seconds)."""

    used: float
    kept: Kept | None = None
    turns: int = 0
    one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)


class Figures:
    """What /metrics shows, counted since the start; no text, no names, no labels of people."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("hbaf_requests", "Requests", ["path", "status"], registry=self.registry)
        self.turns = Counter("hbaf_turns", "Turns answered", ["status"], registry=self.registry)
        self.problems = Counter("hbaf_turn_problems", "Turns with a problem", ["modality"], registry=self.registry)
        self.seconds = Histogram("hbaf_request_seconds", "Seconds to an answer", ["path"], registry=self.registry)
        self.under_way = Gauge("hbaf_requests_under_way", "Requests not answered yet", registry=self.registry)
        self.open = Gauge("hbaf_open_conversations", "Conversations open turn by turn", registry=self.registry)

    def count(self, answer: Answer) -> None:
        """Counts the turns of an answer."""
        for row in answer.rows:
            self.turns.labels(row["status"]).inc()
            for modality in ("audio", "text"):
                if row[f"{modality}_problem"] is not None:
                    self.problems.labels(modality).inc()


class Service:
    """Conversations of one server.

    Args:
        scorer: scores them.
        parameters: limits.
    """

    def __init__(self, scorer: Scorer, parameters: ServeParameters) -> None:
        self.scorer, self.parameters = scorer, parameters
        self.figures = Figures()
        self.open: dict[str, Open] = {}
        self.under_way = 0  # bytes of requests
        self.readers = ThreadPoolExecutor(READERS, "reader")

    @asynccontextmanager
    async def received(self, request: Request) -> AsyncIterator[Received]:
        """The turns of a request, read within its limits; its bytes count as under way inside.

        Raises:
            RequestError: it exceeds them, all requests together do, or it holds no conversation.
        """
        content = bytearray()
        try:
            await self._receive(request, content)
            kind = request.headers.get("content-type", "")
            yield await self._read(read_request, bytes(content), kind, self.parameters)
        finally:
            self.under_way -= len(content)

    async def _receive(self, request: Request, content: bytearray) -> None:
        limits = self.parameters

        def take(piece: bytes) -> None:
            content.extend(piece)
            self.under_way += len(piece)
            if self.under_way > limits.together_bytes and len(content) <= limits.request_bytes:
                raise RequestError(
                    "the requests under way hold too many bytes (serve.together_bytes). Try again later.", 503
                )

        await receive(
            request,
            take,
            most=limits.request_bytes,
            seconds=limits.request_seconds,
            too_large=f"the request has more than {limits.request_bytes} bytes (serve.request_bytes). Send fewer or "
            "shorter recordings, or FLAC.",
            too_slow=f"the request did not arrive within {limits.request_seconds:g} s (serve.request_seconds). "
            "Send it again.",
        )

    async def score(self, part: Part, kept: Kept | None = None) -> Answer:
        """Rows for the turns; the recordings are gone when it returns."""
        with tempfile.TemporaryDirectory(prefix="hbaf-serve-") as folder:
            table = None
            if part.received.recordings:
                table = await self._read(measured, [part], Path(folder), self.parameters)
            answer = await asyncio.wrap_future(self.scorer.submit(part, kept, table))
        self.figures.count(answer)
        return Answer(with_upload_names(answer.rows, part.received), answer.kept)

    def begin(self) -> str:
        """Opens a conversation; its name.

        Raises:
            RequestError: the model is not causal, or too many are open.
        """
        self.scorer.check_causal()
        self.forget_idle()
        if len(self.open) >= self.parameters.conversations:
            raise RequestError(
                f"{len(self.open)} conversations are open (serve.conversations). End one: DELETE /conversations/ID.",
                503,
            )
        name = uuid.uuid4().hex
        self.open[name] = Open(time.monotonic())
        return name

    async def go_on(self, name: str, received: Received) -> Answer:
        """Rows for the next turns of an open conversation; where that fails it stays as it was.

        Raises:
            RequestError: there is no such conversation, or it would have too many turns.
        """
        going = self.get(name)
        async with going.one_at_a_time:
            check_count(going.turns + len(received.turns), self.parameters)
            answer = await self.score(Part(name, received, going.turns), going.kept)
            self.get(name)  # deleted meanwhile: nothing of it is kept
            going.kept, going.turns, going.used = answer.kept, going.turns + len(received.turns), time.monotonic()
            return answer

    def get(self, name: str) -> Open:
        """An open conversation.

        Raises:
            RequestError: there is none of that name.
        """
        self.forget_idle()
        if name not in self.open:
            raise RequestError(
                "no such conversation: it was deleted, the server began anew, or no turn came for "
                f"{self.parameters.idle_seconds:g} s (serve.idle_seconds). Begin one: POST /conversations.",
                404,
            )
        return self.open[name]

    def forget_idle(self) -> None:
        """Forgets conversations that nothing was added to for too long."""
        oldest = time.monotonic() - self.parameters.idle_seconds
        for name, one in [*self.open.items()]:
            if one.used < oldest and not one.one_at_a_time.locked():
                del self.open[name]

    async def sweep(self) -> None:
        """Forgets idle conversations for ever; to be cancelled."""
        while True:
            await asyncio.sleep(min(SWEEP, self.parameters.idle_seconds / 2))
            self.forget_idle()

    async def _read(self, function: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.readers, function, *arguments)


def create_app(scorer: Scorer, parameters: ServeParameters, token: str) -> FastAPI:
    """The application; it starts the scorer, and closes it when everything taken in was answered.

    Args:
        token: what `Authorization: Bearer` must hold, but for /health.
    """
    service = Service(scorer, parameters)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(scorer.start)
        sweeping = asyncio.create_task(service.sweep())
        yield
        sweeping.cancel()
        with suppress(asyncio.CancelledError):
            await sweeping
        await asyncio.to_thread(scorer.close)
        service.readers.shutdown()

    # No pages that load scripts from elsewhere, and no schema without a token: docs/serving.md describes it.
    app = FastAPI(title="hbaf", lifespan=life, docs_url=None, redoc_url=None, openapi_url=None)

    private = [Depends(bearer(token, "hbaf serve"))]

    @app.middleware("http")
    async def counted(request: Request, call_next: Any) -> Response:
        began, status = time.perf_counter(), 500
        try:
            with service.figures.under_way.track_inprogress():
                response: Response = await call_next(request)
            status = response.status_code
        finally:
            path = getattr(request.scope.get("route"), "path", "other")
            service.figures.requests.labels(path, status).inc()
            service.figures.seconds.labels(path).observe(time.perf_counter() - began)
        return response

    @app.exception_handler(AnyHTTPException)
    async def refused(request: Request, error: AnyHTTPException) -> JSONResponse:
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)

    @app.exception_handler(RequestError)
    async def unusable(request: Request, error: RequestError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, error.status, {"Retry-After": "1"} if error.status == 503 else None)

    @app.exception_handler(CorpusError)
    async def unreadable(request: Request, error: CorpusError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 422)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": "the turns could not be scored: the server's log has the reason."}, 500)

    @app.get("/health")
    async def health() -> JSONResponse:
        return JSONResponse({"status": "ok"}) if scorer.alive else JSONResponse({"status": "not scoring"}, 503)

    @app.get("/metrics", dependencies=private)
    async def metrics() -> Response:
        service.figures.open.set(len(service.open))
        return Response(generate_latest(service.figures.registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/model", dependencies=private)
    async def model() -> JSONResponse:
        emotions = [*scorer.predictor.emotions]
        return JSONResponse({"model": scorer.model, "emotions": emotions, "reads_later_turns": [*scorer.later]})

    @app.post("/score", dependencies=private)
    async def score(request: Request) -> JSONResponse:
        async with service.received(request) as received:
            answer = await service.score(Part(uuid.uuid4().hex, received))
        return JSONResponse({"model": scorer.model, "rows": answer.rows})

    @app.post("/conversations", dependencies=private)
    async def begin() -> JSONResponse:
        return JSONResponse({"conversation": service.begin(), "model": scorer.model}, 201)

    @app.post("/conversations/{name}/turns", dependencies=private)
    async def go_on(name: str, request: Request) -> JSONResponse:
        service.get(name)
        async with service.received(request) as received:
            answer = await service.go_on(name, received)
        return JSONResponse({"rows": answer.rows})

    @app.delete("/conversations/{name}", dependencies=private)
    async def forget(name: str) -> Response:
        service.get(name)
        del service.open[name]
        return Response(status_code=204)

    return app
