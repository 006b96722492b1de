"""The benchmark for a GPU goes through all its steps, in tiny, on the CPU."""

import json
from pathlib import Path

import pytest

from tests.benchmarks.gpu import main


@pytest.mark.slow
def test_all_figures_are_written(tmp_path: Path) -> None:
    output = tmp_path / "gpu.json"
    assert main(["--device", "cpu", "--tiny", "--output", str(output)]) == 0
    found = json.loads(output.read_text())
    rows = {f"{corpus} {how}" for corpus in ("MELD", "IEMOCAP") for how in ("fp32", "bf16", "bf16 compiled")}
    assert found["training"].keys() == rows
    assert all(0 < row["share_of_peak"] < 1.5 and row["seconds_an_epoch"] > 0 for row in found["training"].values())
    assert found["trials"].keys() == {"1 workers", "2 workers"}
    assert found["encoder"]["texts_per_second"] > 0
