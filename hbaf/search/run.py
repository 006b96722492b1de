"""A whole search on this machine: `hbaf search` and the flow both call it, the flow with workers of its own kind."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hbaf.corpus.schema import CorpusReference
from hbaf.features.columns import Columns
from hbaf.parameters import FeatureParameters, ModelParameters, SearchParameters, TrainingParameters
from hbaf.registry.tracking import MlflowClient
from hbaf.search.end import StudyOutcome, end_study
from hbaf.search.plan import STORAGE_VARIABLE, StudyPlan, begin_study, storage_url
from hbaf.search.refit import queue_refits
from hbaf.search.space import SearchError
from hbaf.search.study import SharedStudy, is_spent, results
from hbaf.search.worker import work, worker_name
from hbaf.stop import check, clean_up, heeded

STARTS_A_WORKER = 3  # how often a worker that dies is started, before the search fails
SECONDS_TO_STOP = 20


@dataclass(frozen=True)
class OpenStudy:
    """A search under way, as whoever starts workers for it sees it.

    Attributes:
        tell: says how far it is, whenever that changed.
    """

    plan: StudyPlan
    storage: str
    search: SharedStudy
    refit: SharedStudy
    tell: Callable[[], None]

    def is_done(self) -> bool:
        """Whether every trial and every refit has ended."""
        if not is_spent(self.search):
            return False
        queue_refits(self.plan, self.search, self.refit)
        return is_spent(self.refit)

    def release(self, worker: str) -> None:
        """Queues again what a worker that is gone was at."""
        for study in (self.search, self.refit):
            study.release(lambda trial: trial.user_attrs.get("worker") == worker)


Workers = Callable[[OpenStudy], None]


def run_study(
    reference: CorpusReference,
    columns: Columns,
    features: FeatureParameters,
    model: ModelParameters,
    training: TrainingParameters,
    search: SearchParameters,
    *,
    workers: Workers | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> StudyOutcome:
    """Searches, trains the best settings again over fresh seeds, and registers the candidate.

    A search of the same name goes on where it stopped.

    Args:
        workers: runs trials and refits until none is left; default: in this process, or in processes of this
            machine if there is more than one worker.
        say: called with each message about progress.
    """
    plan = begin_study(reference, columns, features, model, training, search)
    url = storage_url(search)
    status = "FAILED"
    try:
        trials, refits = plan.open("search", url), plan.open("refit", url)
        say(f"study {plan.study}, run {plan.parent_run_id}")
        under_way = OpenStudy(plan, url, trials, refits, _teller(plan, trials, refits, say))
        (workers or local_workers)(under_way)
        outcome = end_study(plan, trials, refits)
        status = "FINISHED"
    except BaseException as error:
        status = "FAILED" if isinstance(error, Exception) else "KILLED"
        raise
    finally:
        clean_up(f"run {plan.parent_run_id}", lambda: MlflowClient().set_terminated(plan.parent_run_id, status))
    shutil.rmtree(plan.folder(), ignore_errors=True)
    return outcome


def local_workers(study: OpenStudy) -> None:
    """One worker in this process, or several in processes of their own."""
    if study.plan.search.workers == 1:
        work(study.plan.study, study.storage, on_result=study.tell)
        return
    processes = LocalProcesses(study)
    with heeded(processes.kill, patience=SECONDS_TO_STOP + 10):
        processes.run()


class LocalProcesses:
    """Worker processes of this machine: started, watched, started again when they die, and stopped in order."""

    def __init__(self, study: OpenStudy):
        self.study, self.plan = study, study.plan
        self.gpus = visible_gpus() if study.plan.training.device != "cpu" else []
        self.running: dict[int, subprocess.Popen[bytes]] = {}
        self.starts: dict[int, int] = {}

    def run(self) -> None:
        """Until the budget is spent.

        Raises:
            SearchError: a worker died too often.
        """
        try:
            for number in range(self.plan.search.workers):
                self._start(number)
            while self.running:
                time.sleep(0.3)
                check()
                self.study.tell()
                for number, process in list(self.running.items()):
                    if process.poll() is not None:
                        self._ended(number)
        finally:
            self.stop()
            clean_up("progress", self.study.tell)

    def _start(self, number: int) -> None:
        environment = {**os.environ, STORAGE_VARIABLE: self.study.storage}
        if "OMP_NUM_THREADS" not in environment:
            environment["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // self.plan.search.workers))
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = gpu_of(number, self.gpus, self.plan.search.workers_per_gpu)
        command = [sys.executable, "-m", "hbaf.search.worker", self.plan.study, str(number)]
        with self._log_file(number).open("wb") as log:
            self.running[number] = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self.starts[number] = self.starts.get(number, 0) + 1

    def _ended(self, number: int) -> None:
        process = self.running.pop(number)
        if process.returncode == 0:
            return
        self.study.release(worker_name(process.pid))
        if self.study.is_done():
            return
        if process.returncode == 2 or self.starts[number] >= STARTS_A_WORKER:
            last = self._log_file(number).read_text(errors="replace").strip().splitlines()[-8:]
            raise SearchError(
                f"{self.plan.study}: worker {number} ended with {process.returncode}, started {self.starts[number]} "
                "times. It said:\n  " + "\n  ".join(last)
            )
        self._start(number)

    def stop(self) -> None:
        """Ends all workers; what they were at is queued again."""
        for process in self.running.values():
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + SECONDS_TO_STOP
        for process in self.running.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            clean_up(f"worker {process.pid}", partial(self.study.release, worker_name(process.pid)))
        self.running.clear()

    def kill(self) -> None:
        """Ends all workers at once; heartbeats say what they were at."""
        for process in list(self.running.values()):
            process.kill()

    def _log_file(self, number: int) -> Path:
        return self.plan.folder() / f"worker-{number}.log"


def gpu_of(number: int, gpus: list[str], per_gpu: int) -> str:
    """The GPU of a worker: neighbours share one until it is full, then round again."""
    return gpus[number // per_gpu % len(gpus)]


def visible_gpus() -> list[str]:
    """Ids for CUDA_VISIBLE_DEVICES of the GPUs that this process may use; none without a driver."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip() not in ("", "-1")]
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    result = subprocess.run(
        [tool, "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True, check=False
    )
    return result.stdout.split() if result.returncode == 0 else []


def _teller(plan: StudyPlan, search: SharedStudy, refit: SharedStudy, say: Callable[[str], None]) -> Callable[[], None]:
    last = (0, 0)

    def tell() -> None:
        nonlocal last
        ended = [trial for trial in results(search) if trial.state in ("complete", "pruned")]
        again = [trial.state for trial in results(refit) if trial.state in ("complete", "running", "waiting")]
        now = (len(ended), again.count("complete"))
        if now == last:
            return
        last = now
        best = max((t.value for t in ended if t.state == "complete" and t.value is not None), default=0.0)
        wanted = f" of {plan.search.trials}" if plan.search.trials else ""
        refits = f"; {now[1]} of {len(again)} refits" if again else ""
        say(f"{now[0]}{wanted} trials, best single one on dev {best:.3f}{refits}")

    return tell
