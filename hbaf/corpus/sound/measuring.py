"""Recordings are measured in processes of their own: one that crashes, hangs or fills the memory costs itself alone."""

import atexit
import json
import os
import queue
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from hbaf.corpus.sound.measure import Segment
from hbaf.parameters import LimitParameters
from hbaf.processes import THREADS, WorkerError

MEASURE = "hbaf.corpus.sound.measure"
Facts = list[dict[str, Any]]  # of each segment of a recording, in their order


@dataclass(frozen=True)
class Recording:
    """A file and the segments of it that are wanted."""

    path: Path
    segments: tuple[Segment, ...]


def measure_in_processes(
    recordings: Sequence[Recording], workers: int, limits: LimitParameters
) -> Iterator[tuple[Recording, Facts | str]]:
    """The facts of each recording (`hbaf.corpus.sound.measure.measure`) as they come, or why it was given up.

    Raises:
        WorkerError: the processes could not start.
    """
    workers = min(workers, len(recordings))
    if not recordings:
        return
    decoders: queue.SimpleQueue[Decoder] = queue.SimpleQueue()
    for _ in range(workers):
        decoders.put(_idle.pop() if _idle else Decoder())

    def measure(recording: Recording) -> Facts | str:
        decoder = decoders.get()
        try:
            return decoder.measure(recording, limits)
        finally:
            decoders.put(decoder)

    with ThreadPoolExecutor(workers, "decoder") as threads:
        try:
            under_way = {threads.submit(measure, recording): recording for recording in recordings}
            for done in as_completed(under_way):
                yield under_way.pop(done), done.result()
        finally:
            threads.shutdown(cancel_futures=True)
            while not decoders.empty():
                _idle.append(decoders.get())


class Decoder:
    """A process that measures recordings, one at a time; it is begun anew after one that ended it."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None
        self.memory = 0

    def measure(self, recording: Recording, limits: LimitParameters) -> Facts | str:
        """The facts of each segment, or in one sentence why the recording was given up: too slow, or its process died.

        Raises:
            WorkerError: the process could not start.
        """
        answer, question = self._start(limits.sound_memory)
        question.write(json.dumps([str(recording.path), recording.segments]) + "\n")
        question.flush()
        seconds = limits.sound_seconds * len(recording.segments)
        in_time, _, _ = select.select([answer], [], [], seconds)
        if in_time and (line := answer.readline()):
            return json.loads(line)
        self.close()
        if in_time:
            return (
                f"crashes its decoder, or needs more than {limits.sound_memory >> 20} MiB of memory. Convert it to WAV "
                f"or FLAC, or allow more (`--set corpus.limits.sound_memory={2 * limits.sound_memory}`)."
            )
        return (
            f"takes more than {seconds:g} s to decode. Convert it to WAV or FLAC, or allow more "
            f"(`--set corpus.limits.sound_seconds={2 * limits.sound_seconds:g}`)."
        )

    def close(self) -> None:
        """Kills the process, where there is one; the next `measure` starts another."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    def _start(self, memory: int) -> tuple[IO[str], IO[str]]:
        """Its output and its input."""
        if memory != self.memory:
            self.close()
        if self.process is None:
            self.memory = memory
            paths = os.pathsep.join(filter(None, sys.path))
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", MEASURE, str(memory)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="ascii",
                env={**os.environ, **dict.fromkeys(THREADS, "1"), "PYTHONPATH": paths},
            )  # fmt: skip
            assert self.process.stdout is not None
            if not self.process.stdout.readline():
                self.close()
                raise WorkerError(
                    "the process that measures recordings could not start. To see why: "
                    f"{sys.executable} -m {MEASURE} {memory}"
                )
        assert self.process.stdout is not None
        assert self.process.stdin is not None
        return self.process.stdout, self.process.stdin


_idle: list[Decoder] = []  # of earlier calls: starting one takes half a second


@atexit.register
def _close() -> None:
    for decoder in _idle:
        decoder.close()
