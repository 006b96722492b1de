"""What several verbs take: sources, recipes and single settings, and how they become parameters."""

import functools
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, ParamSpec, TypeVar

from cyclopts import Parameter

if TYPE_CHECKING:
    from hbaf.corpus.schema import Corpus
    from hbaf.parameters import CorpusParameters, Settings

Source = Annotated[
    str,
    Parameter(
        help="`example`, `imported/NAME`, a folder (MELD's or IEMOCAP's release, an audformat database, a manifest "
        "beside audio files, or a transcript beside each recording), or a manifest."
    ),
]
Recipe = Annotated[str, Parameter(help="Set of values to start from: `paper`, `best` or `demo`.")]
Set = Annotated[
    list[str] | None,
    Parameter(name="--set", negative="", help="STAGE.NAME=VALUE, as `model.tau=0.2` or `features.audio=mfcc`."),
]
Representations = Annotated[list[str] | None, Parameter(negative="", help="Representation; give it again for another.")]
Purpose = Annotated[
    Literal["research", "personal", "commercial"],
    Parameter(help="What the scores are for; kept with every row. `commercial` refuses what its licence forbids."),
]
Quiet = Annotated[bool, Parameter(negative="", help="No progress bars.")]

RUN_STAGES = ("corpus", "features", "model", "training")
P = ParamSpec("P")
T = TypeVar("T")


class SettingError(ValueError):
    """A setting on the command line is not understood."""


@Parameter(name="*")
@dataclass(frozen=True)
class CorpusOptions:
    """What every verb takes that reads a corpus."""

    manifest: Annotated[str | None, Parameter(help="Manifest inside the folder, where there is more than one.")] = None
    reader: Annotated[
        str | None, Parameter(help="`folder`, `meld`, `iemocap` or `audformat`; default: by what lies in the folder.")
    ] = None
    channels: Annotated[
        str | None,
        Parameter(
            help="Who is on which channel, from 0, as `0=agent,1=customer`: each turn is cut from its speaker's."
        ),
    ] = None
    set_: Set = None  # cyclopts wants a list
    quiet: Quiet = False

    def corpus(self, source: str, stages: Sequence[str] = ("corpus",)) -> "CorpusParameters":
        """What a SOURCE means.

        Args:
            stages: that the verb knows: a change of another one is an error.
        """
        from hbaf.corpus.read import parameters_of
        from hbaf.corpus.sound.channels import parse_channels

        changes = changes_of(self.set_, stages).get("corpus", {})
        if self.channels is not None:
            changes["channels"] = parse_channels(self.channels)
        named = {"manifest": self.manifest, "reader": self.reader}
        return parameters_of(source, {**{name: value for name, value in named.items() if value}, **changes})

    def of(self, stage: str, stages: Sequence[str]) -> dict[str, Any]:
        """The changes of one stage."""
        return changes_of(self.set_, stages).get(stage, {})

    def settings(self, recipe: str) -> "Settings":
        """A recipe with the changes that were given."""
        return settings(recipe, self.set_)

    @property
    def progress(self) -> bool:
        """Whether progress bars are drawn."""
        return not self.quiet


AS_IS = CorpusOptions()


def aloud(function: Callable[P, T], /, *, notes: bool = True) -> Callable[P, T]:
    """How a verb runs a step: a corpus that was read says which rows were set aside or lack something.

    Recordings that were transcribed say how many, and which were not.
    """
    from hbaf import pipeline

    reads: Any = pipeline.prepare
    hears: Any = pipeline.transcribe
    if function not in (reads, hears):
        return function

    @functools.wraps(function)
    def run(*arguments: P.args, **named: P.kwargs) -> T:
        found: Any = function(*arguments, **named)
        for line in found.lines() if function is hears else remarks(found.corpus, notes):
            print(line, file=sys.stderr)
        return found

    return run


def remarks(corpus: "Corpus", notes: bool = True) -> Iterable[str]:
    """Rows that were set aside, what other rows lack, and what to do; with `notes`, what the reader had to say."""
    from hbaf.corpus.next_steps import tell

    yield from tell(corpus.set_aside, corpus.utterances)
    if notes:
        yield from (f"note: {note}" for note in corpus.notes)


def settings(recipe: str, changes: Sequence[str] | None) -> "Settings":
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
