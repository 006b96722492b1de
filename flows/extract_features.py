"""`extract-features`: saved corpus -> feature columns; only what is missing."""

from prefect import flow

from flows import stages
from flows.validate_corpus import validate_corpus
from hbaf.features.columns import Columns
from hbaf.parameters import CorpusParameters, FeatureParameters


@flow(name="extract-features")
def extract_features(
    corpus: CorpusParameters = CorpusParameters(),
    features: FeatureParameters = FeatureParameters(),
    progress: bool = False,
) -> Columns:
    """Validates a corpus and extracts every column that the settings name.

    Args:
        corpus: Where the conversations come from.
        features: Which representations.
        progress: Show progress bars.
    """
    reference = validate_corpus(corpus, progress=progress)
    return stages.extract(reference, features, progress)


if __name__ == "__main__":
    extract_features()
