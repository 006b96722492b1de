"""Verbs about searches: the search itself, and a worker for one that runs elsewhere."""

import json
from typing import Annotated

from cyclopts import Parameter

from hbaf.verbs.options import AS_IS, RUN_STAGES, CorpusOptions, Recipe, SettingError, Source, aloud

Space = Annotated[
    list[str] | None,
    Parameter(
        negative="",
        help="NAME=LOW,HIGH changes a range, NAME=VALUE fixes a value: `tau=0.05,0.5`, `mu=0.2`. Repeatable.",
    ),
]
Storage = Annotated[
    str | None,
    Parameter(
        help="Database URL of the study; default: HBAF_SEARCH_STORAGE in the environment, or SQLite in the home."
    ),
]


def search(
    source: Source,
    *,
    trials: int = 40,
    hours: float | None = None,
    workers: int = 1,
    study: str | None = None,
    storage: Storage = None,
    space: Space = None,
    folds: int = 1,
    top: int = 3,
    seeds: int = 5,
    workers_per_gpu: int = 1,
    recipe: Recipe = "paper",
    options: CorpusOptions = AS_IS,
) -> int:
    """Searches learning rate, λ1, λ2, λ3, μ and τ; trains the best settings again over new seeds; registers the best.

    Scores are weighted F1 on dev; the registered model is a candidate for `hbaf promote`.

    When run again with the same study name, it continues where it stopped.

    Try:

        hbaf search example --recipe demo --trials 40 --workers 2

        hbaf search ~/calls --hours 8 --space tau=0.05,0.5 --space mu=0.2

    Args:
        trials: Number of trials that the study ends with, over all its runs; 0 with --hours: as many as fit.
        hours: Hours after which no new trial begins.
        workers: Number of processes on this machine.
        study: Name of the study; default: made from corpus and settings.
        folds: Cross-validation over train and dev by dialogue: a trial trains once per fold. 1: the corpus's own dev.
        top: Number of best settings that are trained again.
        seeds: Number of new seeds for each of them.
        workers_per_gpu: Number of workers that share one GPU.
    """
    from hbaf import pipeline
    from hbaf.parameters import SearchParameters
    from hbaf.search.worker import end_in_order

    asked = SearchParameters(
        trials=trials, hours=hours, workers=workers, study=study, storage=storage, space=changes(space), folds=folds,
        top=top, seeds=seeds, workers_per_gpu=workers_per_gpu,
    )  # fmt: skip
    if not asked.wanted:
        raise SettingError("--trials 0: nothing to search. Give trials, or --hours; `hbaf train` trains once.")
    end_in_order()
    outcome = pipeline.search(
        options.corpus(source, RUN_STAGES),
        options.settings(recipe),
        asked,
        say=(lambda text: None) if options.quiet else (lambda text: print(text, flush=True)),
        progress=options.progress,
        step=aloud,
    )
    print("\n".join(outcome.lines()))
    print(f"next: hbaf promote {source}")
    return 0


def search_worker(study: str, *, storage: Storage = None, number: int = 0) -> int:
    """Runs trials of a study that `hbaf search` or the flow `train-hbaf` started, until the study is done.

    It may run on another machine, but must reach the same feature store and MLflow; it checks both before it begins.

    Try:

        hbaf search-worker nightly --storage postgresql+psycopg2://me@db/hbaf

    Args:
        study: Name of the study.
        number: A number that no other worker has, such as the task number of Slurm.
    """
    from hbaf.home import prepare_environment
    from hbaf.parameters import SearchParameters
    from hbaf.search.plan import storage_url
    from hbaf.search.worker import end_in_order, work

    prepare_environment()
    end_in_order()
    work(study, storage_url(SearchParameters(storage=storage)), number=number)
    return 0


def changes(space: list[str] | None) -> dict[str, tuple[float, float] | float]:
    """`["tau=0.05,0.5", "mu=0.2"]` -> `{"tau": (0.05, 0.5), "mu": 0.2}`."""
    found: dict[str, tuple[float, float] | float] = {}
    for change in space or ():
        name, equals, value = change.partition("=")
        try:
            numbers: list[float] = json.loads(f"[{value}]")
            found[name] = (float(numbers[0]), float(numbers[1])) if len(numbers) == 2 else float(numbers[0])
        except (ValueError, IndexError, TypeError):
            equals = ""
        if not equals or len(numbers) > 2:
            raise SettingError(f"--space {change}: not of the form NAME=LOW,HIGH or NAME=VALUE.")
    return found
