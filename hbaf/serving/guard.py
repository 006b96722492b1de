"""What every server of ours has: an address, a token that requests must bring, and limits of their bodies."""

import asyncio
import hmac
import os
import secrets
import socket
from collections.abc import Callable

from fastapi import HTTPException, Request

from hbaf.parameters import ServeParameters
from hbaf.serving.conversation import RequestError

TOKEN = "HBAF_SERVE_TOKEN"  # the name of a variable
SHORTEST = 16  # characters of a token


class ServeError(ValueError):
    """A server cannot begin: the champion cannot be served, the token is too short, the address is taken."""


def listening(parameters: ServeParameters) -> tuple[socket.socket, str]:
    """A socket that listens, and its address as a browser names it.

    Raises:
        ServeError: the address is taken, or none of this machine's.
    """
    try:
        family = socket.getaddrinfo(parameters.host, parameters.port, type=socket.SOCK_STREAM)[0][0]
        place = socket.create_server((parameters.host, parameters.port), family=family)
        # Connections inherit it, and asyncio does not set it for a socket that it is handed: without it the second
        # packet of an answer waits 40 ms for the client's acknowledgement of the first.
        place.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:
        raise ServeError(
            f"{parameters.host}:{parameters.port} cannot be listened at ({error.strerror or error}). Choose another: "
            "`--set serve.port=8766`; 0 takes any free one."
        ) from error
    host, port = place.getsockname()[:2]
    return place, f"http://{f'[{host}]' if ':' in host else host}:{port}"


def token_of_this_start() -> tuple[str, bool]:
    """(the token, whether the environment gave it); otherwise one is made.

    Raises:
        ServeError: the given one is too short.
    """
    given = os.environ.get(TOKEN, "")
    token = given or secrets.token_urlsafe(32)
    if len(token) < SHORTEST:
        raise ServeError(
            f"{TOKEN}: shorter than {SHORTEST} characters, so it could be guessed. Set a longer one, or leave it out: "
            "one is made at each start."
        )
    return token, bool(given)


def is_token(given: str, token: str) -> bool:
    """Whether they are equal, in a time that tells nothing."""
    return hmac.compare_digest(given.strip().encode(), token.encode())


def bearer(token: str, command: str) -> Callable[[Request], None]:
    """Refuses what does not bring `Authorization: Bearer TOKEN`; `command` is the one that printed it."""

    def authorised(request: Request) -> None:
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not is_token(given, token):
            raise HTTPException(
                401,
                "token missing or wrong: send the header `Authorization: Bearer TOKEN` with the token that "
                f"`{command}` printed at its start, or that {TOKEN} holds.",
                {"WWW-Authenticate": "Bearer"},
            )

    return authorised


async def receive(
    request: Request, take: Callable[[bytes], None], *, most: int, seconds: float, too_large: str, too_slow: str
) -> None:
    """Gives the pieces of a body to `take`: at most so many bytes, in at most so many seconds.

    Raises:
        RequestError: it has more, or takes longer; with these messages.
    """
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > most:
        raise RequestError(too_large, 413)
    count = 0
    try:
        async with asyncio.timeout(seconds):
            async for piece in request.stream():
                count += len(piece)
                take(piece)
                if count > most:
                    raise RequestError(too_large, 413)
    except TimeoutError:
        raise RequestError(too_slow, 408) from None
