"""The verb that chooses what to label next."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from hbaf.verbs.options import AS_IS, CorpusOptions, Source, aloud

if TYPE_CHECKING:
    from rich.table import Table

    from hbaf.labelling.sample import Chosen


def sample(
    source: Source,
    *,
    turns: int = 200,
    random: float = 0.25,
    seed: int = 0,
    scores: Annotated[list[Path] | None, Parameter(negative="")] = None,
    to: str = "",
    output: Path | None = None,
    options: CorpusOptions = AS_IS,
) -> int:
    """Chooses the conversations to label first, and writes them as files to label in.

    Whole conversations: those of whose turns the model is least sure, on which words and voice alone say different
    things, and which add classes and speakers; a part is drawn by chance, and alone gives honest estimates. Needs
    scores of the corpus (`hbaf score`); without any, it goes by speakers and chance.

    Try:

        hbaf sample ~/calls --turns 200

        hbaf sample ~/calls --turns 200 --to label-studio,textgrid --output to-label

    Args:
        turns: How many unlabelled turns to choose, at least.
        random: Share of them that is drawn by chance, 0 to 1.
        seed: Another seed draws other conversations.
        scores: Folder of scores or published dataset; default: the latest scores in the home folder. Repeatable.
        to: Also write files, comma-separated: label-studio, textgrid (Praat), eaf (ELAN), audacity. The model's
            predictions stand in them, marked as such.
        output: Folder for these files and a table, sample.csv.
    """
    from rich.console import Console

    from hbaf import pipeline

    done = pipeline.sample(
        options.corpus(source),
        turns=turns,
        random_share=random,
        seed=seed,
        scores=tuple(scores or ()),
        to=to,
        output=output,
        progress=options.progress,
        step=aloud,
    )
    if not done.scored:
        print("no scores of this corpus are known, so it is chosen by speakers and chance: `hbaf score` it for more")
    Console().print(_table(done.chosen))
    by_chance = sum(one.candidate.turns for one in done.chosen if one.part == "random")
    whole = sum(one.candidate.turns for one in done.chosen)
    print(f"{whole} of {done.open_turns} unlabelled turns in {len(done.chosen)} conversations:")
    print(f"  {by_chance} drawn by chance: these alone estimate how good a model is on this corpus")
    print(f"  {whole - by_chance} chosen: to learn from")
    if done.files:
        print(f"files: {len(done.files)} in {output}")
    if done.without_times:
        print(f"  {done.without_times} conversations have no times, so no tiers were written of them")
    return 0


def _table(chosen: "Sequence[Chosen]") -> "Table":
    from rich.markup import escape
    from rich.table import Table

    table = Table("part", "conversation", "turns", "unsure", "differ", "speakers", "predicted")
    for part, one in ((each.part, each.candidate) for each in chosen):
        figures = ["" if value != value else f"{value:.2f}" for value in (one.uncertainty, one.disagreement)]
        predicted = ", ".join(name for name, _ in one.classes.most_common(2)) + (" ..." if len(one.classes) > 2 else "")
        cells = (part, one.dialogue_id, str(one.turns), *figures, str(len(one.speakers)), predicted)
        table.add_row(*map(escape, cells))
    return table
