"""The wheel alone, in an environment without the checkout: what it holds and that its command starts."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("hbaf", "feature_store", "flows")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, because setuptools leaves a build folder beside pyproject.toml."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source")
    build = (
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        folder,
    )
    subprocess.run([*build, folder / "source"], check=True)
    return next(folder.glob("*.whl"))


@pytest.mark.slow
def test_every_file_of_the_packages_is_in_the_wheel(wheel: Path) -> None:
    present = set(zipfile.ZipFile(wheel).namelist())
    files = (path for name in PACKAGES for path in (ROOT / name).rglob("*") if path.is_file())
    expected = {path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts}
    assert expected - present == set()
    assert "hbaf/py.typed" in present


@pytest.mark.slow
def test_the_installed_command_starts_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    # Without the checkout on the path, where pip would take it for an installed hbaf.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["HBAF_HOME"] = str(tmp_path / "home")

    def output_of(*command: str | Path) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    output_of(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv")
    bin_folder = tmp_path / "venv" / "bin"
    pip = (sys.executable, "-m", "pip", "--python", bin_folder / "python")
    output_of(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel)
    site = Path(
        output_of(bin_folder / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    )
    # The dependencies are those of this environment; the wheel stands before them on the path.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    origin = output_of(bin_folder / "python", "-c", "import hbaf; print(hbaf.__file__)")
    assert Path(origin.strip()).is_relative_to(site)
    assert "train" in output_of(bin_folder / "hbaf", "--help")
