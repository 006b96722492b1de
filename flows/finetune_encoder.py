"""`finetune-encoder`: validate, fine-tune on train with cross-fit, report on dev."""

from prefect import flow

from flows import stages
from flows.validate_corpus import validate_corpus
from hbaf.parameters import CorpusParameters, FineTuneParameters
from hbaf.training.finetuning.finetune import EncoderReference


@flow(name="finetune-encoder")
def finetune_encoder(
    corpus: CorpusParameters = CorpusParameters(),
    finetune: FineTuneParameters = FineTuneParameters(),
    progress: bool = False,
) -> EncoderReference:
    """Fine-tunes a text or speech encoder; its name goes into `features.text` or `features.audio` of train-hbaf.

    Args:
        corpus: Where the conversations come from.
        finetune: Base model, folds, optimiser.
        progress: Show the losses of every epoch.
    """
    reference = validate_corpus(corpus, progress=progress)
    return stages.finetune(reference, finetune, progress)


if __name__ == "__main__":
    finetune_encoder()
