"""Whisper through CTranslate2, by faster-whisper: the engine of the extra `words`."""

import importlib.metadata
import importlib.util

import numpy as np

from hbaf.corpus.text.recognisers.words import Word
from hbaf.parameters import WordsParameters
from hbaf.transcription.engine import TranscriptionError, no_engine
from hbaf.transcription.models import locate_model


class FasterWhisper:
    """Any Whisper in the form of CTranslate2; see `hbaf.transcription.engine.Engine`."""

    name = "faster-whisper"

    def __init__(self, parameters: WordsParameters, threads: int = 1) -> None:
        if importlib.util.find_spec("faster_whisper") is None:
            raise TranscriptionError(no_engine())
        weights = locate_model(parameters)
        import ctranslate2
        from faster_whisper import WhisperModel

        self.version = importlib.metadata.version("faster-whisper")
        self.model, self.revision = weights.model, weights.revision
        on_gpu = parameters.device != "cpu" and ctranslate2.get_cuda_device_count() > 0
        chosen = "float16" if on_gpu else "int8"
        precision = chosen if parameters.precision == "auto" else parameters.precision
        self._whisper = WhisperModel(
            str(weights.folder), device=parameters.device, compute_type=precision, cpu_threads=threads,
            local_files_only=True,
        )  # fmt: skip
        self._beam = parameters.beam
        known = self._whisper.supported_languages
        if parameters.language is not None and parameters.language not in known:
            raise TranscriptionError(
                f"words.language={parameters.language}: {self.model} knows {', '.join(known[:8])}"
                f"{' ...' if len(known) > 8 else ' alone'}. Name a model that knows it, as "
                "`--set words.model=Systran/faster-whisper-small`."
            )

    def words(self, samples: np.ndarray, language: str | None) -> tuple[list[Word], str]:
        """The words of a stretch of speech and its language."""
        segments, heard = self._whisper.transcribe(
            samples, language=language, beam_size=self._beam, word_timestamps=True, condition_on_previous_text=False
        )
        words = [
            Word(word.word, float(word.start), float(word.end)) for segment in segments for word in segment.words or ()
        ]
        return words, heard.language
