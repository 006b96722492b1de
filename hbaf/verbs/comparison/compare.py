"""`hbaf compare`: systems x seeds x corpora x representations on the same batches, selection rule and budget."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from hbaf.verbs.options import AS_IS, RUN_STAGES, CorpusOptions, Representations, SettingError, aloud, changes_of

if TYPE_CHECKING:
    from rich.console import Console

    from hbaf.comparison.bench import Say
    from hbaf.comparison.reported import Report

Sources = Annotated[
    list[str] | None, Parameter(help="Corpora, each as SOURCE of the other commands; results are shown for each.")
]
TABLE_WIDTH = 130


def compare(
    *sources: str,
    corpus: Sources = None,
    systems: str = "all",
    seeds: int = 3,
    recipe: str = "demo",
    audio: Representations = None,
    text: Representations = None,
    extractor: Annotated[
        list[str] | None, Parameter(negative="", help="`./mine.py:MyFeatures`, in place of --audio or --text.")
    ] = None,
    trials: int = 0,
    ensemble: bool = False,
    chain: bool = False,
    selection: Literal["dev", "as-published"] = "dev",
    workers: int | None = None,
    write: Path | None = None,
    options: CorpusOptions = AS_IS,
) -> int:
    """Compares HBAF with other systems over several seeds on the test split.

    Tables show mean and standard deviation over seeds, a confidence interval, and a paired test against HBAF. Epochs
    and settings are chosen on dev alone.

    Every run is kept: the same command continues where it was stopped, and other comparisons reuse its runs.

    Try:

        hbaf compare example --systems all --seeds 3

        hbaf compare ~/calls --systems hbaf,bc-lstm,./mine.py:MyFusion --trials 8

        hbaf compare ~/calls --systems hbaf,hub:SamLowe/roberta-base-go_emotions --labels go_emotions:ekman

        hbaf compare example --systems hbaf,hbaf-audio,hbaf:gate=false,hbaf@paper --audio mfcc --audio egemaps

    Args:
        sources: Corpora, each as SOURCE of the other commands; results are shown for each.
        corpus: The same, as an option.
        systems: Names and groups, comma-separated: `all`, `floors`, `published`, `readings`, `ablations`,
            `decisions`, `contrast`, `modalities`; see docs/comparison.md.
        seeds: Number of runs of each system.
        recipe: Named settings for every system: width, learning rate, batches, features.
        trials: Tuning runs of each system on dev, over learning rate, dropout and width; below 2: no tuning.
        ensemble: Also compare ensembles (the mean of each system's seeds), in a table of their own.
        chain: Also compare all systems with the label chain, in a table of its own; `mmgcn+chain` asks for one system.
        selection: `as-published` adds a column with the epoch chosen on the test split, to show how much that inflates.
        workers: Number of runs at a time; default: one per core.
        write: Also write a page of results to this file, like docs/results.md.
    """
    from hbaf import pipeline
    from hbaf.comparison.systems import parse_systems
    from hbaf.parameters import ComparisonParameters

    asked_corpora = [*sources, *(corpus or ())]
    if not asked_corpora:
        raise SettingError("which corpus? `hbaf compare example`, or a folder.")
    parse_systems(systems)  # a misspelt name is reported before anything is extracted
    changes = changes_of(options.set_, RUN_STAGES)
    audio, text = representations(audio, text, extractor)
    asked = ComparisonParameters(
        systems=systems, seeds=seeds, recipe=recipe, audio=tuple(audio), text=tuple(text), trials=trials,
        ensemble=ensemble, chain=chain, selection=selection, workers=workers,
    )  # fmt: skip
    each = [options.corpus(source, RUN_STAGES) for source in asked_corpora]
    with telling(options.quiet) as say:
        found = pipeline.compare(each, asked, changes, page=write, say=say, progress=options.progress, step=aloud)
    show(found.report)
    return 1 if found.report.failures else 0


@contextmanager
def telling(quiet: bool) -> "Iterator[Say]":
    """A progress bar with a line above it for each run that ends."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("comparing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=wide_console(), transient=True, disable=quiet) as bar:
        task = bar.add_task("comparing", total=None)

        def say(message: str, count: int, of: int) -> None:
            bar.update(task, completed=count, total=of)
            if not quiet:
                bar.console.print(f"[{count}/{of}] {message}", highlight=False, markup=False)

        yield say


def show(report: "Report") -> None:
    """Prints tables, what failed, and where everything lies."""
    from hbaf.comparison.pages.render import LEGEND, by_cell, terminal
    from hbaf.registry.tracking import ui_command

    console = wide_console()
    for name, rows in by_cell(report.rows):
        console.print(terminal(rows, name))
    for _, title, of in report.tables():
        for name, rows in by_cell(of):
            console.print(terminal(rows, f"{name}: {title}"))
    console.print(LEGEND, highlight=False)
    for failure in report.failures:
        console.print(f"failed: {failure}", markup=False)
    print("\n".join(f"wrote {path}" for path in report.files))
    print(f"view: {ui_command()}, experiment hbaf-comparison")


def wide_console() -> "Console":
    """A pipe has 80 columns, in which no table fits."""
    from rich.console import Console

    console = Console()
    console.width = max(console.width, TABLE_WIDTH)
    return console


def representations(
    audio: list[str] | None, text: list[str] | None, extractor: list[str] | None
) -> tuple[list[str], list[str]]:
    """Own extractors join the modality that they say they are of."""
    from hbaf.features.registry import make_extractor

    found = {"audio": list(audio or ()), "text": list(text or ())}
    for name in extractor or ():
        found[make_extractor(name).modality].append(name)
    return found["audio"], found["text"]
