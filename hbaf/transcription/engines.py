"""Which engines there are, by the name in `words.engine`."""

from collections.abc import Callable

from hbaf.parameters import WordsParameters
from hbaf.transcription.engine import Engine
from hbaf.transcription.faster_whisper import FasterWhisper
from hbaf.transcription.transformers_whisper import TransformersWhisper

ENGINES: dict[str, Callable[[WordsParameters, int], Engine]] = {
    FasterWhisper.name: FasterWhisper,
    TransformersWhisper.name: TransformersWhisper,
}


def make_engine(parameters: WordsParameters, threads: int = 1) -> Engine:
    """The engine that the settings name, with its model loaded.

    Args:
        threads: that it may compute with.

    Raises:
        TranscriptionError: it is not installed, its model is not here, or the model does not know the language.
    """
    return ENGINES[parameters.engine](parameters, threads)
