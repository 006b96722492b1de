"""A million utterances of ready features through scheduled scoring: rows a second, peak memory, twice the work.

HBAF_SCALE=1000000 make bench BENCH=twice    # default: 40,000 utterances
make bench BENCH=dask                        # two Dask workers against one, with hbaf[dask]
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.scale_run import CONVERSATIONS, TURNS

SCRIPT = Path(__file__).with_name("scale_run.py")


def run(what: str, folder: Path, *numbers: int) -> str:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), what, str(folder), *map(str, numbers)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.mark.benchmark
@pytest.mark.timeout(7200)
def test_twice_the_utterances_take_twice_the_time_and_no_more_memory(tmp_path: Path) -> None:
    whole = max(int(os.environ.get("HBAF_SCALE", "40000")) // (CONVERSATIONS * TURNS), 2)
    half = whole // 2
    run("train", tmp_path)
    # The store holds what is scored and nothing else, both times.
    told = []
    for first, last in ((0, half), (half, whole)):
        run("store", tmp_path, first, last)
        told.append(json.loads(run("score", tmp_path, last).splitlines()[-1]))
    for one in told:
        print(
            f"\n{one['rows']:,} utterances: {one['seconds']:.0f} s (reading and validation {one['read']:.0f}, "
            f"prediction {one['predict']:.0f}), {one['rows'] / one['seconds']:.0f} a second, peak memory "
            f"{one['peak']:.0f} MB ({one['peak_after_a_tenth']:.0f} after a tenth), "
            f"published {one['bytes'] / 1e6:.0f} MB"
        )
    few, many = told
    print(
        f"{many['rows'] / few['rows']:.2f} times the work: {many['seconds'] / few['seconds']:.2f} times the time, "
        f"{many['peak'] / few['peak']:.2f} times the memory"
    )
    shutil.rmtree(tmp_path / "features")
    if few["rows"] >= 100_000:  # from two full parts of the result on
        assert many["peak"] < 1.1 * few["peak"]


@pytest.mark.benchmark
@pytest.mark.timeout(3600)
def test_two_dask_workers_against_one(tmp_path: Path) -> None:
    pytest.importorskip("prefect_dask", reason="Dask is not installed: pip install 'hbaf[dask]'")
    few, many = 4, 16  # tables; what the difference takes is free of imports and starts
    run("train", tmp_path)
    run("store", tmp_path, 0, many)
    rates = {}
    for workers in (1, 2):
        short, long = (json.loads(run("dask", tmp_path, tables, workers).splitlines()[-1]) for tables in (few, many))
        rates[workers] = (long["rows"] - short["rows"]) / (long["seconds"] - short["seconds"])
    print(
        f"\nDask, {many - few} tables of {CONVERSATIONS * TURNS:,} utterances: one worker {rates[1]:.0f} a second, "
        f"two {rates[2]:.0f}: {rates[2] / rates[1]:.2f} times"
    )
    shutil.rmtree(tmp_path / "features")
