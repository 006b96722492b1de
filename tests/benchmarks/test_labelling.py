"""What labels are worth on the example corpus with its labels hidden, and whether `hbaf sample` beats chance.

Turns of train are labelled in rounds: 50, then up to 100, 200, 400. `sample` chooses each round by the model of the
round before (the first by speakers and chance, as nothing is scored yet), a quarter of it at random; `random` draws
whole conversations. Dev keeps its labels, which choose the epoch and calibrate. Weighted F1 on test, three seeds.
"""

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hbaf.corpus.schema import Corpus
from hbaf.inference.predictor import Predictor
from hbaf.labelling.curve import Curve, Point, draw_part, figure_of, labelled_turns, save_figure, train_on
from hbaf.labelling.sample import candidates, choose
from hbaf.parameters import Settings, from_recipe
from hbaf.statistics import paired_difference
from hbaf.training.data import Vectors, read_vectors
from hbaf.training.evaluate import evaluate_final
from hbaf.training.package import ModelPackage
from hbaf.training.quality.calibration import calibrate

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(7200)]
SIZES = [int(size) for size in os.environ.get("HBAF_BENCH_LABELS", "50,100,200,400").split(",")]
SEEDS = int(os.environ.get("HBAF_BENCH_SEEDS", "3"))
PICTURE = os.environ.get("HBAF_BENCH_PICTURE")  # where the plot goes; default: it is drawn and thrown away


@pytest.fixture
def bench_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home with the example's features (HBAF_BENCH_HOME), where there is one: extraction takes minutes."""
    if kept := os.environ.get("HBAF_BENCH_HOME"):
        monkeypatch.setenv("HBAF_HOME", kept)


def test_labels_chosen_against_labels_at_random(bench_home: None, tmp_path: Path) -> None:
    from hbaf import pipeline

    settings = from_recipe("demo", training={"members": 1, "label_chain": "none", "threads": 1})
    found = pipeline.extract("example", settings)
    corpus, vectors = found.reference.corpus, read_vectors(found.reference.corpus, found.columns)
    ways = {"sample": by_sample, "random": by_chance}
    began, counts = time.perf_counter(), {}
    points: dict[str, list[Point]] = {way: [Point(0, 0, guesses(corpus))] for way in ways}
    for way, choose_more in ways.items():
        scores: dict[int, list[float]] = {size: [] for size in SIZES}
        labels: dict[int, list[int]] = {size: [] for size in SIZES}
        for seed in range(SEEDS):
            part: tuple[str, ...] = ()
            package: ModelPackage | None = None
            for size in SIZES:
                part = choose_more(corpus, vectors, part, size, seed, package)
                package = trained(corpus, vectors, settings, part, seed)
                test = evaluate_final(package, corpus, vectors, reason="benchmark: what labels are worth")
                scores[size].append(test.weighted_f1())
                labels[size].append(sum(labelled_turns(corpus)[name] for name in part))
                counts.setdefault((way, size), []).append(test.counts())
                print(f"{way:7} seed {seed} {labels[size][-1]:4} labels {scores[size][-1]:.3f}", flush=True)
        points[way] += [Point(float(np.mean(labels[size])), 0, tuple(scores[size])) for size in SIZES]
    whole = trained(corpus, vectors, settings, tuple(labelled_turns(corpus)), 0)
    top = evaluate_final(whole, corpus, vectors, reason="benchmark: what labels are worth").weighted_f1()
    curves = {way: Curve("example", tuple(of), sum(labelled_turns(corpus).values())) for way, of in points.items()}
    for way, curve in curves.items():
        print(f"{way:7}", *(f"{p.labels:.0f}: {p.mean:.3f} ± {p.deviation:.3f}" for p in curve.points), sep="  ")
    print(f"all {curves['random'].whole} labels of train: {top:.3f}")
    for size in SIZES:
        gap = paired_difference(*(np.stack(counts[way, size]) for way in ways))
        print(f"sample minus random at {size}: {gap.value:+.3f} ({gap.low:+.3f} to {gap.high:+.3f}; 95 %, dialogues)")
    print(f"{time.perf_counter() - began:.0f} s")
    title = f"Example corpus, {SEEDS} seeds (band: least and most)"
    save_figure(
        figure_of(curves, title, "weighted F1 on test"), Path(PICTURE) if PICTURE else tmp_path / "labelling.png"
    )
    assert curves["random"].points[-1].mean > curves["random"].points[0].mean


def trained(corpus: Corpus, vectors: Vectors, settings: Settings, part: tuple[str, ...], seed: int) -> ModelPackage:
    """Calibrated on dev, as `hbaf train` does."""
    run = train_on(corpus, vectors, settings, part, seed)
    fitted = calibrate(run.predictions.probability, run.predictions.truth, settings.training.target_precision)
    return replace(run.package, facts=replace(run.package.facts, calibration=fitted))


def by_chance(
    corpus: Corpus, vectors: Vectors, part: tuple[str, ...], size: int, seed: int, package: ModelPackage | None
) -> tuple[str, ...]:
    return draw_part(labelled_turns(corpus), size, seed)


def by_sample(
    corpus: Corpus, vectors: Vectors, part: tuple[str, ...], size: int, seed: int, package: ModelPackage | None
) -> tuple[str, ...]:
    """The conversations of before, and what `hbaf sample` adds to them."""
    pool = corpus.in_split("train")
    scores = pd.DataFrame() if package is None else Predictor(package).predict(corpus, vectors, pool)
    hidden = pool[~pool["dialogue_id"].isin(part)].assign(emotion=None)
    more = size - sum(labelled_turns(corpus)[name] for name in part)
    chosen = choose(candidates(corpus.with_utterances(hidden), scores), more, seed=seed)
    return (*part, *(one.candidate.dialogue_id for one in chosen))


def guesses(corpus: Corpus) -> tuple[float, ...]:
    """Weighted F1 of labels drawn by chance, which is what no label at all is worth; on dev, whose mix is the same."""
    from hbaf.training.data import label_indices
    from hbaf.training.evaluate import metrics

    truth = label_indices(corpus.in_split("dev")["emotion"], corpus.emotions)
    each = (np.random.default_rng(seed).integers(0, len(corpus.emotions), len(truth)) for seed in range(SEEDS))
    return tuple(metrics(truth, guess, corpus.emotions)["weighted_f1"] for guess in each)
