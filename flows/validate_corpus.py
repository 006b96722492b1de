"""`validate-corpus`: source -> saved corpus, held against the rules."""

from prefect import flow

from flows.stages import run_name, step
from hbaf import pipeline
from hbaf.corpus.schema import CorpusReference
from hbaf.parameters import CorpusParameters, ValidationParameters


@flow(name="validate-corpus", flow_run_name=run_name)
def validate_corpus(
    corpus: CorpusParameters = CorpusParameters(),
    rules: ValidationParameters = ValidationParameters(),
    split: bool = True,
    progress: bool = False,
) -> CorpusReference:
    """Reads a corpus, measures its audio and checks it; fails if a critical rule does.

    Args:
        corpus: Where the conversations come from.
        rules: What is plausible.
        split: Assign dialogues to train, dev and test where the source does not.
        progress: Show progress bars.
    """
    found = pipeline.validate(corpus, rules, split=split, progress=progress, step=step)
    found.result.raise_if_failed()
    return found.reference


if __name__ == "__main__":
    validate_corpus()
