"""What a recogniser of speech has to offer, whichever it is."""

from pathlib import Path
from typing import Protocol

import numpy as np

from hbaf.corpus.text.recognisers.words import Word

INSTALL = "pip install 'hbaf[words]'"


class TranscriptionError(RuntimeError):
    """Nothing can be transcribed here: an engine or its model is absent; the message names the next step."""


class Engine(Protocol):
    """Speech -> words.

    Attributes:
        name: as in `words.engine`.
        version: of the library.
        model: hub id, or a name of the model.
        revision: the hub's commit, or a sha256 of the weights.
    """

    name: str
    version: str
    model: str
    revision: str

    def words(self, samples: np.ndarray, language: str | None) -> tuple[list[Word], str]:
        """The words of a stretch of speech.

        Args:
            samples: (samples,) float32 at 16 kHz, half a minute at most.
            language: code such as `en`; None: to be heard.

        Returns:
            The words in order, times in seconds from the first sample, and the language.
        """
        ...


def no_engine(folder: Path | str = "FOLDER") -> str:
    """What to do where no engine is installed."""
    return (
        f"no engine that writes down speech is installed. Run `{INSTALL}`, then `hbaf transcribe {folder}`; or make "
        f"the transcripts elsewhere, with Whisper: `whisper {folder}/*.wav --word_timestamps True --output_format json "
        f"--output_dir {folder}`. It mixes the channels of a recording and names nobody."
    )
