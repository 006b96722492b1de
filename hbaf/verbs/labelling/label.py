"""The verb about labels of people: take them up, see how far annotators agree."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from hbaf.verbs.options import AS_IS, RUN_STAGES, CorpusOptions, Recipe, Source, aloud

if TYPE_CHECKING:
    from hbaf.labelling.agreement import Agreement
    from hbaf.labelling.importing import Imported

SHOWN = 20  # problems and disagreements that are printed
All = Annotated[bool, Parameter(name="--all", negative="")]

label = App(name="label", help="Takes up labels that people gave, shows how far they agree, and what labels are worth.")


@label.command(name="import")
def import_(
    source: Source, /, *files: Path, annotator: str = "", all_: All = False, options: CorpusOptions = AS_IS
) -> int:
    """Takes up labels that people gave; the next `hbaf validate` and `hbaf train` know them. 1 if a row has a problem.

    Files: what a conversation page saves, tables (CSV, JSONL ...: utterance_id or dialogue and turn, emotion,
    annotator), Label Studio's JSON, TextGrid, ELAN's EAF, Audacity's labels; docs/labelling.md. Labels are joined by
    utterance id, kept in the home folder beside who gave them and when, and mapped by `--labels` as those of the corpus
    are. Prints Krippendorff's alpha where annotators share utterances, and on which they differ.

    Try:

        hbaf label import ~/calls ann.csv bob.csv

        hbaf label import ~/calls ann/*.TextGrid --annotator Ann

        hbaf label import ~/calls project-1.json --set 'corpus.emotions=["neutral", "joy", "anger"]'

    Args:
        files: One or several, of one or several annotators.
        annotator: Who gave the labels of files that do not say; default for tables: the name of the file.
        all_: Print every problem and disagreement.
    """
    from hbaf import pipeline

    done = pipeline.import_labels(
        options.corpus(source), files, annotator=annotator, progress=options.progress, step=aloud
    )
    _tell(done, None if all_ else SHOWN)
    return 1 if done.problems else 0


@label.command
def agreement(source: Source, /, *, all_: All = False, options: CorpusOptions = AS_IS) -> int:
    """Shows how far the annotators of a corpus agree, and the utterances on which they differ.

    Try:

        hbaf label agreement ~/calls --all

    Args:
        all_: Print every disagreement.
    """
    from hbaf import pipeline

    found = pipeline.label_agreement(options.corpus(source))
    print("\n".join(_agreement(found, None if all_ else SHOWN)))
    return 0


@label.command
def curve(
    source: Source,
    /,
    *,
    recipe: Recipe = "paper",
    labels: str = "50,100,200,400",
    seeds: int = 3,
    output: Path | None = None,
    options: CorpusOptions = AS_IS,
) -> int:
    """Shows what labels are worth: weighted F1 on dev of models that learned from so many labelled turns.

    Trains on whole dialogues drawn from train, each size with each seed. Dev is whole and chooses the epoch; the test
    split is not used, and nothing is registered.

    Try:

        hbaf label curve example --recipe demo --labels 50,100 --seeds 2 --set training.members=1

        hbaf label curve ~/calls --labels 50,100,200,400 --output curve

    Args:
        labels: Sizes: labelled turns to learn from.
        seeds: Trainings of each size; another seed also draws other dialogues.
        output: Folder for curve.png and curve.csv.
    """
    from rich.console import Console
    from rich.table import Table

    from hbaf import pipeline

    sizes = [int(size) for size in labels.split(",") if size.strip().isdecimal()]
    found = pipeline.label_curve(
        options.corpus(source, RUN_STAGES), options.settings(recipe), sizes, seeds=seeds,
        say=lambda text: print(text, file=sys.stderr), progress=options.progress, step=aloud,
    )  # fmt: skip
    table = Table("labels", "dialogues", "dev weighted F1", "of each seed")
    for point in found.points:
        each = ", ".join(f"{score:.3f}" for score in point.scores)
        table.add_row(
            f"{point.labels:.0f}", f"{point.dialogues:.0f}", f"{point.mean:.3f} ± {point.deviation:.3f}", each
        )
    Console().print(table)
    print(f"train has {found.whole} labels; {found.message}")
    if output is not None:
        print(f"curve: {found.save(output)}")
    return 0


def _tell(done: "Imported", most: int | None) -> None:
    for file, form in done.forms:
        print(f"{file}: {form}")
    added = done.added
    print(f"{done.corpus}: {added.new} labels are new, {added.changed} changed, {added.same} were there")
    if done.taken_over:
        print(f"  {done.taken_over} of them are predictions that somebody submitted as they were")
    if done.unchanged:
        print(f"  {done.unchanged} predictions that nobody touched are no labels")
    counts = ", ".join(f"{name or '(none)'} {count}" for name, count in done.counts.items())
    print(f"labels of the corpus: {counts or 'none'}")
    if not done.closed and done.emotions:
        print("  the corpus has no labels of its own, so any label counts; `corpus.emotions` closes the set")
    print("\n".join(_agreement(done.agreement, most)))
    if done.problems:
        print(f"{len(done.problems)} rows are left out:", file=sys.stderr)
    for where, rule, found in done.problems[:most]:
        print(f"  {where}: {rule} ({found})", file=sys.stderr)
    if most is not None and len(done.problems) > most:
        print(f"  and {len(done.problems) - most} more (--all)", file=sys.stderr)


def _agreement(found: "Agreement | None", most: int | None) -> list[str]:
    if found is None:
        return ["agreement: no utterance has the labels of two annotators"]
    low, high = found.interval
    lines = [
        "annotators: " + ", ".join(f"{name} {count}" for name, count in found.annotators.items()),
        f"agreement on {found.shared} utterances: Krippendorff's alpha {found.alpha:.3f} "
        f"(95 %: {low:.3f} to {high:.3f}), {found.same:.0%} of pairs equal",
    ]
    if found.confused:
        pairs = ", ".join(f"{one} and {other} {count}" for one, other, count in found.confused[:6])
        lines.append(f"differ most in: {pairs}")
    for one in found.disagreements[:most]:
        said = ", ".join(f"{name}: {emotion}" for name, emotion in sorted(one.said.items()))
        lines.append(f"  {one.utterance_id}  {said}  {one.text[:60]!r}")
    if most is not None and len(found.disagreements) > most:
        lines.append(f"  and {len(found.disagreements) - most} more (--all)")
    return lines
