"""`extract-features`: saved corpus -> feature columns; only what is missing."""

from prefect import flow

from flows.recipe import FeatureChanges, Recipe, with_changes
from flows.stages import run_name, step
from hbaf import pipeline
from hbaf.features.columns import Columns
from hbaf.parameters import CorpusParameters


@flow(name="extract-features", flow_run_name=run_name)
def extract_features(
    corpus: CorpusParameters = CorpusParameters(),
    recipe: Recipe = "paper",
    features: FeatureChanges | None = None,
    progress: bool = False,
) -> Columns:
    """Validates a corpus and extracts every column that a recipe reads.

    Args:
        corpus: Where the conversations come from.
        recipe: The values to start from.
        features: Which representations; what is left out is the recipe's.
        progress: Show progress bars.
    """
    settings = with_changes(recipe, features=features)
    return pipeline.extract(corpus, settings, progress=progress, step=step).columns


if __name__ == "__main__":
    extract_features()
