"""`hbaf compare`: systems x seeds x corpora x representations on the same batches, selection rule and budget."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from hbaf.verbs.options import RUN_STAGES, Channels, Manifest, Quiet, Reader, Set, SettingError, changes_of, prepare

if TYPE_CHECKING:
    pass

Sources = Annotated[list[str] | None, Parameter(help="As SOURCE of every verb; several are compared one by one.")]
TABLE_WIDTH = 130
Many = Annotated[list[str] | None, Parameter(negative="", help="Representation; give it again for another.")]


def compare(
    *sources: str,
    corpus: Sources = None,
    systems: str = "all",
    seeds: int = 3,
    recipe: str = "demo",
    audio: Many = None,
    text: Many = None,
    extractor: Annotated[
        list[str] | None, Parameter(negative="", help="`./mine.py:MyFeatures`, in place of --audio or --text.")
    ] = None,
    trials: int = 0,
    ensemble: bool = False,
    selection: Literal["dev", "as-published"] = "dev",
    workers: int | None = None,
    set_: Set = None,
    manifest: Manifest = None,
    reader: Reader = None,
    channels: Channels = None,
    write: Path | None = None,
    quiet: Quiet = False,
) -> int:
    """Compares systems over seeds: mean, deviation, interval and a paired test against HBAF. Chosen on dev alone.

    Every run is kept: the same command goes on where it was stopped, and another one takes what is there.

    Try:

        hbaf compare example --systems all --seeds 3

        hbaf compare ~/calls --systems hbaf,bc-lstm,./mine.py:MyFusion --trials 8

        hbaf compare example --systems hbaf,hbaf-audio,hbaf:gate=false,hbaf@paper --audio mfcc --audio egemaps

    Args:
        sources: Corpora.
        corpus: The same as an option.
        systems: Names and groups with commas between: `all`, `floors`, `published`, `readings`, `ablations`,
            `decisions`, `contrast`, `modalities`; see docs/comparison.md.
        seeds: Runs of each system.
        recipe: Values to start from, for every system: width, learning rate, batches, features.
        trials: Tuning runs on dev of each system, over learning rate, dropout and width; below 2 there is none.
        ensemble: Also compare the mean of each system's seeds, in a table of its own.
        selection: `as-published` adds a column with the epoch chosen by the test split, as a warning.
        workers: Runs at a time; default: one per core.
        write: Also write a page of results here, as docs/results.md is.
    """
    from rich.console import Console

    from hbaf.comparison.bench import cells_of
    from hbaf.comparison.bench import compare as run
    from hbaf.comparison.render import LEGEND, cells, terminal
    from hbaf.comparison.report import write_report
    from hbaf.comparison.systems import parse_systems
    from hbaf.comparison.table import ensembles_of, rows_of
    from hbaf.parameters import ComparisonParameters

    asked_corpora = [*sources, *(corpus or ())]
    if not asked_corpora:
        raise SettingError("which corpus? `hbaf compare example`, or a folder.")
    changes = changes_of(set_, RUN_STAGES)
    audio, text = representations(audio, text, extractor)
    asked = ComparisonParameters(
        systems=systems, seeds=seeds, recipe=recipe, audio=tuple(audio), text=tuple(text), trials=trials,
        ensemble=ensemble, selection=selection, workers=workers,
    )  # fmt: skip
    parse_systems(systems)  # a misspelt name is told before anything is extracted
    references = [
        prepare(source, manifest, quiet, reader=reader, channels=channels, set_=set_, stages=RUN_STAGES)
        for source in asked_corpora
    ]
    console = Console()
    console.width = max(console.width, TABLE_WIDTH)  # a pipe has 80 columns, in which no table fits
    say = (lambda said: None) if quiet else (lambda said: console.print(said, highlight=False, markup=False))
    comparison = run(cells_of(references, asked, changes, progress=not quiet), asked, changes, say=say)
    rows = rows_of(comparison)
    for name, of in cells(rows):
        console.print(terminal(of, name))
    for name, of in cells(ensembles_of(comparison)):
        console.print(terminal(of, f"{name}: ensembles, the mean over seeds of each system"))
    console.print(LEGEND, highlight=False)
    written = write_report(comparison, page=write)
    print("\n".join(f"wrote {path}" for path in written))
    return 1 if any(row.failures for row in rows) else 0


def representations(
    audio: list[str] | None, text: list[str] | None, extractor: list[str] | None
) -> tuple[list[str], list[str]]:
    """Own extractors join the modality that they say they are of."""
    from hbaf.features.registry import make_extractor

    found = {"audio": list(audio or ()), "text": list(text or ())}
    for name in extractor or ():
        found[make_extractor(name).modality].append(name)
    return found["audio"], found["text"]
