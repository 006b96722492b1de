"""A search on the example corpus, study and MLflow on PostgreSQL: what it finds, what a second worker saves, and what a
trial costs beyond its training (Optuna and MLflow over HTTP; goal: below 2 s)."""

import itertools
import os
import statistics
import time

import pytest

from hbaf.parameters import CorpusParameters, SearchParameters, from_recipe

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]
# Smaller by environment where a machine is shared; HBAF_BENCH_WORKERS=2 and then =1 are two shorter measurements.
WORKERS = [int(number) for number in os.environ.get("HBAF_BENCH_WORKERS", "2,1").split(",")]
TRIALS = int(os.environ.get("HBAF_BENCH_TRIALS", "40"))
EPOCHS = int(os.environ.get("HBAF_BENCH_EPOCHS", "40"))
DIALOGUES = 60


def test_a_search_on_the_example_corpus(stack: None) -> None:
    from hbaf.corpus.prepare import prepare_corpus
    from hbaf.corpus.schema import load_corpus
    from hbaf.features.columns import extract_features
    from hbaf.search.plan import storage_url
    from hbaf.search.run import run_study
    from hbaf.search.study import open_study

    features, model, training = from_recipe(
        "demo", features={"audio": "mfcc"}, training={"max_epochs": EPOCHS, "learning_rate": 1e-4, "threads": 1}
    )
    reference = prepare_corpus(CorpusParameters(dialogues=DIALOGUES))
    columns = extract_features(load_corpus(reference), features)
    took, costs = {}, {}
    for workers in WORKERS:
        asked = SearchParameters(trials=TRIALS, workers=workers, study=f"workers-{workers}", top=1, seeds=3)
        began = time.perf_counter()
        outcome = run_study(reference, columns, features, model, training, asked)
        whole = time.perf_counter() - began
        trials = open_study(asked.study or "", storage_url(asked), asked).get_trials()
        took[workers] = (
            max(t.datetime_complete for t in trials) - min(t.datetime_start for t in trials)
        ).total_seconds()
        costs[workers] = beyond_training(trials)
        print(
            f"\n{workers} workers: {len(trials)} trials ({outcome.pruned} pruned) in {took[workers]:.0f} s, "
            f"with start, refits and registration {whole:.0f} s; "
            f"{statistics.fmean(t.user_attrs['seconds'] for t in trials):.1f} s of training each, "
            f"{statistics.median(costs[workers]):.2f} s beyond it (median; 90 %: "
            f"{statistics.quantiles(costs[workers], n=10)[-1]:.2f} s)\n"
            f"  dev weighted F1: start {outcome.start:.3f}, {best_so_far(trials)}, "
            f"mean of 3 refits of the best {outcome.refits[0].mean:.3f} ± {outcome.refits[0].deviation:.3f}"
        )
    if {1, 2} <= set(took):
        print(f"two workers against one: {took[1] / took[2]:.2f} times the speed on {os.cpu_count()} cores")
    assert statistics.median(costs[WORKERS[-1]]) < 2


def best_so_far(trials: list) -> str:
    """The best complete trial after so many ended ones."""
    ended = sorted(trials, key=lambda t: t.datetime_complete)
    complete = [t.value if t.state.name == "COMPLETE" else 0.0 for t in ended]
    return ", ".join(f"best of {n} {max(complete[:n]):.3f}" for n in (5, 10, 20, 40) if n <= len(complete))


def beyond_training(trials: list) -> list[float]:
    """Seconds from one trial's start to the same worker's next, less its training."""
    costs = []
    for worker in {t.user_attrs["worker"] for t in trials}:
        own = sorted((t for t in trials if t.user_attrs["worker"] == worker), key=lambda t: t.datetime_start)
        for trial, following in itertools.pairwise(own):
            between = (following.datetime_start - trial.datetime_start).total_seconds()
            costs.append(between - trial.user_attrs["seconds"])
    return costs
