"""`train-hbaf`: validate, extract what is missing, search, refit, report on dev, register the candidate."""

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact

from flows.recipe import FeatureChanges, ModelChanges, Recipe, TrainingChanges, with_changes
from flows.stages import artifact_key, run_name, step
from flows.trial_runs import pool_workers
from hbaf import pipeline
from hbaf.parameters import CorpusParameters, SearchParameters
from hbaf.registry.runs import RunReference
from hbaf.registry.table_views import view_of
from hbaf.registry.tracking import run_address, view_address


@flow(name="train-hbaf", flow_run_name=run_name)
def train_hbaf(
    corpus: CorpusParameters = CorpusParameters(),
    recipe: Recipe = "paper",
    features: FeatureChanges | None = None,
    model: ModelChanges | None = None,
    training: TrainingChanges | None = None,
    search: SearchParameters = SearchParameters(),
    again: bool = False,
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
        again: Train once even if the same run is there already.
        progress: Show progress bars.
    """
    settings = with_changes(recipe, features=features, model=model, training=training)
    if search.wanted:
        outcome = pipeline.search(
            corpus, settings, search, workers=pool_workers(search), say=say, progress=progress, step=step
        )
        report(outcome.study, outcome.lines(), outcome.parent_run_id)
        return outcome.candidate
    found = pipeline.train(corpus, settings, again=again, progress=progress, step=step)
    run = found.run
    lines = [
        f"weighted F1 on dev {run.weighted_f1:.3f}" if run.verdict is None else run.verdict.markdown(),
        *filter(None, (found.chosen,)),
        f"candidate: {found.model} version {found.version}, run {run.run_id}",
        f"all runs of {found.reference.name}: {view_address(view_of(found.reference.name))}",
    ]
    report(f"{found.reference.name}-{settings.training.recipe}", lines, run.run_id)
    return run


def say(text: str) -> None:
    """Tells how far the search is, in the flow's log."""
    get_run_logger().info(text)


@task
def report(name: str, lines: list[str], run_id: str) -> None:
    """What came out, beside the flow run, with the way to MLflow."""
    text = "\n\n".join([*lines, f"MLflow: {run_address(run_id)}"])
    create_markdown_artifact(text, key=artifact_key(f"train-hbaf-{name}"), description=name)


if __name__ == "__main__":
    train_hbaf()
