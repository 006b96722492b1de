"""Systems x seeds x corpora x representations, as runs that are kept and never made twice."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hbaf.comparison.jobs import Job, Outcome, finished, loaded, run_job
from hbaf.comparison.systems import Entrant, parse_systems
from hbaf.comparison.tuning import choose, trial_changes
from hbaf.corpus.schema import CorpusReference
from hbaf.features.columns import Columns, extract_features
from hbaf.parameters import ComparisonParameters, FeatureParameters, from_recipe
from hbaf.processes import cores, run_in_processes

Say = Callable[[str, int, int], None]  # what ended, the how-manieth, of how many
TRIAL_SEED = 1000  # far from the seeds that are reported


def silent(message: str, count: int, of: int) -> None:
    """Shows nothing."""


@dataclass(frozen=True)
class Cell:
    """One corpus with one pair of representations: rows of the same cell may be compared with each other."""

    reference: CorpusReference
    columns: Columns
    features: FeatureParameters

    @property
    def name(self) -> str:
        """`<corpus>: <audio> + <text>`, with the commonsense column where there is one: the heading of its table."""
        commonsense = f" + {self.features.commonsense}" if self.features.commonsense else ""
        return f"{self.reference.name}: {self.features.audio} + {self.features.text}{commonsense}"


@dataclass(frozen=True)
class Run:
    """A job and what came of it."""

    cell: Cell
    job: Job
    outcome: Outcome


@dataclass(frozen=True)
class Comparison:
    """All runs of a comparison, failed ones too, in the order of cells, systems and seeds."""

    asked: ComparisonParameters
    cells: tuple[Cell, ...]
    runs: tuple[Run, ...]


def cells_of(
    references: Sequence[CorpusReference],
    asked: ComparisonParameters,
    changes: dict[str, dict[str, Any]],
    *,
    progress: bool = False,
) -> tuple[Cell, ...]:
    """Extracts what is missing of every column. `changes` are those of the command line, by stage."""
    start = from_recipe(asked.recipe, features=changes.get("features"))[0]
    found = []
    for reference, audio, text in itertools.product(
        references, asked.audio or (start.audio,), asked.text or (start.text,)
    ):
        features = FeatureParameters(**{**start.model_dump(), "audio": audio, "text": text})
        columns = extract_features(reference.corpus, features, progress=progress)
        found.append(Cell(reference, columns, features))
    return tuple(found)


def job_of(
    cell: Cell, entrant: Entrant, seed: int, asked: ComparisonParameters, changes: dict[str, dict[str, Any]]
) -> Job:
    """A run of a system at the values of its recipe, with the changes of the command line."""
    recipe = entrant.recipe or asked.recipe
    features, model, training = from_recipe(
        recipe, **{stage: changes.get(stage, {}) for stage in ("features", "model", "training")}
    )
    named = {name: getattr(cell.features, name) for name in ("audio", "text", "commonsense", "settings", "store")}
    return Job(
        entrant=entrant,
        reference=cell.reference,
        columns=cell.columns,
        features=FeatureParameters(**{**features.model_dump(), **named}),
        model=model,
        training=type(training)(**{**training.model_dump(), "seed": seed}),
        trials=asked.trials,
        watch_test=asked.selection == "as-published",
        reason=asked.reason,
    )


def compare(
    cells: Sequence[Cell],
    asked: ComparisonParameters,
    changes: dict[str, dict[str, Any]] | None = None,
    *,
    say: Say = silent,
    done: Callable[[Run], None] = lambda run: None,
) -> Comparison:
    """Runs what is missing.

    Args:
        changes: of the command line, by stage, over every recipe.
        say: called as each run ends.
        done: is given each final run as it ends, such as to log it.

    Raises:
        hbaf.comparison.systems.UnknownSystem: before anything runs.
        hbaf.parameters.RecipeError: likewise.
    """
    changes = changes or {}
    entrants = entrants_of(asked)
    for entrant in entrants:
        from_recipe(entrant.recipe or asked.recipe)
    rows = [(cell, entrant) for cell in cells for entrant in entrants]
    bases = {(cell.name, entrant.name): job_of(cell, entrant, 0, asked, changes) for cell, entrant in rows}
    chosen = _tune(rows, bases, asked, say)
    wanted: list[tuple[Cell, Job]] = []
    for cell, entrant in rows:
        base, found = bases[cell.name, entrant.name], chosen.get((cell.name, entrant.without_chain().name), {})
        for seed in range(asked.first_seed, asked.first_seed + (entrant.seeds or asked.seeds)):
            training = base.training.model_copy(update={"seed": seed})
            wanted.append((cell, replace(base, training=training, changes=found)))
    outcomes: dict[int, Outcome] = {}
    for number, outcome in run_all([job for _, job in wanted], asked.workers):
        outcomes[number] = outcome
        cell, job = wanted[number]
        say(line(job, outcome), len(outcomes), len(wanted))
        done(Run(cell, job, outcome))
    runs = tuple(Run(cell, job, outcomes[number]) for number, (cell, job) in enumerate(wanted))
    return Comparison(asked, tuple(cells), runs)


def entrants_of(asked: ComparisonParameters) -> tuple[Entrant, ...]:
    """The systems asked for and, with `chain`, each of them with the chain too."""
    named = parse_systems(asked.systems)
    with_it = [entrant.with_chain() for entrant in named] if asked.chain else []
    return tuple({entrant.name: entrant for entrant in (*named, *with_it)}.values())


def _tune(
    rows: Sequence[tuple[Cell, Entrant]],
    bases: dict[tuple[str, str], Job],
    asked: ComparisonParameters,
    say: Say,
) -> dict[tuple[str, str], dict[str, Any]]:
    """(cell, system) -> the trial with the best weighted F1 on dev; the same budget and the same points for all.

    A system with the chain is the run of the system without it, tuned without it.
    """
    if asked.trials < 2:
        return {}
    jobs: list[tuple[tuple[str, str], Job]] = []
    alone = {(cell.name, e.without_chain().name): (cell, e) for cell, e in rows if not e.is_hub}
    for (_, name), (cell, entrant) in alone.items():
        base = replace(bases[cell.name, entrant.name], entrant=entrant.without_chain())
        training = base.training.model_copy(update={"seed": TRIAL_SEED})
        for changes in trial_changes(asked.trials, base):
            jobs.append(((cell.name, name), replace(base, training=training, changes=changes, is_trial=True)))
    results: dict[tuple[str, str], list[tuple[Job, Outcome]]] = {}
    for count, (number, outcome) in enumerate(run_all([job for _, job in jobs], asked.workers), 1):
        row, job = jobs[number]
        results.setdefault(row, []).append((job, outcome))
        say(f"trial {line(job, outcome)}", count, len(jobs))
    return {row: choose(found) for row, found in results.items()}


def line(job: Job, outcome: Outcome) -> str:
    """One line of progress."""
    head = f"{job.label()} seed {job.training.seed}"
    if outcome.facts is None:
        return f"{head}: FAILED, {outcome.failure}"
    facts = outcome.facts
    took = "" if facts.seconds_an_epoch is None else f" of {facts.seconds_an_epoch:.2f} s"
    reused = ", reused" if outcome.reused else ""
    return f"{head}: dev {facts.dev['weighted_f1']:.3f}, {facts.epochs} epochs{took}{reused}"


def run_all(jobs: Sequence[Job], workers: int | None) -> Iterator[tuple[int, Outcome]]:
    """Outcomes as they come, by the place of the job; first those that are there already.

    A process that dies, such as for want of memory, costs its own job alone.
    """
    missing = []
    for number, job in enumerate(jobs):
        if (done := finished(job)) is not None:
            yield number, done
        else:
            missing.append(number)
    if not missing:
        return
    several = workers or default_workers()
    # Selections are fitted before the processes begin, or all would wait for the first.
    for data in dict.fromkeys(jobs[n].loading() for n in missing):
        loaded(data)
    if several == 1:
        for number in missing:
            yield number, run_job(jobs[number])
        return
    asked = [jobs[number] for number in missing]
    for at, outcome in run_in_processes(run_job, asked, several, _begin):
        died = Outcome(asked[at].folder(), None, "the process was killed, perhaps for want of memory")
        yield missing[at], outcome or died


def default_workers() -> int:
    """One process per core; one in all where there is a GPU, which they would fight for."""
    import torch

    return 1 if torch.cuda.is_available() else cores()


def _begin() -> None:
    """Each process is one of several on the same cores."""
    import torch

    from hbaf.home import prepare_environment

    prepare_environment()
    torch.set_num_threads(1)
