"""Verbs about models: train, evaluate, promote."""

from hbaf.verbs.options import AS_IS, RUN_STAGES, CorpusOptions, Recipe, Source, aloud


def train(source: Source, *, recipe: Recipe = "paper", again: bool = False, options: CorpusOptions = AS_IS) -> int:
    """Trains once, chosen on dev, and logs run and model package to MLflow. The test split is not used.

    The corpus is validated before, and the model is registered as a candidate after.

    Try:

        hbaf train example --recipe demo

        hbaf train ~/calls --set training.seed=1 --set model.variant=text

    Args:
        again: Train even if the same run is there already.
    """
    from hbaf import pipeline
    from hbaf.registry.tracking import ui_command

    found = pipeline.train(
        options.corpus(source, RUN_STAGES), options.settings(recipe), again=again, progress=options.progress, step=aloud
    )
    run, (_, model, training) = found.run, found.settings
    print(
        f"{'reused' if run.reused else 'trained'} {found.reference.name}, {model.variant}, "
        f"recipe {training.recipe}, seed {training.seed}"
    )
    print(f"dev weighted F1 {run.weighted_f1:.3f}\nrun {run.run_id}\npackage {run.package}")
    print(f"candidate {found.model} version {found.version}\nview: {ui_command()}")
    return 0


def evaluate(
    source: Source,
    *,
    model: str | None = None,
    final: bool = False,
    reason: str = "hbaf evaluate --final",
    options: CorpusOptions = AS_IS,
) -> int:
    """Scores the champion on dev, or, with `--final`, on the test split; each use of that is written down.

    Try:

        hbaf evaluate example

        hbaf evaluate example --final --reason "table 2 of the report"

    Args:
        model: Registered model; default: the only one with a champion.
        final: Use the test split.
        reason: Why, for the list of uses of the test split (`test-looks.jsonl` of the home).
    """
    from hbaf import pipeline

    found = pipeline.evaluate(
        options.corpus(source), model=model, final=final, reason=reason, progress=options.progress, step=aloud
    )
    low, high = found.interval
    print(f"{found.model} on {found.corpus}, {found.split}: {len(found.predictions.truth)} utterances")
    for name, value in found.predictions.metrics().items():
        print(f"  {name:14} {value:.3f}" + (f"  (95 %: {low:.3f} to {high:.3f})" if name == "weighted_f1" else ""))
    return 0


def promote(
    source: Source,
    *,
    model: str | None = None,
    run: str | None = None,
    yes: bool = False,
    options: CorpusOptions = AS_IS,
) -> int:
    """Makes the best run of a corpus the champion, if it meets every rule; exit code 1 if not (docs/promotion.md).

    It is held against the present champion, or against the floors, on dialogues that neither fit nor search has seen.

    Try:

        hbaf promote example

        hbaf promote example --run 0123456789abcdef --set promotion.class_floor=0.1

        hbaf promote example --set promotion.approval=true

    Args:
        model: Registered name; default `hbaf-<corpus>`.
        run: MLflow run id; default: of all variants, the newest search's candidate or the best on dev.
        yes: Agree beforehand where `promotion.approval` asks.
    """
    from hbaf import pipeline
    from hbaf.parameters import PromotionParameters
    from hbaf.verbs.promotion import ask_person, show

    stages = ("corpus", "promotion")
    verdict = pipeline.promote(
        options.corpus(source, stages),
        run,
        model=model,
        rules=PromotionParameters(**options.of("promotion", stages)),
        ask=ask_person(yes),
        progress=options.progress,
        step=aloud,
    )
    show(verdict)
    return 0 if verdict.promoted else 1
