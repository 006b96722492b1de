"""The server: champion, token, port; it ends when everything that it took in was answered."""

import ipaddress
import sys

import uvicorn

from hbaf.parameters import ServeParameters
from hbaf.registry.cached_champion import champion
from hbaf.scoring.purpose import Purpose
from hbaf.serving.app import create_app
from hbaf.serving.guard import TOKEN, listening, token_of_this_start
from hbaf.serving.scorer import Scorer


def serve(parameters: ServeParameters, *, purpose: Purpose, model: str | None = None) -> None:
    """Answers until SIGTERM or Ctrl-C; then no request is taken in any more, and those that were are answered.

    Prints the address, and the token where it was made here.

    Raises:
        ServeError: the champion cannot be served, the token is too short, or the address is taken.
        hbaf.registry.models.NoModelError: no champion, or several and none named.
        hbaf.scoring.purpose.PurposeError: a licence forbids the purpose.
    """
    token, is_given = token_of_this_start()
    scorer = Scorer(champion(model), purpose, parameters)
    place, address = listening(parameters)
    print(f"{scorer.champion.model.label} answers at {address}; Ctrl-C stops it")
    if scorer.champion.champion_from == "cache":
        print("  MLflow cannot be reached: this is the champion that it named last")
    print(f"token: that of {TOKEN}" if is_given else f"token: {token}", flush=True)
    host = place.getsockname()[0]
    if not ipaddress.ip_address(host).is_loopback:
        print(f"  {host} is open to other machines and not encrypted: put a proxy with TLS before it", file=sys.stderr)
    server = uvicorn.Server(
        uvicorn.Config(create_app(scorer, parameters, token), log_level="warning", access_log=False)
    )
    server.run([place])
