"""`hbaf findings`: the paper's claims and what it leaves open, asked of runs on data at hand."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from hbaf.verbs.options import AS_IS, RUN_STAGES, CorpusOptions, Representations, SettingError, aloud, changes_of


def findings(
    *sources: str,
    ask: Literal["claims", "recipe"] = "claims",
    seeds: int = 3,
    recipe: str = "demo",
    audio: Representations = None,
    text: Representations = None,
    systems: str | None = None,
    folds: int = 1,
    workers: int | None = None,
    write: Path | None = None,
    figures: Path | None = None,
    words: Annotated[bool, Parameter(negative="")] = False,
    options: CorpusOptions = AS_IS,
) -> int:
    """Tests the paper's five claims and open design decisions on a corpus, or finds settings that improve HBAF on dev.

    Every run is kept, and runs of `hbaf compare` with the same settings are reused.

    Try:

        hbaf findings example --seeds 5

        hbaf findings example --ask recipe --folds 5

        hbaf findings ~/MELD.Raw --ask recipe --audio imported:praat8 --write docs/findings.md

    Args:
        sources: Corpora, each as SOURCE of the other commands.
        ask: `claims`: the claims and decisions, on test; `recipe`: each optional setting by itself, on dev.
        seeds: Number of runs of each system.
        recipe: Named settings to start from.
        systems: Run only these, and answer the questions that they allow; default: all systems needed.
        folds: For `recipe`: folds of a cross-validation over train and dev; 1: the corpus's own dev.
        workers: Number of runs at a time; default: one per core.
        write: Markdown page whose section on this corpus and question is replaced; default: print to the terminal.
        figures: For `claims`: folder for Figures 6 to 8 and Table 2, as PDF and PNG.
        words: Show the transcripts in Figure 7; they are private, so off by default.
    """
    from hbaf import pipeline
    from hbaf.comparison.bench import cells_of, compare, silent
    from hbaf.comparison.pages.figures import write_figures
    from hbaf.comparison.pages.findings import QUESTIONS, systems_of
    from hbaf.comparison.pages.findings_page import about, render, write_block
    from hbaf.comparison.recipe_search import RECIPE, on_dev, taken
    from hbaf.parameters import ComparisonParameters

    if folds < 1 or (folds > 1 and ask != "recipe"):
        raise SettingError(
            f"--folds {folds}: 1 or more, and above 1 with `--ask recipe` alone; claims are judged on test."
        )
    changes = changes_of(options.set_, RUN_STAGES)
    questions = (RECIPE,) if ask == "recipe" else QUESTIONS
    asked = ComparisonParameters(
        systems=systems or systems_of(questions), seeds=seeds, recipe=recipe, audio=tuple(audio or ()),
        text=tuple(text or ()), workers=workers, reason="hbaf findings",
    )  # fmt: skip
    references = [
        pipeline.valid(options.corpus(source, RUN_STAGES), progress=options.progress, step=aloud) for source in sources
    ]
    say = silent if options.quiet else (lambda message, count, of: print(f"[{count}/{of}] {message}", file=sys.stderr))
    cells = cells_of(references, asked, changes, progress=options.progress)
    if ask == "recipe":
        comparison = on_dev(cells, asked, changes, folds=folds, say=say)
    else:
        comparison = compare(cells, asked, changes, say=say)
    heading = about(comparison, shlex.join(["hbaf", *shown_arguments(sys.argv[1:])]))
    page = render(questions, comparison, "dev" if ask == "recipe" else "test", heading)
    if ask == "recipe":
        page += f"\n\n{taken(comparison)}"
    if write is None:
        print(page)
    else:
        write_block(write, f"{'-'.join(reference.name for reference in references)}-{ask}", page)
        print(f"wrote {write}")
    if figures is not None and ask == "claims":
        print("\n".join(f"wrote {path}" for path in write_figures(comparison, figures, words=words)))
    return 1 if any(run.outcome.facts is None for run in comparison.runs) else 0


def shown_arguments(arguments: list[str]) -> list[str]:
    """The command as it was given, with folders by their last name: a page says nothing of this machine."""
    return [Path(a).name if a.startswith(("/", "~", "..")) else a for a in arguments]
