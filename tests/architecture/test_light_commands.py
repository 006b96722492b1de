"""Commands that only look something up start without the libraries that compute: torch alone costs seconds."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "lightning", "transformers", "opensmile", "great_expectations", "sklearn", "prefect", "optuna")


@pytest.mark.parametrize(
    "module",
    [
        "hbaf.monitoring.status",
        "hbaf.privacy.why",
        "hbaf.inbox.entries",
        "hbaf.promotion.aliases",
        "hbaf.cli",
        "hbaf.labelling.importing",
        "hbaf.labelling.tasks",
        "hbaf.serving.review",
    ],
)
def test_it_imports_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*(name for name in {HEAVY} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    "module",
    [
        "hbaf.monitoring.status",
        "hbaf.privacy.why",
        "hbaf.inbox.entries",
        "hbaf.scoring.score",
        "hbaf.privacy.retention",
    ],
)
def test_mlflow_is_imported_by_what_speaks_with_it(module: str) -> None:
    code = f"import sys, {module}; print('mlflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
