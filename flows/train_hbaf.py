"""`train-hbaf`: validate, extract what is missing, train, report on dev."""

from typing import Literal

from prefect import flow

from flows import stages
from flows.validate_corpus import validate_corpus
from hbaf.parameters import CorpusParameters, FeatureParameters, ModelParameters, TrainingParameters, from_recipe
from hbaf.registry.runs import RunReference


@flow(name="train-hbaf")
def train_hbaf(
    corpus: CorpusParameters = CorpusParameters(),
    recipe: Literal["paper", "demo"] = "paper",
    features: FeatureParameters | None = None,
    model: ModelParameters | None = None,
    training: TrainingParameters | None = None,
    progress: bool = False,
) -> RunReference:
    """Trains HBAF once on train, chosen on dev; the test split is not looked at.

    Args:
        corpus: Where the conversations come from.
        recipe: The values to start from.
        features: Which representations; default: the recipe's.
        model: HBAF and its decisions; default: the recipe's.
        training: Optimiser, patience, seed; default: the recipe's.
        progress: Show progress bars.
    """
    reference = validate_corpus(corpus, progress=progress)
    start = from_recipe(recipe)
    features, model, training = features or start[0], model or start[1], training or start[2]
    columns = stages.extract(reference, features, progress)
    return stages.fit(reference, columns, features, model, training, progress)


if __name__ == "__main__":
    train_hbaf()
