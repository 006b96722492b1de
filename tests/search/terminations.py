"""`python -m tests.search.terminations STUDY STORAGE COUNT SEED`: sends COUNT signals to workers of a study, each at a
random moment of a trial's life, and prints what became of each as a line of JSON.

Workers are forked from a process that has imported everything: a moment is drawn from the life of trials, not from
the seconds of an import.
"""

import json
import os
import random
import signal
import sqlite3
import sys
import time
from typing import Any

import hbaf.search.worker as worker

IN_TIME = 60.0  # seconds; PATIENCE and AT_LAST with room for a loaded machine


def main(study: str, storage: str, count: str, seed: str) -> None:
    draw = random.Random(int(seed))
    life = reading = 0.0
    for attempt in range(int(count)):
        # Reading of the data, training, the end and the next beginning; the first one measures how long that takes.
        # Every other signal counts from the first trial, which a machine under load may reach later than it did once.
        at_work = attempt % 2 == 1
        lowest, highest = (0.0, 1.3 * (life - reading)) if at_work else (0.3 * life, 1.3 * life)
        found = one(study, storage, draw.uniform(lowest, highest) if attempt else None, at_work=at_work)
        if attempt == 0:
            life, reading = found["lived"], found["reading"]
        print(json.dumps({"attempt": attempt, **found}), flush=True)


def one(study: str, storage: str, delay: float | None, *, at_work: bool) -> dict[str, Any]:
    """A worker from its start to its end by a signal.

    Args:
        delay: seconds after its start, or, `at_work`, after its first trial began; None: after two trials.
    """
    before = trials(storage)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            worker.main([study, "0"])
            code = 0
        except SystemExit as error:
            code = int(error.code or 0)
        finally:
            os._exit(code)
    began = time.monotonic()
    reading = 0.0
    if delay is None or at_work:
        while "RUNNING" not in trials(storage):
            time.sleep(0.005)
            assert os.waitpid(child, os.WNOHANG) == (0, 0), "the worker ended by itself"
        reading = time.monotonic() - began
    if delay is None:
        while len([state for state in trials(storage) if state == "COMPLETE"]) < 2:
            time.sleep(0.05)
            assert os.waitpid(child, os.WNOHANG) == (0, 0), "the worker ended by itself"
    else:
        time.sleep(delay)
    lived = time.monotonic() - began
    os.kill(child, signal.SIGTERM)
    sent = time.monotonic()
    ended = (0, 0)
    while ended == (0, 0) and time.monotonic() - sent < IN_TIME:
        time.sleep(0.005)
        ended = os.waitpid(child, os.WNOHANG)
    if ended == (0, 0):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    after = trials(storage)
    return {
        "lived": round(lived, 4),
        "reading": round(reading, 4),
        "took": round(time.monotonic() - sent, 3),
        "code": os.waitstatus_to_exitcode(ended[1]) if ended != (0, 0) else None,
        "running": after.count("RUNNING"),
        "waiting": after.count("WAITING"),
        "began": len(after) - len(before),
    }


def trials(storage: str) -> list[str]:
    """States of all trials; by a connection of its own, since none may live through a fork."""
    with sqlite3.connect(storage.removeprefix("sqlite:///"), timeout=60) as connection:
        states = [row[0] for row in connection.execute("SELECT state FROM trials ORDER BY trial_id")]
    connection.close()
    return states


if __name__ == "__main__":
    main(*sys.argv[1:])
