"""HBAF: two context networks, their fusion, contrastive learning and the classifier (docs/method.md).

B dialogues, U utterances, D model dimension, C emotions.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from hbaf.model.audio_context import AudioContextNetwork, AudioProjection
from hbaf.model.batch import UNLABELLED, DialogueBatch, SystemOutput
from hbaf.model.contrastive import Anchor, FusedView, InterModalContrast, supervised_contrast
from hbaf.model.decision import UnimodalHeads
from hbaf.model.fusion import CrossDirection, MultiModalFusion, UniModalFusion
from hbaf.model.text_context import RELATIONS, ContextAttention, TextContextNetwork, TextDirection

Variant = Literal["bimodal", "audio", "text"]
OwnPath = Literal["none", "audio", "text", "both"]
Stream = tuple[Tensor, list[Tensor]]  # H (B, U, D), and W x (B, U, D) where the classifier reads it
SPEAKERS = 16  # that are told apart; MELD's dialogues have at most 9, later ones share the last vector


class HBAF(nn.Module):
    """Heterogeneous bimodal attention fusion; Eq. 1-22.

    The keyword arguments from `variant` on are the fields of `hbaf.parameters.ModelParameters` and mean what is said
    there. Parts that a variant or an ablation does not use are not built.

    Args:
        audio_dim: numbers per utterance in the audio column.
        text_dim: numbers per utterance in the text column.
        commonsense_dim: numbers per relation, or None when there are no commonsense features.
        emotions: C.

    Raises:
        ValueError: `dim` is not divisible by 2, `heads` or `fusion_heads` where the parts built need it.
    """

    def __init__(
        self,
        *,
        audio_dim: int,
        text_dim: int,
        commonsense_dim: int | None,
        emotions: int,
        variant: Variant = "bimodal",
        dim: int = 512,
        heads: int = 8,
        encoder_layers: int = 3,
        feedforward: int = 2048,
        conv_channels: int = 64,
        fusion_heads: int = 1,
        dropout: float = 0.1,
        audio_context: bool = True,
        current_utterance: bool = True,
        context_attention: ContextAttention = "query",
        cross_direction: CrossDirection = "literal",
        anchor: Anchor = "equation",
        fused_view: FusedView = "projection",
        fusion: bool = True,
        bimodal_attention: bool = True,
        gate: bool = True,
        residual: bool = True,
        modality_dropout: float = 0.0,
        pre_norm: bool = False,
        speaker_embedding: bool = False,
        symmetric: bool = False,
        supervised: float = 0.0,
        text_direction: TextDirection = "causal",
        split_context: bool = False,
        own_path: OwnPath = "none",
        experts: bool = False,
        unimodal: float = 0.0,
        distillation: float = 0.0,
        contrast_heads: bool = False,
        same_label_negatives: bool = True,
        mu: float = 0.2,
        lambda1: float = 1.0,
        lambda2: float = 1.0,
        lambda3: float = 1.0,
        tau: float = 0.1,
    ) -> None:
        super().__init__()
        self.variant = variant
        self.modality_dropout = modality_dropout if variant == "bimodal" else 0.0
        self.supervised, self.tau = supervised, tau
        if variant != "text":
            self.missing_audio = _missing(audio_dim)
            self.audio_context: AudioContextNetwork | AudioProjection = (
                AudioContextNetwork(
                    audio_dim,
                    dim,
                    heads=heads,
                    encoder_layers=encoder_layers,
                    feedforward=feedforward,
                    conv_channels=conv_channels,
                    dropout=dropout,
                    pre_norm=pre_norm,
                )
                if audio_context
                else AudioProjection(audio_dim, dim)
            )
        if variant != "audio":
            self.text_context = TextContextNetwork(
                text_dim,
                commonsense_dim,
                dim,
                current_utterance=current_utterance,
                context_attention=context_attention,
                direction=text_direction,
                split_context=split_context,
                dropout=dropout,
            )
            # A turn without words is never context; its own vector is read by its GRU input or as its query only.
            reads_own_text = current_utterance or context_attention == "query"
            self.missing_text = _missing(text_dim) if reads_own_text else None
            self.missing_commonsense = (
                _missing(len(RELATIONS), commonsense_dim)
                if commonsense_dim is not None and self.text_context.reads_commonsense
                else None
            )
        self.fusion: MultiModalFusion | UniModalFusion | None = None
        self.contrast: InterModalContrast | None = None
        if fusion and variant == "bimodal":
            self.fusion = MultiModalFusion(
                dim,
                heads=fusion_heads,
                feedforward=feedforward,
                dropout=dropout,
                cross_direction=cross_direction,
                bimodal_attention=bimodal_attention,
                gate=gate,
                residual=residual,
                pre_norm=pre_norm,
            )
        elif fusion:
            self.fusion = UniModalFusion(
                dim,
                heads=fusion_heads,
                feedforward=feedforward,
                dropout=dropout,
                bimodal_attention=bimodal_attention,
                residual=residual,
                pre_norm=pre_norm,
            )
        if variant == "bimodal" and mu > 0:
            self.contrast = InterModalContrast(
                dim,
                anchor=anchor,
                fused_view=fused_view,
                mu=mu,
                lambda1=lambda1,
                lambda2=lambda2,
                lambda3=lambda3,
                tau=tau,
                symmetric=symmetric,
                heads=contrast_heads,
                same_label_negatives=same_label_negatives,
            )
        self.speaker = nn.Embedding(SPEAKERS, dim) if speaker_embedding else None
        if self.speaker is not None:
            nn.init.normal_(self.speaker.weight, std=0.02)  # a hint beside the streams, not a stream of its own
        self.dropout = nn.Dropout(dropout)
        # h_m, and beside it W_a x_a and W_l x_l: what the utterance says by itself.
        audio_width = 0 if variant == "text" else dim * (2 if own_path in ("audio", "both") else 1)
        text_width = 0 if variant == "audio" else dim * (2 if own_path in ("text", "both") else 1)
        self.classifier = nn.Linear(audio_width + text_width, emotions)
        self.own_audio = nn.Linear(audio_dim, dim) if audio_width > dim else None
        self.own_text = nn.Linear(text_dim, dim) if text_width > dim else None
        self.heads: UnimodalHeads | None = None
        if variant == "bimodal" and (experts or unimodal > 0 or distillation > 0):
            self.heads = UnimodalHeads(
                audio_width,
                text_width,
                audio_width + text_width,
                emotions,
                unimodal=unimodal,
                distillation=distillation,
                experts=experts,
            )

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
        return None if self.speaker is None else self.speaker(batch.speaker.clamp(max=SPEAKERS - 1))

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


def _missing(*shape: int) -> nn.Parameter:
    """The learned vector that stands where a modality is missing; near the mean of scaled inputs to begin with."""
    return nn.Parameter(0.02 * torch.randn(*shape))
