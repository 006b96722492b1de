"""Files are replaced, renamed and appended to in one place: what does it elsewhere is not synced, or torn by a kill."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# hbaf/files.py, the feature store's own below it, and what puts a log of the last start aside.
HERE = {"hbaf/files.py", "feature_store/files.py", "infra/processes.py"}
FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for package in ("feature_store", "hbaf", "flows", "infra")
    for path in (ROOT / package).rglob("*.py")
)
# A table's columns are renamed by keyword, rows of a database replaced by an object of ours.
RENAMES_COLUMNS = {"columns", "index"}
NOT_A_PATH = {"postgres"}


def writes(source: str) -> list[str]:
    """Calls that replace, rename, move or append to files."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called, given = node.func, node.args
        words = {word.arg for word in node.keywords}
        name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        owner = ast.unparse(called.value).split(".")[-1] if isinstance(called, ast.Attribute) else ""
        moves = name == "rename" and not words & RENAMES_COLUMNS
        moves |= name == "replace" and (owner == "os" or (len(given) == 1 and not words and owner not in NOT_A_PATH))
        moves |= name == "move" and owner == "shutil"
        modes = [word.value for word in node.keywords if word.arg == "mode"] + given[:2]
        appends = name == "open" and any(
            isinstance(mode, ast.Constant) and isinstance(mode.value, str) and mode.value.rstrip("bt+") == "a"
            for mode in modes
        )
        appends |= name == "open" and "O_APPEND" in ast.unparse(node)
        if moves or appends:
            found.append(f"line {node.lineno}: {ast.unparse(node)}")
    return found


@pytest.mark.parametrize("line", [
    "os.replace(a, b)", "beside.replace(path)", "a.rename(b)", "os.rename(a, b)", "shutil.move(a, b)", "p.open('a')",
    "open(p, 'ab')", "open(p, mode='a+')", "os.open(p, os.O_WRONLY | os.O_APPEND)",
])  # fmt: skip
def test_each_way_is_seen(line: str):
    assert writes(line)


@pytest.mark.parametrize("line", [
    "text.replace('a', 'b')", "replace(facts, seed=1)", "frame.rename(columns={})", "p.open('rb')", "p.read_text()",
])  # fmt: skip
def test_nothing_else_is(line: str):
    assert not writes(line)


def test_nobody_else_replaces_renames_or_appends():
    found = {file: calls for file in FILES if file not in HERE and (calls := writes((ROOT / file).read_text()))}
    assert found == {}, "use write_atomically, published, published_folder or append_line of hbaf/files.py"
