"""`score-corpus`: new conversations -> predictions and a report."""

from prefect import flow

from flows import stages
from hbaf.parameters import CorpusParameters
from hbaf.scoring.score import KeepFeatures, Scores


@flow(name="score-corpus")
def score_corpus(
    corpus: CorpusParameters = CorpusParameters(),
    model: str | None = None,
    csv: bool = False,
    audformat: bool = False,
    keep_features: KeepFeatures = "selected",
    progress: bool = False,
) -> Scores:
    """Scores every utterance of a corpus with the champion.

    Args:
        corpus: Where the conversations come from.
        model: Registered model; default: the only one with a champion.
        csv: Also write a CSV.
        audformat: Also write an audformat database.
        keep_features: Keep the numbers that the model reads, or nothing.
        progress: Show progress bars.
    """
    reference = stages.prepare(corpus, False, progress)
    return stages.score(reference, model, csv, progress, keep_features, audformat)


if __name__ == "__main__":
    score_corpus()
