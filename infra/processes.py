"""Processes that outlive the command which started them: started apart, found again by their start time, stopped whole.

Every process of the stack carries a mark in its environment. A worker's flow runs are groups of their own, and after a
crash they belong to nobody, so a process tree would miss them; the mark does not.
"""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

MARK = "HBAF_STACK"  # environment variable; its value is the stack's folder
PATIENCE = 15  # seconds between the request to stop and the kill


class StackError(RuntimeError):
    """The stack cannot be started or stopped; the message says what to do."""


@dataclass(frozen=True)
class Service:
    """A process by number and start time: numbers are used again after a crash or a reboot."""

    name: str
    pid: int
    started: float  # seconds since 1970
    log: str

    def process(self) -> psutil.Process | None:
        """The process, or None if it has ended."""
        try:
            found = psutil.Process(self.pid)
            same = abs(found.create_time() - self.started) < 2 and found.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        return found if same else None

    def as_json(self) -> dict[str, object]:
        """The record that is kept in the state file."""
        return asdict(self)


def start(name: str, command: Sequence[str | Path], folder: Path, environment: Mapping[str, str]) -> Service:
    """Starts a marked process in a session of its own, so that Ctrl-C in this terminal does not reach it.

    Its output goes to `<folder>/<name>.log`, which is begun anew; the one before is kept as `<name>.old.log`.
    """
    log = folder / f"{name}.log"
    if log.exists():
        log.replace(folder / f"{name}.old.log")
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=folder,
            env={**environment, MARK: str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    return Service(name, process.pid, psutil.Process(process.pid).create_time(), str(log))


def wait_until(ready: Callable[[], bool], service: Service, seconds: float) -> None:
    """Waits for a service to answer.

    Raises:
        StackError: it ended, or did not answer in time; the message holds the end of its log.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if ready():
            return
        if service.process() is None:
            raise StackError(f"{service.name} ended while starting; the end of {service.log}:\n{tail(service.log)}")
        time.sleep(0.3)
    raise StackError(
        f"{service.name} did not answer in {seconds:.0f} s; the end of {service.log}:\n{tail(service.log)}"
    )


def stop(service: Service, sign: signal.Signals = signal.SIGTERM) -> bool:
    """Asks a service's whole group to end and kills what is left; False if it had ended already."""
    process = service.process()
    if process is None:
        return False
    try:
        os.killpg(process.pid, sign)
    except (ProcessLookupError, PermissionError):
        process.send_signal(sign)
    _, alive = psutil.wait_procs([process], timeout=PATIENCE)
    for left in alive:
        left.kill()
    psutil.wait_procs(alive, timeout=5)
    return True


def end(found: Sequence[psutil.Process], patience: int = PATIENCE) -> None:
    """Asks processes to end and kills those that do not."""
    for sign, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 5)):
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(sign)
        _, found = psutil.wait_procs(found, timeout=seconds)


def marked(folder: Path, argument: str = "") -> list[psutil.Process]:
    """Running processes with this stack's mark; those of other users cannot be read and are not ours.

    Args:
        argument: only those that were started with it.
    """
    found = []
    for process in psutil.process_iter():
        try:
            ours = process.environ().get(MARK) == str(folder) and process.status() != psutil.STATUS_ZOMBIE
            if ours and (not argument or argument in process.cmdline()):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return [process for process in found if process.pid != os.getpid()]


def tail(log: str, lines: int = 15) -> str:
    """The last lines of a log."""
    try:
        return "\n".join(Path(log).read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return "(no log)"


def choose_port(asked: str | None, usual: int, variable: str) -> int:
    """The port asked for, the usual one, or a free one if that is taken.

    Raises:
        StackError: the one asked for is taken or is no port.
    """
    if asked:
        if not asked.isdigit() or not 0 < int(asked) < 65536:
            raise StackError(f"{variable}={asked} is no port; give a number from 1 to 65535.")
        if not _is_free(int(asked)):
            raise StackError(f"{variable}={asked}: something else listens on 127.0.0.1:{asked}. Name another port.")
        return int(asked)
    if _is_free(usual):
        return usual
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
