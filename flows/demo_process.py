"""What `hbaf demo` runs: Prefect as the demo wants it, and its server starting while everything else is imported."""

import argparse
import os
import sys
import threading
from pathlib import Path

from hbaf.home import prepare_environment


def main() -> None:
    """Called with the arguments of `hbaf demo`; ends the process with its exit code."""
    parser = argparse.ArgumentParser(prog="hbaf demo")
    parser.add_argument("--audio", default="compare2016", choices=["compare2016", "mfcc"])
    parser.add_argument("--dialogues", type=int, default=320)
    parser.add_argument("--seed", type=int, default=0)
    given = vars(parser.parse_args())
    prepare_environment()
    # The demo runs in this process alone. The prefect.toml of `make up` would send it to that server, running or not;
    # a server that the environment names is the user's wish and stays.
    if Path("prefect.toml").exists():
        os.environ.setdefault("PREFECT_API_URL", "")
    # The tables are the demo's output; Prefect's own lines only when asked for.
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("PREFECT_SERVER_LOGGING_LEVEL", "WARNING")

    import prefect.server.api.server  # noqa: F401  # here, because two threads that import wait for each other
    from prefect.client.orchestration import get_client  # Prefect reads its settings when it is imported

    from hbaf.cli import is_expected

    server = threading.Thread(target=get_client, kwargs={"sync_client": True}, daemon=True)
    server.start()
    from flows.demo import demo
    from flows.private import StageError

    server.join()
    try:
        scored = demo(**given)
    except Exception as error:
        if os.environ.get("HBAF_TRACEBACK") or not (isinstance(error, StageError) or is_expected(error)):
            raise
        print(f"hbaf: {error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(0 if scored else 1)
