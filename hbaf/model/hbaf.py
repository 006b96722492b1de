"""HBAF: two context networks, their fusion, contrastive learning and the classifier (docs/method.md).

B dialogues, U utterances, D model dimension, C emotions.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from hbaf.model.audio_context import AudioContextNetwork, AudioProjection
from hbaf.model.batch import UNLABELLED, DialogueBatch, SystemOutput
from hbaf.model.contrastive import InterModalContrast, supervised_contrast
from hbaf.model.decision import UnimodalHeads
from hbaf.model.fusion import MultiModalFusion, UniModalFusion
from hbaf.model.text_context import TextContextNetwork

Variant = Literal["bimodal", "audio", "text"]
Stream = tuple[Tensor, list[Tensor]]  # H (B, U, D), and W x (B, U, D) where the classifier reads it


@dataclass(frozen=True)
class AudioParts:
    """What makes H_a: the context network, the vector where audio is missing, W_a where the classifier reads it."""

    context: AudioContextNetwork | AudioProjection
    missing: nn.Parameter
    own: nn.Linear | None = None


@dataclass(frozen=True)
class TextParts:
    """What makes H_l: the context network, the vectors where words are missing, W_l where the classifier reads it."""

    context: TextContextNetwork
    missing: nn.Parameter | None = None
    missing_commonsense: nn.Parameter | None = None
    own: nn.Linear | None = None


class HBAF(nn.Module):
    """Heterogeneous bimodal attention fusion, of parts that `hbaf.model.build.build_hbaf` makes; Eq. 1-22.

    Args:
        audio: None without an audio stream.
        text: None without a text stream.
        fusion: None without fusion (an ablation); for two streams or for one.
        contrast: of two streams.
        speaker: who speaks, as a vector added to the streams.
        classifier: reads h_m, and beside it what the utterance says by itself.
        heads: decisions of each stream alone.
        dropout: before the classifier; 0..1.
        modality_dropout: 0..1.
        supervised: weight of the supervised contrast, with temperature `tau`.
    """

    def __init__(
        self,
        *,
        audio: AudioParts | None,
        text: TextParts | None,
        fusion: MultiModalFusion | UniModalFusion | None,
        contrast: InterModalContrast | None,
        speaker: nn.Embedding | None,
        classifier: nn.Linear,
        heads: UnimodalHeads | None,
        dropout: float,
        modality_dropout: float,
        supervised: float,
        tau: float,
    ) -> None:
        super().__init__()
        self.variant: Variant = "text" if audio is None else "audio" if text is None else "bimodal"
        self.modality_dropout, self.supervised, self.tau = modality_dropout, supervised, tau
        if audio is not None:
            self.missing_audio, self.audio_context = audio.missing, audio.context
        if text is not None:
            self.text_context = text.context
            self.missing_text, self.missing_commonsense = text.missing, text.missing_commonsense
        self.fusion = fusion
        self.contrast = contrast
        self.speaker = speaker
        self.dropout = nn.Dropout(dropout)
        self.classifier = classifier
        self.own_audio = None if audio is None else audio.own
        self.own_text = None if text is None else text.own
        self.heads = heads

    def forward(self, batch: DialogueBatch) -> SystemOutput:
        """Logits (B, U, C); losses and terms of `InterModalContrast`; the views of the fusion, detached.

        Labels are read by losses alone. Where nothing is learned and nothing is labelled there are none: scoring does
        not pay for them.

        Raises:
            ValueError: the model was built for commonsense features and the batch has none.
        """
        has_audio, has_text = batch.mask & batch.has_audio, batch.mask & batch.has_text  # (B, U)
        if self.training and self.modality_dropout > 0:
            has_audio, has_text = drop_modality(has_audio, has_text, self.modality_dropout)
        audio = None if self.variant == "text" else self.audio_stream(batch, has_audio)
        text = None if self.variant == "audio" else self.text_stream(batch, has_text)
        return self.decide(batch, audio, text, has_audio, has_text)

    def decide(
        self, batch: DialogueBatch, audio: Stream | None, text: Stream | None, has_audio: Tensor, has_text: Tensor
    ) -> SystemOutput:
        """What follows from the streams: fusion, losses, classifier. Arguments as `forward` makes them."""
        labelled = batch.mask & (batch.label != UNLABELLED)
        compares = self.training or bool(labelled.any())
        losses: dict[str, Tensor] = {}
        terms: dict[str, Tensor] = {}
        views: dict[str, Tensor] = {}
        if audio is not None and text is not None:
            (H_a, own_a), (H_l, own_l) = audio, text
            h_a, h_l = H_a, H_l
            if isinstance(self.fusion, MultiModalFusion):
                h_a, h_l, views = self.fusion(H_a, H_l, has_audio, has_text)
            h = torch.cat([h_a, h_l], -1)  # h_m, (B, U, 2D)
            if self.contrast is not None and compares:
                losses, terms = self.contrast(h_a, h_l, h, has_audio, has_text, batch.label)
            own = [*own_a, *own_l]
        else:
            stream, keys = (audio, has_audio) if text is None else (text, has_text)
            assert stream is not None, "a model reads one stream at least"
            h, own, views = self._single(stream, keys)
        if self.supervised > 0 and compares:
            term = supervised_contrast(h[labelled], batch.label[labelled], self.tau)
            losses["supervised"], terms["contrastive_supervised"] = self.supervised * term, term.detach()
        read = self.dropout(torch.cat([h, *own], -1))
        logits = self.classifier(read)
        if self.heads is not None:
            streams = tuple(self.dropout(torch.cat(part, -1)) for part in ([H_a, *own_a], [H_l, *own_l]))
            logits, taught, shares = self.heads(logits, (*streams, read), has_audio, has_text, batch.label)
            losses |= taught if compares else {}
            views |= shares
        return SystemOutput(logits, losses, terms, {name: view.detach().float() for name, view in views.items()})

    def audio_stream(self, batch: DialogueBatch, has_audio: Tensor) -> Stream:
        """H_a (B, U, D), and W_a x_a (B, U, D) where the classifier reads it."""
        audio = torch.where(has_audio[..., None], batch.audio, self.missing_audio)
        H_a = self.audio_context(audio, batch.mask, has_audio, self._speakers(batch))
        return H_a, [] if self.own_audio is None else [self.own_audio(audio)]

    def text_stream(self, batch: DialogueBatch, has_text: Tensor) -> Stream:
        """H_l (B, U, D), and W_l x_l (B, U, D) where the classifier reads it."""
        text = torch.where(has_text[..., None], batch.text, 0.0 if self.missing_text is None else self.missing_text)
        commonsense = None
        if self.missing_commonsense is not None:
            if batch.commonsense is None:
                raise ValueError(
                    "the model was built for commonsense features and the batch has none. "
                    "Extract them for this corpus, or train without them."
                )
            # Commonsense is inferred from the words, so it is missing with them.
            commonsense = torch.where(has_text[..., None, None], batch.commonsense, self.missing_commonsense)
        H_l = self.text_context(
            text, commonsense, has_text, self._speakers(batch), mask=batch.mask, turns_of=batch.speaker
        )
        return H_l, [] if self.own_text is None else [self.own_text(text)]

    def _speakers(self, batch: DialogueBatch) -> Tensor | None:
        """(B, U, D) what tells who speaks, or None."""
        return None if self.speaker is None else self.speaker(batch.speaker.clamp(max=self.speaker.num_embeddings - 1))

    def _single(self, stream: Stream, keys: Tensor) -> tuple[Tensor, list[Tensor], dict[str, Tensor]]:
        """h (B, U, D), what the classifier reads beside it, and views, of the audio-only and text-only variants."""
        H, own = stream
        if not isinstance(self.fusion, UniModalFusion):
            return H, own, {}
        h, weights = self.fusion(H, keys)
        return h, own, {} if weights is None else {f"attention_{self.variant}": weights}


def drop_modality(has_audio: Tensor, has_text: Tensor, chance: float) -> tuple[Tensor, Tensor]:
    """Takes one modality, audio or text with equal chance, from an utterance that has both; never the last one.

    Args:
        has_audio, has_text: (B, U) bool.
        chance: 0..1, of each utterance for itself; drawn from torch's generator of the device.
    """
    draw = torch.rand(has_audio.shape, device=has_audio.device)
    both = has_audio & has_text
    return has_audio & ~(both & (draw < chance / 2)), has_text & ~(both & (draw >= chance / 2) & (draw < chance))
