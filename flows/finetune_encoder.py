"""`finetune-encoder`: validate, fine-tune on train with cross-fit, report on dev."""

from prefect import flow

from flows.stages import run_name, step
from hbaf import pipeline
from hbaf.parameters import CorpusParameters, FineTuneParameters
from hbaf.training.finetuning.finetune import EncoderReference


@flow(name="finetune-encoder", flow_run_name=run_name)
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
    return pipeline.finetune(corpus, finetune, progress=progress, step=step).encoder


if __name__ == "__main__":
    finetune_encoder()
