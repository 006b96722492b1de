"""Whisper as `transformers` has it, for models that nobody converted for CTranslate2; slower on CPUs."""

import importlib.metadata
import importlib.util
from typing import Any

import numpy as np

from hbaf.corpus.sound.audio import SAMPLE_RATE
from hbaf.corpus.text.recognisers.words import Word
from hbaf.features.text.language_models import chosen_device, quiet_loading
from hbaf.parameters import WordsParameters
from hbaf.transcription.engine import TranscriptionError, no_engine
from hbaf.transcription.models import locate_model


class TransformersWhisper:
    """Any Whisper of the hub, by id and revision or in a folder; see `hbaf.transcription.engine.Engine`."""

    name = "transformers"

    def __init__(self, parameters: WordsParameters, threads: int = 1) -> None:
        if importlib.util.find_spec("faster_whisper") is None:  # it brings the voice activity
            raise TranscriptionError(no_engine())
        if parameters.precision == "int8":
            raise TranscriptionError("words.precision=int8: transformers computes in float32, and float16 on a GPU.")
        weights = locate_model(parameters)
        self.version = importlib.metadata.version("transformers")
        self.model, self.revision = weights.model, weights.revision
        import torch
        from transformers import AutoProcessor, WhisperForConditionalGeneration, pipeline

        torch.set_num_threads(threads)
        on_gpu = chosen_device(parameters.device) == "cuda"
        half = parameters.precision == "float16" or (parameters.precision == "auto" and on_gpu)
        with quiet_loading():
            # The times of words are read from the attention, which the quicker kernels do not give.
            model = WhisperForConditionalGeneration.from_pretrained(
                weights.folder, dtype=torch.float16 if half else torch.float32, attn_implementation="eager",
                local_files_only=True, weights_only=True,
            ).eval()  # fmt: skip
        if getattr(model.generation_config, "alignment_heads", None) is None:
            raise TranscriptionError(
                f"{self.model}: its generation_config.json names no `alignment_heads`, so words have no times. Take "
                "one that does, as every model of OpenAI, or a conversion for faster-whisper."
            )
        processor = AutoProcessor.from_pretrained(weights.folder, local_files_only=True)
        self._pipeline: Any = pipeline(
            "automatic-speech-recognition", model=model, tokenizer=processor.tokenizer,
            feature_extractor=processor.feature_extractor, device="cuda" if on_gpu else "cpu",
        )  # fmt: skip
        self._beam = parameters.beam
        self._languages: dict[str, int] | None = getattr(model.generation_config, "lang_to_id", None)
        known = sorted(token.strip("<|>") for token in self._languages) if self._languages else ["en"]
        if parameters.language is not None and parameters.language not in known:
            raise TranscriptionError(
                f"words.language={parameters.language}: {self.model} knows {', '.join(known[:8])}"
                f"{' ...' if len(known) > 8 else ' alone'}."
            )

    def words(self, samples: np.ndarray, language: str | None) -> tuple[list[Word], str]:
        """The words of a stretch of speech and its language."""
        language = language or self._heard(samples)
        asked = {"num_beams": self._beam, **({"language": language} if self._languages else {})}
        with quiet_loading():  # its pipeline warns of what it does itself
            found = self._pipeline(
                {"raw": samples, "sampling_rate": SAMPLE_RATE}, return_timestamps="word", generate_kwargs=asked
            )
        last = len(samples) / SAMPLE_RATE
        words = []
        for chunk in found["chunks"]:
            start, end = chunk["timestamp"]
            words.append(Word(chunk["text"], float(start or 0.0), last if end is None else float(end)))
        return words, language

    def _heard(self, samples: np.ndarray) -> str:
        if not self._languages:
            return "en"
        pipe = self._pipeline
        features = pipe.feature_extractor(samples, sampling_rate=SAMPLE_RATE, return_tensors="pt").input_features
        token = int(pipe.model.detect_language(features.to(pipe.model.device, pipe.model.dtype))[0])
        return next(name.strip("<|>") for name, number in self._languages.items() if number == token)
