"""`promote-hbaf`: the best run of a corpus against the champion."""

from prefect import flow

from flows import stages
from hbaf.parameters import CorpusParameters
from hbaf.registry.promote import Verdict
from hbaf.registry.runs import best_run
from hbaf.training.package import ModelPackage


@flow(name="promote-hbaf")
def promote_hbaf(
    corpus: CorpusParameters = CorpusParameters(),
    run: str | None = None,
    model: str | None = None,
    progress: bool = False,
) -> Verdict:
    """Registers a run's model and makes it the champion if it beats the present one on dev.

    Args:
        corpus: What the run was trained on.
        run: MLflow run id; default: the finished run of this corpus with the best dev score.
        model: Registered name; default `hbaf-<corpus>`.
        progress: Show progress bars.
    """
    reference = stages.prepare(corpus, True, progress)
    candidate = best_run(reference, run)
    features = ModelPackage.load(candidate.package).facts.features
    columns = stages.extract(reference, features, progress)
    return stages.decide(candidate, reference, columns, model)


if __name__ == "__main__":
    promote_hbaf()
