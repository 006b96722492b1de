"""`hbaf`: thin verbs over the same plain functions as the flows call.

Everything heavy is imported inside the verb that needs it, so that `hbaf --help` answers at once.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

if TYPE_CHECKING:
    from hbaf.corpus.schema import CorpusReference
    from hbaf.parameters import CorpusParameters, FeatureParameters, ModelParameters, TrainingParameters

app = App(
    name="hbaf",
    help="""Emotion recognition in conversations, from audio and words.

SOURCE is `example` (made by the project itself) or a folder with a manifest (CSV, JSONL or Parquet: dialogue, turn,
speaker, text, audio, emotion ...) beside audio files. Each verb does the steps before it where they are missing.

Everything is kept in one home folder: HBAF_HOME, or the user's data directory.
""",
    help_format="markdown",
)

Source = Annotated[str, Parameter(help="`example`, or a folder with a manifest beside audio files.")]
Recipe = Annotated[str, Parameter(help="Set of values to start from: `paper` or `demo`.")]
Set = Annotated[
    list[str] | None,
    Parameter(name="--set", negative="", help="STAGE.NAME=VALUE, as `model.tau=0.2` or `features.audio=mfcc`."),
]
Manifest = Annotated[str | None, Parameter(help="Manifest inside the folder, where there is more than one.")]
Quiet = Annotated[bool, Parameter(negative="", help="No progress bars.")]


@app.command
def demo(*, audio: Literal["compare2016", "mfcc"] = "compare2016", dialogues: int = 160, seed: int = 0) -> int:
    """Makes the example corpus, trains HBAF, text only and audio only, promotes and scores: the whole way.

    Examples:

        hbaf demo

        hbaf demo --audio mfcc        # without openSMILE, whose licence forbids commercial use

    Args:
        audio: Audio representation.
        dialogues: Size of the example corpus.
        seed: Of corpus and training.
    """
    # The flows are above this package, and it never imports them.
    command = [sys.executable, "-m", "flows.demo", f"--audio={audio}", f"--dialogues={dialogues}", f"--seed={seed}"]
    return subprocess.run(command, check=False).returncode


@app.command
def validate(source: Source, *, manifest: Manifest = None, docs: bool = True, quiet: Quiet = False) -> int:
    """Checks a corpus against the rules and prints what a person can act on; exit code 1 if a critical rule fails.

    Examples:

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


@app.command
def extract(
    source: Source, *, manifest: Manifest = None, recipe: Recipe = "paper", set_: Set = None, quiet: Quiet = False
) -> int:  # cyclopts wants a list
    """Extracts the feature columns that a recipe reads; only what is missing.

    Examples:

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


@app.command
def train(
    source: Source,
    *,
    manifest: Manifest = None,
    recipe: Recipe = "paper",
    set_: Set = None,  # cyclopts wants a list
    again: bool = False,
    quiet: Quiet = False,
) -> int:
    """Trains once, chosen on dev, and logs run and model package to MLflow. The test split is not looked at.

    Examples:

        hbaf train example --recipe demo

        hbaf train ~/calls --set training.seed=1 --set model.variant=text

    Args:
        again: Train even if the same run is there already.
    """
    from hbaf.corpus.schema import load_corpus
    from hbaf.features.columns import extract_features
    from hbaf.registry.runs import train_and_log
    from hbaf.registry.tracking import ui_command

    reference = prepare(source, manifest, quiet)
    features, model, training = settings(recipe, set_)
    columns = extract_features(load_corpus(reference), features, progress=not quiet)
    run = train_and_log(reference, columns, features, model, training, progress=not quiet, again=again)
    print(
        f"{'reused' if run.reused else 'trained'} {reference.name}, {model.variant}, "
        f"recipe {training.recipe}, seed {training.seed}"
    )
    print(f"dev weighted F1 {run.weighted_f1:.3f}\nrun {run.run_id}\npackage {run.package}\nlook: {ui_command()}")
    return 0


@app.command
def evaluate(
    source: Source,
    *,
    manifest: Manifest = None,
    model: str | None = None,
    final: bool = False,
    reason: str = "hbaf evaluate --final",
    quiet: Quiet = False,
) -> int:
    """Scores the champion on dev, or, with `--final`, on the test split; each look at that is written down.

    Examples:

        hbaf evaluate example

        hbaf evaluate example --final --reason "table 2 of the report"

    Args:
        model: Registered model; default: the only one with a champion.
        final: Look at the test split.
        reason: Why, for the ledger of looks.
    """
    from hbaf.corpus.schema import load_corpus
    from hbaf.features.columns import extract_features
    from hbaf.registry.models import find_model, load_package
    from hbaf.training.data import load_split, read_vectors
    from hbaf.training.evaluate import bootstrap_interval, evaluate_final, predict

    champion = find_model(model)
    package = load_package(champion)
    corpus = load_corpus(prepare(source, manifest, quiet))
    vectors = read_vectors(corpus, extract_features(corpus, package.facts.features, progress=not quiet))
    if final:
        predictions = evaluate_final(package, corpus, vectors, reason=reason)
    else:
        dev = load_split(corpus, vectors, package.representation, "dev")
        predictions = predict(package.system, dev, package.facts.emotions)
    low, high = bootstrap_interval(predictions)
    print(f"{champion.label} on {corpus.name}, {'test' if final else 'dev'}: {len(predictions.truth)} utterances")
    for name, value in predictions.metrics().items():
        print(f"  {name:14} {value:.3f}" + (f"  (95 %: {low:.3f} to {high:.3f})" if name == "weighted_f1" else ""))
    return 0


@app.command
def promote(
    source: Source, *, manifest: Manifest = None, model: str | None = None, run: str | None = None, quiet: Quiet = False
) -> int:
    """Makes the best run of a corpus the champion, if it beats the present one on dev; exit code 1 if not.

    Examples:

        hbaf promote example

        hbaf promote example --run 0123456789abcdef

    Args:
        model: Registered name; default `hbaf-<corpus>`.
        run: MLflow run id; default: the finished run of this corpus with the best dev score.
    """
    from hbaf.corpus.schema import load_corpus
    from hbaf.features.columns import extract_features
    from hbaf.registry.promote import promote as decide
    from hbaf.registry.runs import best_run
    from hbaf.training.package import ModelPackage

    reference = prepare(source, manifest, quiet)
    candidate = best_run(reference, run)
    features = ModelPackage.load(candidate.package).facts.features
    columns = extract_features(load_corpus(reference), features, progress=not quiet)
    verdict = decide(candidate, reference, columns, name=model)
    print(
        f"{verdict.model} version {verdict.version}: {'champion' if verdict.promoted else 'not promoted'}, "
        f"{verdict.reason}"
    )
    print(f"  candidate {verdict.candidate:.3f} against {verdict.champion:.3f} ({verdict.against}), weighted F1 on dev")
    return 0 if verdict.promoted else 1


@app.command
def score(
    source: Source,
    *,
    manifest: Manifest = None,
    model: str | None = None,
    output: Path | None = None,
    csv: bool = False,
    audio: Literal["link", "embed", "none"] = "link",
    quiet: Quiet = False,
) -> int:
    """Scores conversations with the champion: Parquet, CSV on request, and an HTML report.

    Examples:

        hbaf score ~/calls

        hbaf score ~/calls --csv --output /tmp/scored --audio embed

    Args:
        model: Registered model; default: the only one with a champion.
        output: Folder for the results; default: in the home folder.
        csv: Also write scores.csv, with spreadsheet formulas disarmed.
        audio: How the report's players find the sound.
    """
    from hbaf.scoring.score import score_corpus

    reference = prepare(source, manifest, quiet, split=False)
    found = score_corpus(reference, model=model, output=output, csv=csv, audio=audio, progress=not quiet)
    print(f"{found.rows} utterances of {found.dialogues} conversations scored with {found.model}")
    if found.without_audio or found.without_text:
        print(f"  without audio: {found.without_audio}, without text: {found.without_text} (scored from the rest)")
    print(f"scores: {found.folder / 'scores.parquet'}\nreport: {found.report}")
    return 0


@app.command
def doctor() -> int:
    """Looks at the installation and says what is wrong, with the fix; exit code 1 if something is."""
    from hbaf.doctor import examine

    findings = examine()
    for finding in findings:
        print(
            f"{'ok  ' if finding.ok else 'BAD '} {finding.subject}: {finding.said}"
            + ("" if finding.ok else f"\n     fix: {finding.fix}")
        )
    return 0 if all(finding.ok for finding in findings) else 1


def corpus_parameters(source: str, manifest: str | None) -> "CorpusParameters":
    from hbaf.parameters import CorpusParameters

    if source == "example":
        return CorpusParameters()
    return CorpusParameters(reader="folder", root=Path(source), manifest=manifest)


def prepare(source: str, manifest: str | None, quiet: bool, *, split: bool = True) -> "CorpusReference":
    """Reads and measures a corpus, and says which rows were set aside."""
    from hbaf.corpus.prepare import prepare_corpus
    from hbaf.corpus.schema import load_corpus
    from hbaf.home import prepare_environment

    prepare_environment()
    reference = prepare_corpus(corpus_parameters(source, manifest), split=split, progress=not quiet)
    set_aside = load_corpus(reference).set_aside
    for row in set_aside.head(10).itertuples():
        print(f"set aside: {row.row}: {row.rule}, found {row.found}", file=sys.stderr)
    if len(set_aside) > 10:
        print(f"set aside: {len(set_aside) - 10} more rows", file=sys.stderr)
    return reference


def settings(
    recipe: str, changes: Sequence[str] | None
) -> "tuple[FeatureParameters, ModelParameters, TrainingParameters]":
    """A recipe with `STAGE.NAME=VALUE` changes."""
    from hbaf.parameters import from_recipe

    stages: dict[str, dict[str, Any]] = {"features": {}, "model": {}, "training": {}}
    for change in changes or ():
        name, equals, value = change.partition("=")
        stage, dot, field = name.partition(".")
        if not (equals and dot and stage in stages):
            raise SettingError(f"--set {change}: not of the form STAGE.NAME=VALUE with a stage of {', '.join(stages)}.")
        try:
            stages[stage][field] = json.loads(value)
        except json.JSONDecodeError:
            stages[stage][field] = value
    return from_recipe(recipe, **stages)


class SettingError(ValueError):
    """A setting on the command line is not understood."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: errors that the user can mend are one message and exit code 2, never a traceback."""
    try:
        code = app(arguments, exit_on_error=True, result_action="return_value")
    except KeyboardInterrupt:
        print("interrupted; what is done is kept, run the same command again to go on", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if os.environ.get("HBAF_TRACEBACK") or not is_expected(error):
            raise
        print(f"hbaf: {error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(code or 0)


def is_expected(error: Exception) -> bool:
    """Whether an error is one of our own kinds, or a setting out of bounds: its message says what to do."""
    return type(error).__module__.split(".")[0] in ("hbaf", "feature_store", "pydantic_core")


if __name__ == "__main__":
    main()
