"""Utterances as a fine-tuned encoder learns from them: batches of like length, one mean vector each.

B utterances in a batch, D width of the encoder.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch

from hbaf.corpus.schema import Corpus
from hbaf.corpus.sound.audio import SAMPLE_RATE, AudioProblem, load_audio
from hbaf.corpus.windows import as_window, text_items
from hbaf.features.audio.speech_models import SpeechModel, frames_of, load_speech_model, padded
from hbaf.features.extract import Segment, audio_segments
from hbaf.features.text.language_models import (
    LanguageModel,
    length_batches,
    load_text_model,
    load_tokenizer,
    masked_mean,
)
from hbaf.features.text.windows import own_tokens
from hbaf.features.transformers_internals import frame_counts, freeze_front_end


class FineTuneError(ValueError):
    """There is nothing to fine-tune, or nothing to learn from."""


class Examples(Protocol):
    """Every utterance of a corpus, by its row.

    Attributes:
        usable: (rows,) bool: whether the utterance has this modality.
        lengths: (rows,) what batches are sorted by, so that little is padded.
    """

    usable: np.ndarray
    lengths: np.ndarray

    def load_model(self) -> Any:
        """The base model, with fresh weights from disk."""
        ...

    def means(self, model: Any, rows: Sequence[int]) -> torch.Tensor:
        """(B, D): the mean over the utterance's tokens or frames of the last layer."""
        ...

    def items(self, rows: Sequence[int]) -> list[Any]:
        """What an extractor takes."""
        ...


class TextExamples:
    """Texts for a language model, with the turns before where it reads them."""

    def __init__(self, base: LanguageModel, corpus: Corpus) -> None:
        self.base = base
        self.texts = [item or "" for item in text_items(corpus.utterances, base.context)]
        windows = [as_window(item) for item in self.texts]
        self.usable = np.array([bool(window.text.strip()) for window in windows])
        self.padding = int(load_tokenizer(base.weights).pad_token_id)
        self.tokens, self.starts = base.tokenize(windows)
        self.lengths = np.array([len(tokens) for tokens in self.tokens])

    def load_model(self) -> Any:
        """The base language model, with fresh weights from disk."""
        return load_text_model(self.base.weights)

    def means(self, model: Any, rows: Sequence[int]) -> torch.Tensor:
        """(B, D): mean of the last layer over the tokens of the turn itself; turns before are context alone."""
        device = next(model.parameters()).device
        ((order, ids, mask),) = length_batches([self.tokens[row] for row in rows], len(rows), self.padding)
        mask = mask.to(device)
        states = model(input_ids=ids.to(device), attention_mask=mask).last_hidden_state  # (B, T, D)
        own = own_tokens(mask, [self.starts[rows[place]] for place in order])
        return masked_mean(states.float(), own)[np.argsort(order)]

    def items(self, rows: Sequence[int]) -> list[Any]:
        """What the language model's `extract` takes: the texts, with the turns before where it reads them."""
        return [self.texts[row] for row in rows]


class SpeechExamples:
    """Signals for a speech model, read when they are needed.

    Args:
        seconds: longest part of an utterance that is heard: from its beginning.
    """

    def __init__(self, base: SpeechModel, corpus: Corpus, seconds: float) -> None:
        self.base, self.samples = base, int(seconds * SAMPLE_RATE)
        self.segments: list[Segment | None] = audio_segments(corpus)
        self.usable = np.array([self._readable(row) for row in range(len(self.segments))])
        known = corpus.utterances["seconds"].to_numpy(float, na_value=0.0) if "seconds" in corpus.utterances else None
        self.lengths = np.zeros(len(self.segments)) if known is None else np.minimum(known, seconds)

    def load_model(self) -> Any:
        """The base speech model with fresh weights; its convolutional front end is frozen, SpecAugment off."""
        model = load_speech_model(self.base.weights)
        freeze_front_end(model)
        model.config.mask_time_prob = 0.0  # SpecAugment fails on signals shorter than its masks
        model.config.mask_feature_prob = 0.0
        return model

    def means(self, model: Any, rows: Sequence[int]) -> torch.Tensor:
        """(B, D): mean of the last layer over the frames that are signal, of the first `seconds` of each utterance."""
        device = next(model.parameters()).device
        pieces = [self.base.pieces(signal[: self.samples])[0] for signal in self.items(rows)]
        samples, mask = padded(pieces)
        mask = mask.to(device)
        hidden, _ = frames_of(model, samples.to(device), mask if self.base.pads else None)
        # Where the model takes no mask, padding is silence to it; the mean leaves its frames out all the same.
        frames = frame_counts(model, mask.sum(dim=1))
        heard = torch.arange(hidden[-1].shape[1], device=device)[None] < frames[:, None]
        return masked_mean(hidden[-1].float(), heard)

    def items(self, rows: Sequence[int]) -> list[Any]:
        """What the speech model's `extract` takes: the decoded signals, whole; rows without a segment are left out."""
        found = [self.segments[row] for row in rows]
        return [load_audio(s.path, channel=s.channel, start=s.start, end=s.end) for s in found if s is not None]

    def _readable(self, row: int) -> bool:
        if self.segments[row] is None:
            return False
        try:
            return bool(self.base.pieces(self.items([row])[0]))
        except AudioProblem:
            return False


def make_examples(corpus: Corpus, base: object, seconds: float) -> Examples:
    """Examples for a base extractor.

    Raises:
        FineTuneError: it is no encoder with weights.
    """
    if isinstance(base, LanguageModel):
        return TextExamples(base, corpus)
    if isinstance(base, SpeechModel):
        return SpeechExamples(base, corpus, seconds)
    raise FineTuneError(
        f"{getattr(base, 'name', base)}: cannot be fine-tuned. Name a text encoder (`minilm`, `encoder:ID`) or a "
        "speech model (`wav2vec2`, `speech:ID`)."
    )
