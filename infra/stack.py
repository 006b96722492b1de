"""The local stack without containers: PostgreSQL, Prefect server, MLflow server and a worker, on loopback alone.

    make up       starts what is not running, deploys every flow, says where everything is
    make status   says what runs
    make down     stops all of it; everything that was computed stays in the home folder

A Prefect server or an MLflow store that the environment or the active Prefect profile names is used in place of an own
one. Settings: HBAF_HOME, HBAF_PREFECT_PORT (4200), HBAF_MLFLOW_PORT (5000), HBAF_PREFIX, HBAF_GPU_WORKERS.
"""

import argparse
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path

import postgres
import processes
from processes import Service, StackError

from hbaf.home import QUIET_ENVIRONMENT, HomeError, directory, write_atomically
from hbaf.waiting import Busy, alone

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
TOML = ROOT / "prefect.toml"  # read by `prefect` inside the checkout; not in git
STUDIES = "hbaf"  # database of the searches
BEFORE = "mlflow"  # database in which an older hbaf kept the stack's runs and models
# A deployment's concurrency limit is held by a lease. Prefect keeps leases in memory: after a restart of the server it
# would end every run that holds one, five minutes at most later.
LEASES = {"PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem"}
SECRET = "prefect.password"  # in the stack's folder
START = 120  # seconds that a server may take on a busy machine


class Stack:
    """What runs, as it is written in `<home>/stack/stack.json`."""

    def __init__(self) -> None:
        self.folder = directory("stack")
        self.data = self.folder / "postgres"
        self.file = self.folder / "stack.json"
        written = json.loads(self.file.read_text()) if self.file.exists() else {}
        self.urls: dict[str, str] = written.get("urls", {})
        self.services = {name: Service(**values) for name, values in written.get("services", {}).items()}

    def write(self) -> None:
        """Keeps services and addresses for the next command."""
        services = {name: service.as_json() for name, service in self.services.items()}
        write_atomically(self.file, json.dumps({"urls": self.urls, "services": services}, indent=1).encode())

    def runs(self, name: str) -> bool:
        """Whether a service of that name runs."""
        return name in self.services and self.services[name].process() is not None

    def keep(self, service: Service) -> Service:
        """Written at once: a crash of this command leaves nothing that `make down` does not find."""
        self.services[service.name] = service
        self.write()
        return service

    def environment(self) -> dict[str, str]:
        """Of the servers, the workers and every flow run."""
        own = {"HBAF_HOME": str(self.folder.parent), "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}
        if "prefect" in self.urls:
            own["PREFECT_API_URL"] = self.urls["prefect"]
        if "prefect" in self.services:  # with somebody else's server the user's own profile may hold the key to it
            own["PREFECT_HOME"] = str(self.folder / "prefect")
        if "mlflow" in self.urls:
            own["MLFLOW_TRACKING_URI"] = self.urls["mlflow"]
        if "study" in self.urls:
            own["HBAF_SEARCH_STORAGE"] = self.urls["study"]
        secret = self.secret()
        known = {"PREFECT_API_AUTH_STRING": secret} if secret else {}
        return {**QUIET_ENVIRONMENT, "OMP_NUM_THREADS": "1", **known, **os.environ, **own}

    def secret(self) -> str | None:
        """`user:password` of a Prefect server of ours: as set, or as made; None for somebody else's server."""
        if asked := os.environ.get("PREFECT_SERVER_API_AUTH_STRING"):
            return asked
        kept = self.folder / SECRET
        return kept.read_text() if kept.exists() and "prefect" in self.services else None

    def make_secret(self) -> str:
        """The same for a server that is about to start: made once, for its owner's eyes."""
        kept = self.folder / SECRET
        if not kept.exists():
            write_atomically(kept, f"hbaf:{secrets.token_urlsafe(24)}".encode(), private=True)
        return os.environ.get("PREFECT_SERVER_API_AUTH_STRING") or kept.read_text()


def up() -> None:
    """Starts what is not running, then deploys every flow and starts the workers."""
    stack = Stack()
    existing = existing_servers(stack)
    unattended = "prefect" not in existing and not any(stack.runs(name) for name in stack.services if "worker" in name)
    own_study = "HBAF_SEARCH_STORAGE" not in os.environ
    if (own_study or stack.data.exists()) and not stack.runs("postgres"):
        stack.keep(postgres.start(stack.data, (STUDIES,)))
    stack.urls["study"] = (
        postgres.url(stack.data, STUDIES, "psycopg2") if own_study else os.environ["HBAF_SEARCH_STORAGE"]
    )
    stack.urls |= existing
    begun = [begin(stack) for name, begin in SERVERS.items() if name not in existing and not stack.runs(name)]
    for service, health in begun:
        processes.wait_until(partial(answers, health), service, START)
    stack.write()
    prefect_script(stack, "apply")
    if unattended:
        prefect_script(stack, "sweep")
    start_workers(stack)
    if "prefect" not in existing:
        content = ["# Written by `make up`, removed by `make down`.", "[api]", f'url = "{stack.urls["prefect"]}"']
        content += [f"auth_string = {json.dumps(secret)}"] if (secret := stack.secret()) else []
        write_atomically(TOML, ("\n".join(content) + "\n").encode(), private=True)
    status()


def existing_servers(stack: Stack) -> dict[str, str]:
    """Prefect and MLflow addresses that the environment or the active Prefect profile names, other than our own.

    Raises:
        StackError: one of them does not answer.
    """
    asked = "from prefect.settings import get_current_settings as read; print(read().api.url or '')"
    # In the stack's folder, so that neither our prefect.toml nor pyproject.toml speaks.
    done = subprocess.run([sys.executable, "-c", asked], cwd=stack.folder, capture_output=True, text=True, check=False)
    named = {"prefect": done.stdout.strip(), "mlflow": os.environ.get("MLFLOW_TRACKING_URI", "")}
    found = {name: url for name, url in named.items() if url and not (url == stack.urls.get(name) and stack.runs(name))}
    for name, url in found.items():
        if url.startswith("http") and not answers(url):
            raise StackError(
                f"{name}: the environment or the active profile names {url}, which does not answer. "
                "Start that server, or take its name away to have one started here."
            )
    return found


def start_prefect(stack: Stack) -> tuple[Service, str]:
    """The server and the address that answers when it is ready."""
    port = processes.choose_port(os.environ.get("HBAF_PREFECT_PORT"), 4200, "HBAF_PREFECT_PORT")
    stack.urls["prefect"] = f"http://127.0.0.1:{port}/api"
    # On SQLite: Prefect's migrations want the extension pg_trgm, which PostgreSQL's wheel lacks. With a PostgreSQL of
    # one's own, PREFECT_SERVER_DATABASE_CONNECTION_URL in the environment is kept.
    # Prefect would let every page of every address ask: a browser on this machine is one of them.
    own = ",".join(f"http://{host}:{port}" for host in ("127.0.0.1", "localhost"))
    guarded = {
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": own,
        "PREFECT_SERVER_API_AUTH_STRING": (secret := stack.make_secret()),
        "PREFECT_API_AUTH_STRING": secret,
    }
    environment = {**LEASES, **guarded, **stack.environment(), "PREFECT_HOME": str(directory("stack", "prefect"))}
    command = (BIN / "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port))
    service = stack.keep(processes.start("prefect", command, stack.folder, environment))
    return service, f"http://127.0.0.1:{port}/api/health"


def start_mlflow(stack: Stack) -> tuple[Service, str]:
    """Starts the MLflow server on the home's own database; returns it and the address that answers once it is up.

    One database, whether the stack runs or not: nothing that was made with or without it is hidden. The server is one
    process, so its writers wait for each other, and artifacts go straight into the home, where commands that use the
    database without a server find them.
    """
    from hbaf.registry.embedded.database import artifacts, share_database

    port = processes.choose_port(os.environ.get("HBAF_MLFLOW_PORT"), 5000, "HBAF_MLFLOW_PORT")
    stack.urls["mlflow"] = f"http://127.0.0.1:{port}"
    database = share_database()
    carry_over(stack)
    command = (
        *(BIN / "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", database, "--default-artifact-root", artifacts().as_uri(), "--no-serve-artifacts"),
        *("--allowed-hosts", f"127.0.0.1:{port},localhost:{port}"),
    )
    environment = stack.environment()
    environment.pop("MLFLOW_TRACKING_URI", None)  # its own address would make the server ask itself
    service = stack.keep(processes.start("mlflow", command, stack.folder, environment))
    return service, f"http://127.0.0.1:{port}/health"


def carry_over(stack: Stack) -> None:
    """What an older hbaf kept in PostgreSQL comes into the home's database, once; there it stays under another name.

    Raises:
        StackError: the two databases are of different versions of MLflow.
    """
    if not stack.runs("postgres") or not postgres.has(stack.data, BEFORE):
        return
    from hbaf.registry.embedded import carry_over as mlflow_databases
    from hbaf.registry.embedded.database import artifacts, database

    try:
        came = mlflow_databases.carry_over(postgres.url(stack.data, BEFORE, "psycopg2"), database(), artifacts())
    except mlflow_databases.CarryError as error:
        raise StackError(str(error)) from error
    postgres.rename_database(stack.data, BEFORE, f"{BEFORE}_carried_over")
    print(f"from the stack's PostgreSQL into {database()}: {came}")


SERVERS = {"prefect": start_prefect, "mlflow": start_mlflow}


def start_workers(stack: Stack) -> None:
    """One on the pool `local`; where there is a GPU, HBAF_GPU_WORKERS (1) on the pool `gpu`."""
    prefix = os.environ.get("HBAF_PREFIX", "")
    wanted = {"worker": "local"}
    if shutil.which("nvidia-smi"):
        wanted |= {f"gpu-worker-{n}": "gpu" for n in range(1, 1 + int(os.environ.get("HBAF_GPU_WORKERS", "1")))}
    for name, pool in wanted.items():
        if not stack.runs(name):
            command = (
                BIN / "prefect",
                "worker",
                "start",
                "--pool",
                prefix + pool,
                "--name",
                f"{os.uname().nodename}-{name}",
            )
            stack.keep(processes.start(name, command, stack.folder, stack.environment()))


def prefect_script(stack: Stack, verb: str) -> None:
    """Runs `infra/deployments.py` against the stack's server."""
    command = [sys.executable, str(ROOT / "infra" / "deployments.py"), verb]
    done = subprocess.run(
        command, cwd=stack.folder, env=stack.environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise StackError(f"deployments: {verb} failed:\n{done.stdout}{done.stderr}")
    if verb == "apply":  # what was kept otherwise than prefect.yaml says, and what became of scheduled sources
        told = [line for line in done.stdout.splitlines() if not line.startswith(("watched:", "deployed:"))]
        print("".join(f"{line}\n" for line in told), end="")


def down() -> None:
    """Flow runs first, while they can still queue their trials again and tell Prefect and MLflow; PostgreSQL last."""
    stack = Stack()
    # A worker that is stopped kills them with -9. Training hears a signal at the end of its epoch, so they have longer.
    processes.end(processes.marked(stack.folder, "prefect.engine"), patience=45)
    named = [stack.services[name] for name in ("prefect", "mlflow") if name in stack.services]
    servers = [process for service in named if (process := service.process())]
    kept = {process.pid for server in servers for process in (server, *server.children(recursive=True))}
    stopped = [name for name in stack.services if "worker" in name and processes.stop(stack.services[name])]
    processes.end([process for process in processes.marked(stack.folder) if process.pid not in kept])
    if stack.runs("prefect"):
        prefect_script(stack, "sweep")
    stopped += [
        name for name in ("mlflow", "prefect") if name in stack.services and processes.stop(stack.services[name])
    ]
    processes.end(processes.marked(stack.folder))
    database = postgres.found(stack.data)
    stopped += ["postgres"] if database and postgres.stop(database) else []
    if TOML.exists() and stack.urls.get("prefect", "?") in TOML.read_text():
        TOML.unlink()
    stack.file.unlink(missing_ok=True)
    print(f"stopped: {', '.join(stopped)}" if stopped else "nothing ran")


def status() -> int:
    """Prints where everything is; 1 if something of the stack is not running."""
    stack = Stack()
    if not stack.urls:
        print("not running; `make up` starts it")
        return 1
    shown = {"prefect": stack.urls.get("prefect", "").removesuffix("/api"), "mlflow": stack.urls.get("mlflow", "")}
    for name, service in stack.services.items():
        running = "running" if service.process() else "STOPPED"
        print(f"{name:13} {running}  {shown.get(name, ''):24} log: {service.log}")
    for name in [name for name in shown if name not in stack.services]:
        print(f"{name:13} yours    {shown[name]}")
    print(f"study store   {stack.urls['study']}")
    if (stack.folder / SECRET).exists() and "prefect" in stack.services:
        print(f"password      Prefect's pages ask for the line in {stack.folder / SECRET}")
    print("\nIn this folder, with the virtual environment active:  prefect deployment run train-hbaf")
    return 0 if all(service.process() for service in stack.services.values()) else 1


def answers(url: str) -> bool:
    """Whether a server is there; one that asks for a password is."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["up", "down", "status"])
    verb = parser.parse_args().verb
    for name, value in QUIET_ENVIRONMENT.items():  # MLflow reads it when it is imported
        os.environ.setdefault(name, value)
    try:
        if verb == "status":
            return status()
        began = time.monotonic()
        with alone(directory("stack") / "lock", seconds=300):
            up() if verb == "up" else down()
        print(f"({time.monotonic() - began:.0f} s)", file=sys.stderr)
        return 0
    except (StackError, HomeError) as error:
        print(f"make {verb}: {error}", file=sys.stderr)
    except Busy:
        print(f"make {verb}: another `make up` or `make down` is at work; wait for it.", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
