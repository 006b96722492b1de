"""Fine-tuning of an encoder with its log in MLflow: what `hbaf finetune` and the flow both call."""

from hbaf.corpus.schema import CorpusReference
from hbaf.parameters import FineTuneParameters
from hbaf.registry.tracking import EXPERIMENT, run
from hbaf.training.finetuning.finetune import EncoderReference, find_finished, finetune


def finetune_and_log(
    reference: CorpusReference,
    parameters: FineTuneParameters,
    *,
    experiment: str = EXPERIMENT,
    progress: bool = False,
) -> EncoderReference:
    """Fine-tunes an encoder on the train split of a corpus; one that was made before is taken, without a run."""
    corpus = reference.corpus
    if (done := find_finished(corpus, parameters)) is not None:
        return done
    tags = {"hbaf.kind": "encoder", "corpus_digest": reference.digest, "splits_digest": reference.splits_digest}
    name = f"{corpus.name}-encoder-{parameters.encoder.rpartition('/')[2]}-seed{parameters.seed}"
    with run(name, tags=tags, experiment=experiment) as log:
        log.log_parameters({f"finetune.{key}": value for key, value in parameters.model_dump().items()})
        encoder = finetune(corpus, parameters, log=log, progress=progress)
        log.log_metrics({f"best/{key}": value for key, value in encoder.dev.items()})
        log.log_tags({"hbaf.encoder": encoder.digest})
        log.log_file(encoder.folder / "encoder.json")
    return encoder
