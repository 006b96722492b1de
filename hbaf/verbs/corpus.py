"""Verbs about corpora and their features."""

from hbaf.verbs.options import Manifest, Quiet, Recipe, Set, Source, prepare, settings


def validate(source: Source, *, manifest: Manifest = None, docs: bool = True, quiet: Quiet = False) -> int:
    """Checks a corpus against the rules and prints what a person can act on; exit code 1 if a critical rule fails.

    Try:

        hbaf validate example

        hbaf validate ~/calls --manifest calls.csv

    Args:
        docs: Also write Data Docs (HTML) into the home folder.
    """
    from rich.console import Console

    from hbaf.corpus.schema import load_corpus
    from hbaf.parameters import ValidationParameters
    from hbaf.validation.suite import validate as check

    reference = prepare(source, manifest, quiet)
    corpus = load_corpus(reference)
    result = check(corpus, ValidationParameters(), docs=docs)
    Console().print(result.table())
    print(f"corpus: {reference.folder}")
    if result.docs:
        print(f"data docs: {result.docs}")
    return 0 if result.ok else 1


def extract(
    source: Source, *, manifest: Manifest = None, recipe: Recipe = "paper", set_: Set = None, quiet: Quiet = False
) -> int:  # cyclopts wants a list
    """Extracts the feature columns that a recipe reads; only what is missing.

    Try:

        hbaf extract ~/calls --set features.text=roberta-large

        hbaf extract example --recipe demo --set features.audio=mfcc
    """
    from hbaf.corpus.schema import load_corpus
    from hbaf.features.columns import extract_features

    features, _, _ = settings(recipe, set_)
    columns = extract_features(load_corpus(prepare(source, manifest, quiet)), features, progress=not quiet)
    for modality, column in columns.by_modality().items():
        print(f"{modality:12} {column.name:16} {column.dim:6} numbers  {column.digest[:12]}")
    return 0
