"""Trial workers as Prefect flow runs on a work pool: on any number of machines, each attached to the one study."""

import os
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar
from uuid import UUID

import httpx
from prefect import get_run_logger
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelling, State

from hbaf.parameters import SearchParameters
from hbaf.search.run import STARTS_A_WORKER, OpenStudy, Workers
from hbaf.search.space import SearchError
from hbaf.stop import clean_up
from hbaf.waiting import again

SECONDS_BETWEEN_LOOKS = 2.0
SERVER_MAY_BE_AWAY = 300.0  # seconds: a restart of the Prefect server must not end a search
UNHEARD = 120.0  # seconds until it is reported that no worker has taken a run
T = TypeVar("T")


def pool_workers(search: SearchParameters) -> Workers | None:
    """Flow runs on the pool's workers, or None: processes of this machine, where no server has the deployment.

    Raises:
        SearchError: a pool was asked for and there is no deployment of `trial-worker` on it.
    """
    if search.pool is None and search.workers == 1:
        return None
    name = deployment_name(search.pool)
    if PREFECT_API_URL.value():
        with get_client(sync_client=True) as client:
            try:
                client.read_deployment_by_name(name)
                return lambda study: PoolRuns(name, study).run()
            except ObjectNotFound:
                pass
    if search.pool is None:
        return None
    raise SearchError(
        f"pool {search.pool}: no deployment {name}. Deploy it (`make deploy`) on the server that PREFECT_API_URL or "
        "the active profile names, or leave `search.pool` out: processes of this machine are used then."
    )


def deployment_name(pool: str | None) -> str:
    """The deployment of trial workers that serves a work pool."""
    suffix = "" if pool in (None, "local") else f"-{pool}"
    return f"trial-worker/{os.environ.get('HBAF_PREFIX', '')}trial-worker{suffix}"


class PoolRuns:
    """The flow runs of one search: started, watched, started again when they crash, cancelled with their parent."""

    def __init__(self, deployment: str, study: OpenStudy):
        self.deployment, self.plan, self.study = deployment, study.plan, study
        self.running: dict[int, UUID] = {}
        self.starts: dict[int, int] = {}
        self.log = get_run_logger()

    def run(self) -> None:
        """Until the budget is spent.

        Raises:
            SearchError: a worker failed, or crashed too often.
        """
        began, warned = time.monotonic(), False
        try:
            for number in range(self.plan.search.workers):
                self.start(number)
            while self.running:
                time.sleep(SECONDS_BETWEEN_LOOKS)
                self.study.tell()
                states = {number: state_of_run(flow_run) for number, flow_run in self.running.items()}
                for number, state in states.items():
                    if state is not None and state.is_final():
                        self.ended(number, state)
                taken = any(s is not None and not s.is_scheduled() for s in states.values())
                if not taken and not warned and time.monotonic() - began > UNHEARD:
                    warned = True
                    self.log.warning(
                        "No worker has taken a run of %s yet. Is one started on its pool?", self.deployment
                    )
        finally:
            for flow_run in self.running.values():
                clean_up(f"flow run {flow_run}", partial(with_patience, partial(cancel, flow_run), patience=10))

    def start(self, number: int) -> None:
        """Starts a trial worker's flow run."""
        name = f"{self.plan.study}-{number}"
        parameters = {"study": self.plan.study, "number": number}
        if self.plan.search.storage:
            parameters["storage"] = self.plan.search.storage
        self.running[number] = with_patience(lambda: start_run(self.deployment, name, parameters))
        self.starts[number] = self.starts.get(number, 0) + 1

    def ended(self, number: int, state: State) -> None:
        """Starts a crashed worker again; raises where one failed otherwise."""
        del self.running[number]
        if state.is_completed() or self.study.is_done():
            return
        if state.is_crashed() and self.starts[number] < STARTS_A_WORKER:
            self.log.warning("Trial worker %d crashed and is started again.", number)
            self.start(number)
            return
        raise SearchError(f"trial worker {number}: {state.name}. {state.message or ''}")


def start_run(deployment: str, name: str, parameters: dict[str, object]) -> UUID:
    """Starts a flow run and returns its id at once."""
    made = run_deployment(deployment, parameters=parameters, timeout=0, flow_run_name=name)
    assert isinstance(made, FlowRun)  # a coroutine only where a loop is running
    return made.id


def state_of_run(flow_run: UUID) -> State | None:
    """State of a flow run, None if it has none."""

    def read() -> State | None:
        with get_client(sync_client=True) as client:
            return client.read_flow_run(flow_run).state

    return with_patience(read)


def cancel(flow_run: UUID) -> None:
    """Asks Prefect to cancel a flow run."""
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(flow_run, Cancelling(message="The search that wanted it has ended."))


def with_patience(call: Callable[[], T], patience: float = SERVER_MAY_BE_AWAY) -> T:
    """Calls again while the Prefect server is away."""
    return again(call, server_is_away, patience)


def server_is_away(error: Exception) -> bool:
    """Whether the Prefect server could not be reached, or has a trouble of its own."""
    if isinstance(error, PrefectHTTPStatusError):
        return error.response.status_code >= 500
    return isinstance(error, httpx.TransportError)
