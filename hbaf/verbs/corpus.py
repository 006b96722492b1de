"""Verbs about corpora and their features."""

from functools import partial
from typing import Annotated

from cyclopts import Parameter

from hbaf.verbs.options import AS_IS, RUN_STAGES, CorpusOptions, Recipe, Source, aloud


def validate(
    source: Source,
    *,
    docs: bool = True,
    log: bool = True,
    all_: Annotated[bool, Parameter(name="--all", negative="")] = False,
    options: CorpusOptions = AS_IS,
) -> int:
    """Checks a corpus for errors and implausible values, with advice; exit code 1 if a critical rule fails.

    Try:

        hbaf validate example

        hbaf validate ~/calls --manifest calls.csv

        hbaf validate ~/MELD.Raw --set 'validation.seconds=[0.1, 30]'

    Args:
        docs: Also write Data Docs (HTML) and the rows that break a rule (CSV) into the home folder.
        log: Also log the result to MLflow; an unchanged result is logged once.
        all_: Show every rule, also those that passed.
    """
    from rich.console import Console

    from hbaf import pipeline
    from hbaf.parameters import ValidationParameters
    from hbaf.validation import terminal

    stages = ("corpus", "validation")
    rules = ValidationParameters(**options.of("validation", stages))
    found = pipeline.validate(
        options.corpus(source, stages),
        rules,
        docs=docs,
        log=log,
        progress=options.progress,
        step=partial(aloud, notes=False),
    )
    result = found.result
    console = Console()
    console.print(terminal.counts(result))
    console.print(terminal.findings(result, every_rule=all_))
    print(f"corpus: {found.reference.folder}")
    if result.docs:
        print(f"data docs: {result.docs / 'index.html'}\nbroken rows: {result.docs / 'broken_rows.csv'}")
    if found.run_id:
        print(f"MLflow run: {found.run_id}")
    return 0 if result.ok else 1


def extract(source: Source, *, recipe: Recipe = "paper", options: CorpusOptions = AS_IS) -> int:
    """Validates a corpus and computes the features that a recipe needs; stored ones are not computed again.

    Try:

        hbaf extract ~/calls --set features.text=roberta-large

        hbaf extract example --recipe demo --set features.audio=mfcc
    """
    from hbaf import pipeline

    found = pipeline.extract(
        options.corpus(source, RUN_STAGES), options.settings(recipe), progress=options.progress, step=aloud
    )
    for modality, column in found.columns.by_modality().items():
        print(f"{modality:12} {column.name:16} {column.dim:6} numbers  {column.digest[:12]}")
    return 0
