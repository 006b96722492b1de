"""`train-hbaf`: validate, extract what is missing, train, report on dev."""

from prefect import flow

from flows import stages
from flows.validate_corpus import validate_corpus
from hbaf.parameters import CorpusParameters, FeatureParameters, ModelParameters, TrainingParameters
from hbaf.registry.runs import RunReference


@flow(name="train-hbaf")
def train_hbaf(
    corpus: CorpusParameters = CorpusParameters(),
    features: FeatureParameters = FeatureParameters(),
    model: ModelParameters = ModelParameters(),
    training: TrainingParameters = TrainingParameters(),
    progress: bool = False,
) -> RunReference:
    """Trains HBAF once on train, chosen on dev; the test split is not looked at.

    Args:
        corpus: Where the conversations come from.
        features: Which representations.
        model: HBAF and its decisions.
        training: Optimiser, patience, seed.
        progress: Show progress bars.
    """
    reference = validate_corpus(corpus, progress=progress)
    columns = stages.extract(reference, features, progress)
    return stages.fit(reference, columns, features, model, training, progress)


if __name__ == "__main__":
    train_hbaf()
