"""Verbs about corpora and their features."""

from typing import Annotated

from cyclopts import Parameter

from hbaf.verbs.options import (
    RUN_STAGES,
    Channels,
    Manifest,
    Quiet,
    Reader,
    Recipe,
    Set,
    Source,
    changes_of,
    prepare,
    settings,
)


def validate(
    source: Source,
    *,
    manifest: Manifest = None,
    reader: Reader = None,
    channels: Channels = None,
    set_: Set = None,
    docs: bool = True,
    log: bool = True,
    all_: Annotated[bool, Parameter(name="--all", negative="")] = False,
    quiet: Quiet = False,
) -> int:
    """Checks a corpus against the rules and prints what a person can act on; exit code 1 if a critical rule fails.

    Try:

        hbaf validate example

        hbaf validate ~/calls --manifest calls.csv

        hbaf validate ~/MELD.Raw --set 'validation.seconds=[0.1, 30]'

    Args:
        docs: Also write Data Docs (HTML) and the broken rows (CSV) into the home folder.
        log: Also log the result to MLflow; an equal one is logged once.
        all_: Show every rule, the kept ones too.
    """
    from rich.console import Console

    from hbaf.corpus.schema import load_corpus
    from hbaf.parameters import ValidationParameters
    from hbaf.validation import accept, terminal
    from hbaf.validation.suite import validate as check

    stages = ("corpus", "validation")
    rules = ValidationParameters(**changes_of(set_, stages).get("validation", {}))
    reference = prepare(
        source, manifest, quiet, reader=reader, channels=channels, set_=set_, stages=stages, notes=False
    )
    corpus = load_corpus(reference)
    result = check(corpus, rules, docs=docs)
    accept(corpus, result)
    console = Console()
    console.print(terminal.counts(result))
    console.print(terminal.findings(result, every_rule=all_))
    print(f"corpus: {reference.folder}")
    if result.docs:
        print(f"data docs: {result.docs / 'index.html'}\nbroken rows: {result.docs / 'broken_rows.csv'}")
    if log:
        from hbaf.registry.records.validations import log_validation

        print(f"MLflow run: {log_validation(result, rules)}")
    return 0 if result.ok else 1


def extract(
    source: Source,
    *,
    manifest: Manifest = None,
    reader: Reader = None,
    channels: Channels = None,
    recipe: Recipe = "paper",
    set_: Set = None,
    quiet: Quiet = False,
) -> int:  # cyclopts wants a list
    """Extracts the feature columns that a recipe reads; only what is missing.

    Try:

        hbaf extract ~/calls --set features.text=roberta-large

        hbaf extract example --recipe demo --set features.audio=mfcc
    """
    from hbaf.corpus.schema import load_corpus
    from hbaf.features.columns import extract_features

    features, _, _ = settings(recipe, set_)
    reference = prepare(source, manifest, quiet, reader=reader, channels=channels, set_=set_, stages=RUN_STAGES)
    columns = extract_features(load_corpus(reference), features, progress=not quiet)
    for modality, column in columns.by_modality().items():
        print(f"{modality:12} {column.name:16} {column.dim:6} numbers  {column.digest[:12]}")
    return 0
