"""Verbs about searches: the search itself, and a worker for one that runs elsewhere."""

import json
from typing import Annotated

from cyclopts import Parameter

from hbaf.verbs.options import AS_IS, RUN_STAGES, CorpusOptions, Recipe, SettingError, Source, aloud

Space = Annotated[
    list[str] | None,
    Parameter(negative="", help="NAME=LOW,HIGH for another range, NAME=VALUE to freeze: `tau=0.05,0.5`, `mu=0.2`."),
]
Storage = Annotated[
    str | None,
    Parameter(help="Database of the study; default: HBAF_SEARCH_STORAGE in the environment, or SQLite in the home."),
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
    """Searches learning rate, λ1-3, μ and τ, trains the best settings again over fresh seeds, registers the candidate.

    Run it again with the same study name and it goes on where it stopped.

    Try:

        hbaf search example --recipe demo --trials 40 --workers 2

        hbaf search ~/calls --hours 8 --space tau=0.05,0.5 --space mu=0.2

    Args:
        trials: Finished trials of the study, over all its runs; 0 with --hours: as many as fit.
        hours: No trial begins later than this.
        workers: Processes of this machine.
        study: Name; default: from corpus and settings.
        folds: Parts of train and dev by dialogue, each of which is dev once, so a trial trains as often; 1: own dev.
        top: Best settings that are trained again.
        seeds: Fresh seeds of each.
        workers_per_gpu: Workers that share one GPU.
    """
    from hbaf import pipeline
    from hbaf.parameters import SearchParameters
    from hbaf.registry.tracking import ui_command
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
    print(f"view: {ui_command()}\nnext: hbaf promote {source}")
    return 0


def search_worker(study: str, *, storage: Storage = None, number: int = 0) -> int:
    """Runs trials of a study that `hbaf search` or `train-hbaf` began, here or on another machine, until it is done.

    It must see the same feature store and the same MLflow; it checks both before it begins.

    Try:

        hbaf search-worker nightly --storage postgresql+psycopg2://me@db/hbaf

    Args:
        study: Name of the study.
        number: Of this worker among its fellows, such as a task number of Slurm.
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
