"""Compose file, image, units and Slurm script, as far as they can be checked without an engine."""

import re
import shutil
import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
COMPOSE: dict[str, Any] = yaml.safe_load((INFRA / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]


def test_every_part_of_the_stack_is_a_service() -> None:
    assert {"postgres", "s3", "prefect", "mlflow", "worker", "worker-gpu", "deploy"} <= set(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_waits_for_services_that_exist_and_can_answer(name: str) -> None:
    for other, wanted in SERVICES[name].get("depends_on", {}).items():
        assert other in SERVICES
        assert wanted["condition"] != "service_healthy" or "healthcheck" in SERVICES[other]


def test_volumes_and_mounted_files_exist() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (INFRA / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]


def test_ports_are_open_on_loopback_alone() -> None:
    assert all(port.startswith("127.0.0.1:") for service in SERVICES.values() for port in service.get("ports", []))


def test_no_password_is_written_down_and_the_example_names_each() -> None:
    text = (INFRA / "compose.yaml").read_text()
    example = (INFRA / "compose.env.example").read_text()
    wanted = set(re.findall(r"\$\{(\w+)", text))
    assert wanted == {line.partition("=")[0] for line in example.splitlines() if line and not line.startswith("#")}
    assert not re.search(r"PASSWORD=\S", example)


@pytest.mark.parametrize("file", ["infra/.env", ".env", "infra/prod.env", "prefect.toml"])
def test_a_file_of_passwords_enters_neither_git_nor_the_image(file: str) -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert not enters_the_image(file, rules)
    if shutil.which("git") and (ROOT / ".git").exists():
        ignored = subprocess.run(["git", "-C", str(ROOT), "check-ignore", "-q", file], check=False)
        assert ignored.returncode == 0, f"{file} is not ignored by git"


def test_what_the_image_is_made_of_enters_it() -> None:
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    for file in ("infra/stack.py", "hbaf/cli.py", "infra/compose.env.example", "constraints.txt"):
        assert enters_the_image(file, rules), file


def enters_the_image(file: str, rules: list[str]) -> bool:
    """As an engine reads .dockerignore: the last rule that fits a file or a folder above it decides."""
    above = [file, *(path.as_posix() for path in Path(file).parents if path.name)]
    enters = True
    for rule in rules:
        pattern = rule.removeprefix("!")
        anywhere = pattern.removeprefix("**/")
        fits = any(
            fnmatch(path, pattern) if anywhere == pattern else fnmatch(Path(path).name, anywhere) for path in above
        )
        enters = rule.startswith("!") if fits else enters
    return enters


def test_the_image_installs_the_tested_versions_and_extras_that_exist() -> None:
    text = (INFRA / "images" / "Dockerfile").read_text()
    assert all("--constraint constraints.txt" in line for line in re.findall(r"pip install .*", text))
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(re.search(r'"\.\[(.*)\]"', text).group(1).split(",")) <= set(extras)  # type: ignore[union-attr]
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {name.rstrip("/") for line in re.findall(r"^COPY (.*) \S+$", text, re.M) for name in line.split()}
    assert copied <= kept


def test_every_extra_is_among_the_tested_versions() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {_plain(name): version for name, _, version in (line.partition("==") for line in lines)}
    for extra, wanted in project["optional-dependencies"].items():
        for requirement in map(Requirement, wanted):
            if requirement.name != "hbaf":
                assert requirement.specifier.contains(pinned[_plain(requirement.name)]), f"{extra}: {requirement}"


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_pools_of_the_workers_are_pools_of_the_deployments() -> None:
    pools = yaml.safe_load((ROOT / "prefect.yaml").read_text())["definitions"]["pools"]
    commands = [SERVICES[name]["command"] for name in ("worker", "worker-gpu")]
    assert {command[command.index("--pool") + 1] for command in commands} == set(pools)


@pytest.mark.parametrize("unit", sorted((INFRA / "systemd").glob("*.service")), ids=lambda path: path.stem)
def test_units_are_understood(unit: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed here")
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if "hbaf" in line and "is not executable" not in line]
    assert not said


def test_the_slurm_script_says_what_is_missing(tmp_path: Path) -> None:
    """Run with a stand-in for `hbaf` that prints what it is called with."""
    script = INFRA / "slurm" / "search-workers.sbatch"
    (tmp_path / "hbaf").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "hbaf").chmod(0o755)
    environment = {
        "PATH": "/usr/bin:/bin",
        "HBAF_BIN": str(tmp_path),
        "SLURM_ARRAY_TASK_ID": "3",
        "HBAF_HOME": "/shared",
    }
    run = lambda **more: subprocess.run(  # noqa: E731  # one shape of call, twice
        ["bash", script, "nightly"], env={**environment, **more}, capture_output=True, text=True, check=False
    )
    assert "HBAF_SEARCH_STORAGE" in run().stderr
    whole = run(HBAF_SEARCH_STORAGE="postgresql+psycopg2://me@db/hbaf", MLFLOW_TRACKING_URI="http://mlflow:5000")
    assert whole.stdout.split() == ["search-worker", "nightly", "--number", "3"]
