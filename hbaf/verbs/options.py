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
    from hbaf.inbox.source import SourceParameters
    from hbaf.parameters import CorpusParameters, Settings

Source = Annotated[
    str,
    Parameter(
        help="Corpus: `example`, `imported/NAME`, a folder (MELD's or IEMOCAP's release, an audformat database, a "
        "manifest beside audio files, or a transcript beside each recording), or a manifest."
    ),
]
Recipe = Annotated[str, Parameter(help="Named settings to start from: `paper`, `best` or `demo` (small and quick).")]
Set = Annotated[
    list[str] | None,
    Parameter(
        name="--set",
        negative="",
        help="Change one setting: STAGE.NAME=VALUE, as `model.tau=0.2`; `hbaf settings` lists them. Repeatable.",
    ),
]
Representations = Annotated[
    list[str] | None, Parameter(negative="", help="Representation (an extractor's name); repeatable.")
]
Purpose = Annotated[
    Literal["research", "personal", "commercial"],
    Parameter(help="Use of the scores, stored with every row. `commercial` refuses models whose licence forbids it."),
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
        str | None,
        Parameter(help="`folder`, `meld`, `iemocap` or `audformat`; default: recognised by the folder's content."),
    ] = None
    channels: Annotated[
        str | None,
        Parameter(
            help="Speaker of each audio channel, from 0, as `0=agent,1=customer`; each turn is cut from its speaker's."
        ),
    ] = None
    labels: Annotated[
        str | None,
        Parameter(
            help="What labels become: `happy=joy,xxx=` (xxx: no label), or a known map, as `go_emotions:ekman`; "
            "docs/corpora.md."
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
        named = {"manifest": self.manifest, "reader": self.reader, "labels": self.labels}
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


def source_parameters(
    url: str, set_: Sequence[str] | None, channels: str | None = None, transcribe: bool = False
) -> "SourceParameters":
    """The source of scheduled scoring at a folder or URL, with the settings that it is scheduled with, or changed.

    Args:
        channels: as `0=agent,1=customer`; None: as scheduled, or none.
        transcribe: write down what is said; any `words.NAME` of `set_` asks for it too.
    """
    from hbaf.corpus.sound.channels import parse_channels
    from hbaf.inbox.schedule.sources import read_schedule
    from hbaf.inbox.source import SourceParameters

    known = read_schedule().at(url)
    values = known.source.model_dump(exclude_defaults=True) if known else {}
    changes = changes_of(set_, ("source", "words"))
    values |= {**changes.get("source", {}), "url": known.source.url if known else url}
    if channels is not None:
        values["channels"] = parse_channels(channels)
    if transcribe or "words" in changes:
        values["words"] = {**(values.get("words") or {}), **changes.get("words", {})}
    return SourceParameters(**values)


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
    """A recipe with `STAGE.NAME=VALUE` changes; a name of no extractor is an error before anything is read."""
    from hbaf.parameters import from_recipe

    stages = changes_of(set_=changes, stages=RUN_STAGES)
    found = from_recipe(recipe, **{stage: stages.get(stage, {}) for stage in ("features", "model", "training")})
    if stages.get("features"):
        from hbaf.features.columns import names
        from hbaf.features.registry import check_name

        for modality, name in names(found.features).items():
            check_name(name, modality)
    return found


def names_of_settings() -> list[str]:
    """Every `stage.name` there is."""
    from hbaf.parameters import STAGES
    from hbaf.settings import settings_of

    return [setting.name for setting in settings_of(STAGES, {})]


def changes_of(set_: Sequence[str] | None, stages: Sequence[str]) -> dict[str, dict[str, Any]]:
    """`["model.tau=0.2", "corpus.iemocap.classes=4"]` -> `{"model": {"tau": 0.2}, "corpus": {"iemocap": {...}}}`.

    Raises:
        SettingError: not of that form, a stage that the verb does not know, or a name below one that has a value.
    """
    from hbaf.settings import did_you_mean

    found: dict[str, dict[str, Any]] = {}
    for change in set_ or ():
        name, equals, value = change.partition("=")
        stage, *path = name.split(".")
        if not (equals and path and all(path) and stage in stages):
            raise SettingError(
                f"--set {change}: not of the form STAGE.NAME=VALUE with a stage of {', '.join(stages)}."
                f"{did_you_mean(name, [known for known in names_of_settings() if known.split('.')[0] in stages])}"
            )
        place = found.setdefault(stage, {})
        for part in path[:-1]:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise SettingError(f"--set {change}: {part} has a value already, {place!r}. Keep one of the two.")
        try:
            place[path[-1]] = json.loads(value)
        except json.JSONDecodeError:
            place[path[-1]] = value
    return found
