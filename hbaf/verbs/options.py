"""What several verbs take: sources, recipes and single settings, and how they become parameters."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from hbaf.corpus.schema import CorpusReference
    from hbaf.parameters import CorpusParameters, FeatureParameters, ModelParameters, TrainingParameters

Source = Annotated[
    str,
    Parameter(
        help="`example`, `imported/NAME`, a folder (MELD's or IEMOCAP's release, an audformat database, a manifest "
        "beside audio files, or a transcript beside each recording), or a manifest."
    ),
]
Reader = Annotated[
    str | None, Parameter(help="`folder`, `meld`, `iemocap` or `audformat`; default: by what lies in the folder.")
]
Recipe = Annotated[str, Parameter(help="Set of values to start from: `paper`, `best` or `demo`.")]
Set = Annotated[
    list[str] | None,
    Parameter(name="--set", negative="", help="STAGE.NAME=VALUE, as `model.tau=0.2` or `features.audio=mfcc`."),
]
Manifest = Annotated[str | None, Parameter(help="Manifest inside the folder, where there is more than one.")]
Channels = Annotated[
    str | None,
    Parameter(help="Who is on which channel, from 0, as `0=agent,1=customer`: each turn is cut from its speaker's."),
]
Representations = Annotated[list[str] | None, Parameter(negative="", help="Representation; give it again for another.")]
Purpose = Annotated[
    Literal["research", "personal", "commercial"],
    Parameter(help="What the scores are for; kept with every row. `commercial` refuses what its licence forbids."),
]
Quiet = Annotated[bool, Parameter(negative="", help="No progress bars.")]


RUN_STAGES = ("corpus", "features", "model", "training")


class SettingError(ValueError):
    """A setting on the command line is not understood."""


def corpus_parameters(
    source: str, manifest: str | None, reader: str | None = None, changes: Mapping[str, Any] | None = None
) -> "CorpusParameters":
    """What a SOURCE on the command line means."""
    from hbaf.parameters import CorpusParameters

    path, given = Path(source).expanduser(), dict(changes or {})
    if source == "example":
        start: dict[str, Any] = {"reader": "example"}
    elif source.startswith("imported/"):
        start = {"reader": "imported", "name": source.removeprefix("imported/")}
    elif path.is_file() and manifest is None:
        start = {"reader": "auto", "root": path.parent, "manifest": path.name}
    else:
        start = {"reader": "auto", "root": path, "manifest": manifest}
    return CorpusParameters(**{**start, **({"reader": reader} if reader else {}), **given})


def prepare(
    source: str,
    manifest: str | None,
    quiet: bool,
    *,
    split: bool = True,
    reader: str | None = None,
    set_: Sequence[str] | None = None,
    stages: Sequence[str] = ("corpus",),
    channels: str | None = None,
    notes: bool = True,
) -> "CorpusReference":
    """Reads and measures a corpus, and says which rows were set aside or lack something, and what to do.

    Args:
        set_: `STAGE.NAME=VALUE` changes; those of `corpus` count here.
        stages: that the verb knows: a change of another one is an error.
        channels: `0=agent,1=customer`.
        notes: print what the reader found in the source; False where the verb does so itself.
    """
    from hbaf.corpus.next_steps import tell
    from hbaf.corpus.prepare import prepare_corpus
    from hbaf.corpus.schema import load_corpus
    from hbaf.corpus.sound.channels import parse_channels
    from hbaf.home import prepare_environment

    prepare_environment()
    changes = changes_of(set_, stages).get("corpus", {})
    if channels is not None:
        changes = {**changes, "channels": parse_channels(channels)}
    parameters = corpus_parameters(source, manifest, reader, changes)
    reference = prepare_corpus(parameters, split=split, progress=not quiet)
    corpus = load_corpus(reference)
    told = [f"note: {note}" for note in corpus.notes] if notes else []
    for line in (*told, *tell(corpus.set_aside, corpus.utterances)):
        print(line, file=sys.stderr)
    return reference


def settings(
    recipe: str, changes: Sequence[str] | None
) -> "tuple[FeatureParameters, ModelParameters, TrainingParameters]":
    """A recipe with `STAGE.NAME=VALUE` changes."""
    from hbaf.parameters import from_recipe

    stages = changes_of(set_=changes, stages=RUN_STAGES)
    return from_recipe(recipe, **{stage: stages.get(stage, {}) for stage in ("features", "model", "training")})


def changes_of(set_: Sequence[str] | None, stages: Sequence[str]) -> dict[str, dict[str, Any]]:
    """`["model.tau=0.2", "corpus.iemocap.classes=4"]` -> `{"model": {"tau": 0.2}, "corpus": {"iemocap": {...}}}`.

    Raises:
        SettingError: not of that form, or a stage that the verb does not know.
    """
    found: dict[str, dict[str, Any]] = {}
    for change in set_ or ():
        name, equals, value = change.partition("=")
        stage, *path = name.split(".")
        if not (equals and path and all(path) and stage in stages):
            raise SettingError(f"--set {change}: not of the form STAGE.NAME=VALUE with a stage of {', '.join(stages)}.")
        place = found.setdefault(stage, {})
        for part in path[:-1]:
            place = place.setdefault(part, {})
        try:
            place[path[-1]] = json.loads(value)
        except json.JSONDecodeError:
            place[path[-1]] = value
    return found
