"""The paper's whole set as comparisons: Figure 6 (systems; representations x ACN), Table 2, the contrastive terms."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hbaf.comparison.bench import Say, cells_of, silent
from hbaf.comparison.pages.implied import AUDIO_ALONE
from hbaf.comparison.pages.page import write_pages
from hbaf.comparison.report import run_comparison
from hbaf.comparison.reported import Report
from hbaf.comparison.systems import parse_systems
from hbaf.corpus.schema import CorpusReference
from hbaf.features.audio import window_networks
from hbaf.features.imported.facts import facts_file, is_imported
from hbaf.parameters import ComparisonParameters


@dataclass(frozen=True)
class Part:
    """One of the paper's figures or tables.

    Attributes:
        asked: runs that two parts share are made once.
        skipped: what of it cannot be done here, and what would be needed.
    """

    title: str
    asked: ComparisonParameters
    skipped: tuple[str, ...] = ()


def paper_set(
    *, seeds: int, recipe: str, audio: str, text: str, representations: Sequence[str], trials: int, workers: int | None
) -> tuple[Part, ...]:
    """The comparisons that the paper's claims rest on.

    Args:
        audio, text: what the systems are compared on; the paper's are compare2016 and roberta-large.
        representations: of audio, for Figure 6's left half.
    """

    def asked(systems: str, audio: Sequence[str], trials: int = 0) -> ComparisonParameters:
        return ComparisonParameters(
            systems=systems, seeds=seeds, recipe=recipe, audio=tuple(audio), text=(text,), trials=trials,
            workers=workers, reason="hbaf reproduce",
        )  # fmt: skip

    there = [name for name in representations if not what_lacks(name)]
    skipped = tuple(what_lacks(name) for name in representations if what_lacks(name))
    parts = [
        Part("Figure 6, the compared systems", asked("all", [audio], trials)),
        Part("Table 2, ablations", asked("hbaf,hbaf-audio,hbaf-text,ablations", [audio])),
        Part("The contrastive terms", asked("hbaf,hbaf-no-contrastive,contrast", [audio])),
        Part("The readings of what the paper leaves open", asked("decisions", [audio])),
    ]
    if there:
        systems = "hbaf,hbaf-no-acn,hbaf-audio,hbaf-audio-no-acn"
        parts.append(Part("Figure 6, representations with and without ACN", asked(systems, there), skipped))
    return tuple(parts)


def what_lacks(name: str) -> str:
    """What to do where features that nobody imported are named, or weights that nobody converted; "" else."""
    if name in window_networks.NETWORKS:
        return window_networks.what_lacks(name)
    if not is_imported(name) or facts_file(name.partition(":")[2].partition("/")[0]).exists():
        return ""
    return f"{name} is not computed here: `hbaf import FILE --like ... --for SOURCE` brings it."


def representations_of_the_paper() -> tuple[str, ...]:
    """Names of the audio representations of the paper's Figure 6."""
    return tuple(AUDIO_ALONE)


def count_runs(part: Part) -> int:
    """Runs of a part, tuning trials included."""
    entrants = parse_systems(part.asked.systems)
    trials = part.asked.trials if part.asked.trials > 1 else 0
    return len(part.asked.audio) * sum((entrant.seeds or part.asked.seeds) + trials for entrant in entrants)


def reproduce(
    reference: CorpusReference,
    parts: Sequence[Part],
    changes: dict[str, dict[str, Any]],
    *,
    page: Path | None = None,
    say: Say = silent,
    progress: bool = False,
) -> list[tuple[Part, Report]]:
    """Runs every part, each with tables and an MLflow parent of its own; the page holds all."""
    reports = []
    for part in parts:
        cells = cells_of([reference], part.asked, changes, progress=progress)
        reports.append((part, run_comparison(cells, part.asked, changes, say=say)))
    if page is not None:
        write_pages([(part.title, report) for part, report in reports], page)
    return reports
