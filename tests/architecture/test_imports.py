"""The rules of the architecture: which way imports go, where a library may be imported, no circles, imports work."""

import ast
import importlib
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("feature_store", "hbaf", "flows", "infra")  # each imports those before it; flows and infra not each other

# The order of hbaf, from the ground up, as in docs/architecture.md: a package imports itself and those before it.
ORDER = (
    "hbaf.stop",
    "hbaf.progress",
    "hbaf.waiting",
    "hbaf.files",
    "hbaf.markdown",
    "hbaf.home",
    "hbaf.settings",
    "hbaf.parameters",
    "hbaf.pseudonyms",
    "hbaf.statistics",
    "hbaf.processes",
    "hbaf.events",
    "hbaf.corpus",
    "hbaf.validation",
    "hbaf.report",
    "hbaf.features",
    "hbaf.transcription",
    "hbaf.model",
    "hbaf.baselines",
    "hbaf.training",
    "hbaf.inference",
    "hbaf.drift",
    "hbaf.registry",
    "hbaf.promotion",
    "hbaf.search",
    "hbaf.scoring",
    "hbaf.serving",
    "hbaf.inbox",
    "hbaf.labelling",
    "hbaf.privacy",
    "hbaf.monitoring",
    "hbaf.comparison",
    "hbaf.doctor",
    "hbaf.pipeline",
    "hbaf.verbs",
    "hbaf.cli",
)
# library -> the only places that may import it
LIVES_IN = {
    "prefect": ("flows", "infra"),
    "mlflow": ("hbaf.registry",),
    "great_expectations": ("hbaf.validation",),
    "standardwebhooks": ("hbaf.events",),
    "lightning": ("hbaf.training", "hbaf.search"),
    "optuna": ("hbaf.search",),
    "opensmile": ("hbaf.features",),
    "faster_whisper": ("hbaf.transcription",),
    "ctranslate2": ("hbaf.transcription",),
    "multiprocessing": ("hbaf.processes",),  # one pool
    "filelock": ("hbaf.waiting",),  # one lock
    "fastapi": ("hbaf.serving",),
    "uvicorn": ("hbaf.serving",),
}
LARGEST_FOLDER = 13  # files at one level, `__init__.py` not counted; flows are listed by Prefect and stay together


@cache
def modules() -> tuple[str, ...]:
    found = (
        str(path.relative_to(ROOT)).removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
    )
    return tuple(sorted(found))


@cache
def imports_of(module: str) -> tuple[str, ...]:
    """Full names of what a module imports, also inside functions and for type checkers alone."""
    path = ROOT / (module.replace(".", "/") + ".py")
    if not path.exists():
        path = ROOT / module.replace(".", "/") / "__init__.py"
    known, found = set(modules()), []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.append(full if full in known else str(node.module))
    # The scripts of infra import each other by bare name: their folder comes first where they run.
    beside = [name if not module.startswith("infra.") else f"infra.{name}" for name in found]
    return tuple(near if near in known else name for near, name in zip(beside, found, strict=True))


def part(module: str) -> str:
    return next((name for name in ORDER if module == name or module.startswith(name + ".")), "")


@pytest.mark.parametrize("module", modules())
def test_imports_go_one_way(module: str) -> None:
    for imported in imports_of(module):
        top, own = imported.split(".")[0], module.split(".")[0]
        if top not in PACKAGES or imported == "hbaf":  # its version; what it offers is imported when it is used
            continue
        assert PACKAGES.index(top) <= PACKAGES.index(own), f"{module} imports {imported}"
        assert {own, top} != {"flows", "infra"}, f"{module} imports {imported}"
        if module == "hbaf":
            assert part(imported) in ("hbaf.parameters", "hbaf.pipeline"), f"hbaf offers {imported}"
        elif own == top == "hbaf" and part(imported) != part(module):
            assert part(module), f"{module}: not in the order"
            assert part(imported), f"{imported}: not in the order"
            assert ORDER.index(part(imported)) < ORDER.index(part(module)), f"{module} imports {imported}"


def test_the_order_is_the_documented_one() -> None:
    """The table of docs/architecture.md names every package, from the ground up."""
    table = (ROOT / "docs" / "architecture.md").read_text()
    named = re.findall(r"`(hbaf/\w+)(?:/|\.py)`", table.partition("## What passes")[0])
    assert [name.replace("/", ".") for name in named] == list(ORDER)


def test_no_folder_is_too_full() -> None:
    counts = Counter(path.parent for path in (ROOT / "hbaf").rglob("*.py") if path.name != "__init__.py")
    assert {str(folder): count for folder, count in counts.items() if count > LARGEST_FOLDER} == {}


@pytest.mark.parametrize("module", modules())
def test_libraries_live_in_their_packages(module: str) -> None:
    for imported in imports_of(module):
        packages = LIVES_IN.get(imported.split(".")[0])
        assert packages is None or module.startswith(packages), (
            f"{module} imports {imported}, which lives in {packages}"
        )


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
    # `import hbaf` alone runs nothing of the pipeline that it offers.
    graph = {module: {name for name in imports_of(module) if name in known - {"hbaf"}} for module in known}
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
def test_every_module_imports(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if module.startswith("infra."):
        monkeypatch.syspath_prepend(str(ROOT / "infra"))
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
