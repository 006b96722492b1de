"""Verbs about models: train, evaluate, promote."""

from hbaf.verbs.options import (
    RUN_STAGES,
    Channels,
    Manifest,
    Quiet,
    Reader,
    Recipe,
    Set,
    Source,
    changes_of,
    prepare,
    settings,
)


def train(
    source: Source,
    *,
    manifest: Manifest = None,
    reader: Reader = None,
    channels: Channels = None,
    recipe: Recipe = "paper",
    set_: Set = None,  # cyclopts wants a list
    again: bool = False,
    quiet: Quiet = False,
) -> int:
    """Trains once, chosen on dev, and logs run and model package to MLflow. The test split is not looked at.

    Try:

        hbaf train example --recipe demo

        hbaf train ~/calls --set training.seed=1 --set model.variant=text

    Args:
        again: Train even if the same run is there already.
    """
    from hbaf.corpus.schema import load_corpus
    from hbaf.features.columns import extract_features
    from hbaf.registry.runs import train_and_log
    from hbaf.registry.tracking import ui_command

    features, model, training = settings(recipe, set_)
    reference = prepare(source, manifest, quiet, reader=reader, channels=channels, set_=set_, stages=RUN_STAGES)
    columns = extract_features(load_corpus(reference), features, progress=not quiet)
    run = train_and_log(reference, columns, features, model, training, progress=not quiet, again=again)
    print(
        f"{'reused' if run.reused else 'trained'} {reference.name}, {model.variant}, "
        f"recipe {training.recipe}, seed {training.seed}"
    )
    print(f"dev weighted F1 {run.weighted_f1:.3f}\nrun {run.run_id}\npackage {run.package}\nlook: {ui_command()}")
    return 0


def evaluate(
    source: Source,
    *,
    manifest: Manifest = None,
    reader: Reader = None,
    channels: Channels = None,
    set_: Set = None,
    model: str | None = None,
    final: bool = False,
    reason: str = "hbaf evaluate --final",
    quiet: Quiet = False,
) -> int:
    """Scores the champion on dev, or, with `--final`, on the test split; each look at that is written down.

    Try:

        hbaf evaluate example

        hbaf evaluate example --final --reason "table 2 of the report"

    Args:
        model: Registered model; default: the only one with a champion.
        final: Look at the test split.
        reason: Why, for the ledger of looks.
    """
    from hbaf.corpus.schema import load_corpus
    from hbaf.features.columns import extract_features
    from hbaf.registry.models import find_model, load_package
    from hbaf.registry.records.test_looks import share_test_looks
    from hbaf.statistics import interval
    from hbaf.training.data import load_split, read_vectors
    from hbaf.training.evaluate import evaluate_final, predict

    champion = find_model(model)
    package = load_package(champion)
    corpus = load_corpus(prepare(source, manifest, quiet, reader=reader, channels=channels, set_=set_))
    vectors = read_vectors(corpus, extract_features(corpus, package.facts.features, progress=not quiet))
    if final:
        predictions = evaluate_final(package, corpus, vectors, reason=reason)
        share_test_looks()
    else:
        dev = load_split(corpus, vectors, package.representation, "dev")
        predictions = predict(package.system, dev, package.facts.emotions)
    low, high = interval(predictions.counts())
    print(f"{champion.label} on {corpus.name}, {'test' if final else 'dev'}: {len(predictions.truth)} utterances")
    for name, value in predictions.metrics().items():
        print(f"  {name:14} {value:.3f}" + (f"  (95 %: {low:.3f} to {high:.3f})" if name == "weighted_f1" else ""))
    return 0


def promote(
    source: Source,
    *,
    manifest: Manifest = None,
    reader: Reader = None,
    channels: Channels = None,
    set_: Set = None,
    model: str | None = None,
    run: str | None = None,
    yes: bool = False,
    quiet: Quiet = False,
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
    from hbaf.corpus.schema import load_corpus
    from hbaf.features.columns import extract_features
    from hbaf.parameters import PromotionParameters
    from hbaf.promotion.best_run import best_run
    from hbaf.promotion.promote import promote as decide
    from hbaf.training.package import ModelPackage
    from hbaf.verbs.promotion import ask_person, show

    stages = ("corpus", "promotion")
    rules = PromotionParameters(**changes_of(set_, stages).get("promotion", {}))
    reference = prepare(source, manifest, quiet, reader=reader, channels=channels, set_=set_, stages=stages)
    candidate = best_run(reference, run, margin=rules.search_margin)
    features = ModelPackage.load(candidate.package).facts.features
    columns = extract_features(load_corpus(reference), features, progress=not quiet)
    verdict = decide(candidate, reference, columns, name=model, rules=rules, ask=ask_person(yes))
    show(verdict)
    return 0 if verdict.promoted else 1
