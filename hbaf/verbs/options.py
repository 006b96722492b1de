"""What several verbs take: sources, recipes and single settings, and how they become parameters."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

if TYPE_CHECKING:
    from hbaf.corpus.schema import CorpusReference
    from hbaf.parameters import CorpusParameters, FeatureParameters, ModelParameters, TrainingParameters

Source = Annotated[str, Parameter(help="`example`, or a folder with a manifest beside audio files.")]
Recipe = Annotated[str, Parameter(help="Set of values to start from: `paper` or `demo`.")]
Set = Annotated[
    list[str] | None,
    Parameter(name="--set", negative="", help="STAGE.NAME=VALUE, as `model.tau=0.2` or `features.audio=mfcc`."),
]
Manifest = Annotated[str | None, Parameter(help="Manifest inside the folder, where there is more than one.")]
Quiet = Annotated[bool, Parameter(negative="", help="No progress bars.")]


class SettingError(ValueError):
    """A setting on the command line is not understood."""


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
