"""Installed versions against our own ranges, the tested set, and the combinations that are known to break."""

import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

from hbaf.doctor.finding import Finding, bad, note, ok

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
INSTALL = "pip install -c constraints.txt hbaf"
# What happens outside of a range, where nothing else says so: `pip check` sees none of it.
CONSEQUENCES = {
    "fastapi": "every Prefect flow and server stops with `unexpected keyword argument 'min_items'`",
    "sqlalchemy": "runs by hand work, but Prefect's scheduler never makes a scheduled one",
    "transformers": "pretrained encoders may give other vectors",
    "opensmile": "functionals may differ from those that models were trained on",
}


def look() -> Iterator[Finding]:
    """Installed versions against the ranges and, in a checkout, the tested set."""
    wanted = {requirement.name.lower(): requirement for requirement in _requirements()}
    wrong = 0
    for name, requirement in wanted.items():
        version = _version(name)
        if version is None:
            yield bad("versions", f"{name} is not installed", f"pip install '{requirement}'")
        elif not requirement.specifier.contains(version, prereleases=True):
            then = f": {CONSEQUENCES[name]}" if name in CONSEQUENCES else ""
            yield bad("versions", f"{name} {version} is outside {requirement.specifier}{then}", f"{INSTALL}")
        else:
            continue
        wrong += 1
    if not wrong:
        yield ok("versions", f"Python {sys.version.split()[0]}; {len(wanted)} direct dependencies inside their ranges")
    yield from _against_the_tested_set(set(wanted))
    if (version := _version("torchaudio")) is not None:
        message = f"torchaudio {version} is installed; 2.11 fails to load, and transformers tries to"
        yield note("versions", message, "pip uninstall torchaudio; hbaf does not use it")


def _against_the_tested_set(direct: set[str]) -> Iterator[Finding]:
    """Only where the checkout is at hand: a wheel carries no constraints."""
    if not CONSTRAINTS.is_file():
        return
    tested = dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", CONSTRAINTS.read_text(), re.MULTILINE))
    others = []
    for name, version in sorted((name.lower(), version) for name, version in tested.items()):
        here = _version(name) if name in direct else None
        # The local part (+cpu, +cu128) names a build of the same version.
        if here is not None and Version(here).public != Version(version).public:
            others.append(f"{name} {here} (tested: {version})")
    if others:
        yield note("tested set", f"other versions than those tested together: {', '.join(others)}", INSTALL)
    else:
        yield ok("tested set", "every direct dependency is the version of constraints.txt")


def _requirements() -> Iterator[Requirement]:
    for line in metadata.requires("hbaf") or []:
        wanted = Requirement(line)
        if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
            yield wanted


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
