"""Verbs about corpora, their words and their features."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from hbaf.verbs.options import AS_IS, RUN_STAGES, CorpusOptions, Quiet, Recipe, Set, Source, aloud, changes_of


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
        own = result.docs / "own"
        print(f"page: {own / 'index.html'}\nbroken rows: {own / 'broken_rows.csv'}")
        print(f"without names, as in MLflow: {result.docs / 'index.html'}")
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


def transcribe(
    folder: Path,
    *,
    language: str | None = None,
    speakers: int | None = None,
    model: str | None = None,
    place: Annotated[str | None, Parameter(help="`beside` the recordings, or in the `home`.")] = None,
    set_: Set = None,  # cyclopts wants a list
    quiet: Quiet = False,
) -> int:
    """Writes down what is said in recordings, and by whom: a transcript beside each that has none.

    A channel is a speaker where channels hold different people; voices on one channel are told apart. What is done is
    kept: after a stop, or with new recordings, the same command goes on. Needs the extra: `pip install 'hbaf[words]'`.

    Try:

        hbaf transcribe ~/recordings

        hbaf transcribe ~/interviews --speakers 2 --language en

        hbaf transcribe ~/anrufe --language de --model Systran/faster-whisper-small

    Args:
        folder: With recordings in it, or in folders below.
        language: Code such as `en`; default: heard in each recording.
        speakers: People on one channel; default: as many voices as are heard.
        model: `tiny.en`, a folder, or a hub id that `hbaf models fetch whisper:ID` brought.
    """
    from hbaf import pipeline
    from hbaf.parameters import WordsParameters

    named = {"language": language, "speakers": speakers, "model": model, "place": place}
    changes: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
    changes |= changes_of(set_, ("words",)).get("words", {})
    found = aloud(pipeline.transcribe)(str(folder), WordsParameters(**changes), progress=not quiet)
    if not any(one.transcript for one in found.outcomes):
        return 1
    print(f"next: hbaf validate {folder}")
    return 0
