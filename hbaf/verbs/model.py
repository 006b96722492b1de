"""Verbs about models: train, evaluate, promote."""

from hbaf.verbs.options import AS_IS, RUN_STAGES, CorpusOptions, Recipe, Source, aloud


def train(source: Source, *, recipe: Recipe = "paper", again: bool = False, options: CorpusOptions = AS_IS) -> int:
    """Trains one model and logs run and model to MLflow; dev chooses the epoch, the test split is not used.

    The corpus is validated first; the model is registered as a candidate that `hbaf promote` can make the champion.

    It ends in a verdict on dev: simple baselines and each modality alone beside the model, F1 of each emotion, the
    confusion that costs most, and what to do next. A corpus without words or without sound is trained with the variant
    of what it has, unless `model.variant` is set.

    Try:

        hbaf train example --recipe demo

        hbaf train ~/calls --set training.seed=1 --set model.variant=text

    Args:
        again: Train even if a run with the same data and settings exists.
    """
    from hbaf import pipeline
    from hbaf.registry.table_views import view_of
    from hbaf.registry.tracking import view_address

    found = pipeline.train(
        options.corpus(source, RUN_STAGES), options.settings(recipe), again=again, progress=options.progress, step=aloud
    )
    run, (_, model, training) = found.run, found.settings
    print(
        f"{'reused' if run.reused else 'trained'} {found.reference.name}, {model.variant}, "
        f"recipe {training.recipe}, seed {training.seed}"
    )
    if found.chosen:
        print(found.chosen)
    print(f"run {run.run_id}\npackage {run.package}")
    print(f"candidate {found.model} version {found.version}\nview: {view_address(view_of(found.reference.name))}")
    lines = [f"dev weighted F1 {run.weighted_f1:.3f}"] if run.verdict is None else run.verdict.lines()
    print("\n".join(lines))
    return 0


def evaluate(
    source: Source,
    *,
    model: str | None = None,
    run: str | None = None,
    final: bool = False,
    reason: str = "hbaf evaluate --final",
    options: CorpusOptions = AS_IS,
) -> int:
    """Measures a model on dev, or with `--final` on the test split; each use of the test split is recorded.

    It may have learned from another corpus: `--labels` says what the labels of this one count as.

    Try:

        hbaf evaluate example

        hbaf evaluate example --final --reason "table 2 of the report"

        hbaf evaluate example --run 0123456789abcdef

        hbaf evaluate ~/calls --model hbaf-example/1 --labels "calm=neutral,disgust="

    Args:
        model: Name of the registered model, whose champion is measured, or `NAME/VERSION`; default: the only champion.
            `hub:ID` is a published classifier of the Hugging Face hub (`hbaf models fetch hub:ID`).
        run: MLflow run id of any trained model, instead of a champion.
        final: Use the test split instead of dev.
        reason: Why the test split is used; recorded in `test-looks.jsonl` of the home folder.
    """
    from hbaf import pipeline

    found = pipeline.evaluate(
        options.corpus(source), model=model, run=run, final=final, reason=reason, progress=options.progress, step=aloud
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
    """Makes the best model of a corpus the champion, if it passes every rule; exit code 1 if not (docs/promotion.md).

    It is compared with the present champion, or for a first model with simple baselines, on dialogues that neither
    training nor search has seen.

    Try:

        hbaf promote example

        hbaf promote example --run 0123456789abcdef --set promotion.class_floor=0.1

        hbaf promote example --set promotion.approval=true

    Args:
        model: Name of the registered model; default `hbaf-<corpus>`.
        run: MLflow run id; default: the newest search's candidate, or the run with the best weighted F1 on dev.
        yes: Approve without being asked, where `promotion.approval` is set.
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
