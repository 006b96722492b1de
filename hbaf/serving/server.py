"""The server: champion, token, port; it ends when everything that it took in was answered."""

import ipaddress
import os
import secrets
import socket
import sys

import uvicorn

from hbaf.parameters import ServeParameters
from hbaf.registry.cached_champion import champion
from hbaf.scoring.purpose import Purpose
from hbaf.serving.app import create_app
from hbaf.serving.scorer import Scorer, ServeError

TOKEN = "HBAF_SERVE_TOKEN"  # the name of a variable
SHORTEST = 16  # characters of a token


def serve(parameters: ServeParameters, *, purpose: Purpose, model: str | None = None) -> None:
    """Answers until SIGTERM or Ctrl-C; then no request is taken in any more, and those that were are answered.

    Prints the address, and the token where it was made here.

    Raises:
        ServeError: the champion cannot be served, the token is too short, or the address is taken.
        hbaf.registry.models.NoModelError: no champion, or several and none named.
        hbaf.scoring.purpose.PurposeError: a licence forbids the purpose.
    """
    given = os.environ.get(TOKEN, "")
    token = given or secrets.token_urlsafe(32)
    if len(token) < SHORTEST:
        raise ServeError(
            f"{TOKEN}: shorter than {SHORTEST} characters, so it could be guessed. Set a longer one, or leave it out: "
            "one is made at each start."
        )
    scorer = Scorer(champion(model), purpose, parameters)
    place = _listening(parameters)
    host, port = place.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    print(f"{scorer.champion.model.label} answers at {address}; Ctrl-C stops it")
    if scorer.champion.champion_from == "cache":
        print("  MLflow cannot be reached: this is the champion that it named last")
    print(f"token: {token}" if not given else f"token: that of {TOKEN}", flush=True)
    if not ipaddress.ip_address(host).is_loopback:
        print(f"  {host} is open to other machines and not encrypted: put a proxy with TLS before it", file=sys.stderr)
    server = uvicorn.Server(
        uvicorn.Config(create_app(scorer, parameters, token), log_level="warning", access_log=False)
    )
    server.run([place])


def _listening(parameters: ServeParameters) -> socket.socket:
    try:
        family = socket.getaddrinfo(parameters.host, parameters.port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((parameters.host, parameters.port), family=family)
    except OSError as error:
        raise ServeError(
            f"{parameters.host}:{parameters.port} cannot be listened at ({error.strerror or error}). Choose another: "
            "`--set serve.port=8766`; 0 takes any free one."
        ) from error
