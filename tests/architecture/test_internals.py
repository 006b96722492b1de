"""What libraries do not document is used in one file per library, which names the version that it was seen in."""

import ast
import importlib
import re
from pathlib import Path

import pytest

from tests.architecture.test_imports import PACKAGES, ROOT

# The file of each library; Prefect's holds no name with an underscore, but replaces a method.
DOORS = {
    "mlflow": "hbaf/registry/mlflow_internals.py",
    "optuna": "hbaf/search/optuna_internals.py",
    "prefect": "flows/prefect_plugin.py",
    "transformers": "hbaf/features/transformers_internals.py",
}
DOCUMENTED = {"_replace", "_asdict", "_fields", "_exit"}  # of named tuples and of os
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def private_uses(source: str) -> list[str]:
    """Names with one leading underscore that are reached through something else than `self`, `cls` or an own import."""
    tree = ast.parse(source)
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    own |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _of_self(node)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _is_private(node.attr) and not _of_self(node) and node.attr not in own:
            found.append(node.attr)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "setattr", "hasattr"):
            named = node.args[1] if len(node.args) > 1 else None
            if isinstance(named, ast.Constant) and _is_private(str(named.value)):
                found.append(str(named.value))
        elif isinstance(node, ast.ImportFrom) and not str(node.module).startswith(PACKAGES):
            parts = [*str(node.module).split("."), *(alias.name for alias in node.names)]
            found += [part for part in parts if _is_private(part)]
    return found


def _of_self(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in DOCUMENTED


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nobody_else_reaches_into_a_library(path: Path) -> None:
    if str(path.relative_to(ROOT)) not in DOORS.values():
        assert private_uses(path.read_text()) == []


def test_what_the_check_finds() -> None:
    assert private_uses("client._tracking_client.store") == ["_tracking_client"]
    assert sorted(private_uses("getattr(trial, '_trial_id')\nfrom optuna.storages._rdb import models")) == [
        "_rdb",
        "_trial_id",
    ]
    assert private_uses("self._own = other._own\npoint._replace(x=1)\nos._exit(1)\ntype(x).__name__") == []


@pytest.mark.parametrize("library", DOORS)
def test_the_version_is_the_tested_one(library: str) -> None:
    """A new pin asks somebody to look at these names again."""
    module = importlib.import_module(DOORS[library].removesuffix(".py").replace("/", "."))
    pinned = re.search(rf"^{library}==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    assert pinned[1] == module.SEEN_IN


def test_the_names_are_there() -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from optuna.storages import RDBStorage
    from prefect.client.orchestration import PrefectClient
    from transformers import AutoModel

    from hbaf.search.optuna_internals import WRITES_AND_READS

    assert callable(SqlAlchemyStore._hard_delete_run)
    assert all(callable(getattr(RDBStorage, name)) for name in (*WRITES_AND_READS, "_get_stale_trial_ids"))
    assert callable(PrefectClient.read_deployment_by_name)
    assert AutoModel._model_mapping is not None
