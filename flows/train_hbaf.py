"""`train-hbaf`: validate, extract what is missing, search, refit, report on dev, register the candidate."""

import re

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact

from flows import stages
from flows.private import stage
from flows.recipe import FeatureChanges, ModelChanges, Recipe, TrainingChanges, with_changes
from flows.trial_runs import pool_workers
from flows.validate_corpus import validate_corpus
from hbaf.corpus.schema import CorpusReference
from hbaf.features.columns import Columns
from hbaf.parameters import (
    CorpusParameters,
    FeatureParameters,
    ModelParameters,
    SearchParameters,
    TrainingParameters,
)
from hbaf.promotion.promote import model_name
from hbaf.registry.runs import RunReference
from hbaf.registry.tracking import run_address
from hbaf.search.end import StudyOutcome, register_candidate
from hbaf.search.run import run_study


@flow(name="train-hbaf")
def train_hbaf(
    corpus: CorpusParameters = CorpusParameters(),
    recipe: Recipe = "paper",
    features: FeatureChanges | None = None,
    model: ModelChanges | None = None,
    training: TrainingChanges | None = None,
    search: SearchParameters = SearchParameters(),
    progress: bool = False,
) -> RunReference:
    """Trains HBAF on train, chosen on dev, once or as a search; the test split is not looked at.

    Args:
        corpus: Where the conversations come from.
        recipe: The values to start from.
        features: Which representations; what is left out is the recipe's.
        model: HBAF and its decisions; what is left out is the recipe's.
        training: Optimiser, patience, seed; what is left out is the recipe's.
        search: Trials, workers, ranges; `trials: 0` trains once with the values above.
        progress: Show progress bars.
    """
    settings = with_changes(recipe, features=features, model=model, training=training)
    reference = validate_corpus(corpus, progress=progress)
    columns = stages.extract(reference, settings[0], progress)
    if search.wanted:
        outcome = find_settings(reference, columns, *settings, search)
        report(outcome.study, outcome.lines(), outcome.parent_run_id)
        return outcome.candidate
    run = stages.fit(reference, columns, *settings, progress)
    name = model_name(reference.name)
    version = register_candidate(run, name, {})
    lines = [f"weighted F1 on dev {run.weighted_f1:.3f}", f"candidate: {name} version {version}, run {run.run_id}"]
    report(f"{reference.name}-{settings[2].recipe}", lines, run.run_id)
    return run


@stage
def find_settings(
    reference: CorpusReference,
    columns: Columns,
    features: FeatureParameters,
    model: ModelParameters,
    training: TrainingParameters,
    search: SearchParameters,
) -> StudyOutcome:
    """Searches settings on dev."""
    say = get_run_logger().info
    return run_study(
        reference, columns, features, model, training, search, workers=pool_workers(search), say=lambda text: say(text)
    )


@task
def report(name: str, lines: list[str], run_id: str) -> None:
    """What came out, beside the flow run, with the way to MLflow."""
    key = re.sub(r"[^a-z0-9]+", "-", f"train-hbaf-{name}".lower()).strip("-")
    create_markdown_artifact("\n\n".join([*lines, f"MLflow: {run_address(run_id)}"]), key=key, description=name)


if __name__ == "__main__":
    train_hbaf()
