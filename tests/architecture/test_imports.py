"""The rules of the house: which way imports go, which library lives in which room, no circles, everything imports."""

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("feature_store", "hbaf", "flows")

# A module may import modules of its own rank's room and of lower ranks.
RANKS = {
    "hbaf.home": 0,
    "hbaf.parameters": 0,
    "hbaf.own_class": 0,
    "hbaf.pseudonyms": 0,
    "hbaf.corpus": 1,
    "hbaf.validation": 2,
    "hbaf.features": 2,
    "hbaf.model": 3,
    "hbaf.baselines": 3.5,  # reads the batch contract in hbaf.model
    "hbaf.training": 4,
    "hbaf.inference": 5,
    "hbaf.monitoring": 5.5,  # a model that is being registered takes its reference along
    "hbaf.registry": 6,
    "hbaf.scoring": 7,
    "hbaf.comparison": 7,
    "hbaf.doctor": 8,
    "hbaf.verbs": 9,
    "hbaf.cli": 10,
}
# library -> the only places that may import it
LIVES_IN = {
    "prefect": ("flows",),
    "mlflow": ("hbaf.registry",),
    "great_expectations": ("hbaf.validation",),
    "lightning": ("hbaf.training",),
    "optuna": ("hbaf.search.study",),
    "opensmile": ("hbaf.features",),
}


def modules() -> list[str]:
    return sorted(
        str(path.relative_to(ROOT)).removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
    )


def imports_of(module: str) -> Iterator[str]:
    """Full names of what a module imports, also inside functions; what only type checkers read does not count."""
    path = ROOT / (module.replace(".", "/") + ".py")
    if not path.exists():
        path = ROOT / module.replace(".", "/") / "__init__.py"
    tree = ast.parse(path.read_text())
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            known = set(modules())
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in known else str(node.module)


def room(module: str) -> str:
    return next((name for name in RANKS if module == name or module.startswith(name + ".")), "")


@pytest.mark.parametrize("module", modules())
def test_imports_go_one_way(module: str) -> None:
    for imported in imports_of(module):
        top = imported.split(".")[0]
        if top not in PACKAGES or imported == "hbaf":  # the package itself holds a version and nothing else
            continue
        assert PACKAGES.index(top) <= PACKAGES.index(module.split(".")[0]), f"{module} imports {imported}"
        if module.startswith("hbaf.") and top == "hbaf" and room(imported) != room(module):
            assert room(module), f"{module}: a room without a rank"
            assert room(imported), f"{imported}: a room without a rank"
            lower = RANKS[room(imported)] < RANKS[room(module)] or RANKS[room(module)] == 0
            assert lower, f"{module} imports {imported}"


@pytest.mark.parametrize("module", modules())
def test_libraries_live_in_their_rooms(module: str) -> None:
    for imported in imports_of(module):
        rooms = LIVES_IN.get(imported.split(".")[0])
        assert rooms is None or module.startswith(rooms), f"{module} imports {imported}, which lives in {rooms}"


def test_the_paper_needs_torch_alone() -> None:
    allowed = {"torch", "hbaf", *sys.stdlib_module_names}
    for module in modules():
        if module.startswith(("hbaf.model", "hbaf.baselines")):
            outside = {name.split(".")[0] for name in imports_of(module)} - allowed
            assert not outside, f"{module} imports {outside}"


def test_the_store_needs_numpy_pyarrow_and_fsspec_alone() -> None:
    allowed = {"numpy", "pyarrow", "fsspec", "feature_store", *sys.stdlib_module_names}
    for module in modules():
        if module.startswith("feature_store"):
            outside = {name.split(".")[0] for name in imports_of(module)} - allowed
            assert not outside, f"{module} imports {outside}"


def test_no_circles() -> None:
    known = set(modules())
    graph = {module: {name for name in imports_of(module) if name in known} for module in known}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, f"circle: {' -> '.join([*path[path.index(module) :], module])}"
        if module not in done:
            for name in graph[module]:
                visit(name, (*path, module))
            done.add(module)

    for module in known:
        visit(module, ())


# `hbaf.registry.pyfunc` is a script for MLflow: it registers a model when it is run.
@pytest.mark.parametrize("module", [name for name in modules() if name != "hbaf.registry.pyfunc"])
def test_every_module_imports(module: str) -> None:
    importlib.import_module(module)


def test_the_test_split_has_one_reader() -> None:
    readers = set()
    for module in modules():
        path = ROOT / (module.replace(".", "/") + ".py")
        calls = ast.walk(ast.parse(path.read_text())) if path.exists() else ()
        for node in calls:
            if not (isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("in_split", "load_split"))):
                continue
            if any(isinstance(value, ast.Constant) and value.value == "test" for value in node.args):
                readers.add(module)
    assert readers == {"hbaf.training.evaluate"}


def test_help_imports_nothing_heavy() -> None:
    """`hbaf --help` must answer in under half a second: what costs is imports."""
    code = (
        "import sys, hbaf.cli\n"
        "try: hbaf.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'pandas', 'mlflow', 'prefect', 'sklearn', 'transformers', 'great_expectations', 'pyarrow'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
