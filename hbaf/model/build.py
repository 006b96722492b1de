"""An HBAF of the parts that its settings ask for."""

from dataclasses import replace

import torch
from torch import nn

from hbaf.model.audio_context import AudioContextNetwork, AudioProjection
from hbaf.model.contrastive import InterModalContrast
from hbaf.model.decision import UnimodalHeads
from hbaf.model.fusion import MultiModalFusion, UniModalFusion
from hbaf.model.hbaf import HBAF, AudioParts, TextParts
from hbaf.model.text_context import RELATIONS, TextContextNetwork
from hbaf.parameters import ModelParameters

SPEAKERS = 16  # that are told apart; MELD's dialogues have at most 9, later ones share the last vector


def build_hbaf(
    settings: ModelParameters | None = None,
    *,
    audio_dim: int,
    text_dim: int,
    commonsense_dim: int | None,
    emotions: int,
) -> HBAF:
    """An HBAF with fresh weights from torch's generator. Parts that a variant or an ablation does not use are not made.

    Args:
        settings: None for the paper's.
        audio_dim: numbers per utterance in the audio column.
        text_dim: numbers per utterance in the text column.
        commonsense_dim: numbers per relation, or None when there are no commonsense features.
        emotions: C.

    Raises:
        ValueError: `dim` is not divisible by 2, `heads` or `fusion_heads` where the parts built need it.
    """
    settings = settings or ModelParameters()
    variant, dim = settings.variant, settings.dim
    # The order in which weights are drawn is part of every recorded run: with a seed, the same model.
    audio = None if variant == "text" else _audio(settings, audio_dim)
    text = None if variant == "audio" else _text(settings, text_dim, commonsense_dim)
    fusion = _fusion(settings)
    contrast = _contrast(settings)
    speaker = nn.Embedding(SPEAKERS, dim) if settings.speaker_embedding else None
    if speaker is not None:
        nn.init.normal_(speaker.weight, std=0.02)  # a hint beside the streams, not a stream of its own
    # h_m, and beside it W_a x_a and W_l x_l: what the utterance says by itself.
    own_audio = audio is not None and settings.own_path in ("audio", "both")
    own_text = text is not None and settings.own_path in ("text", "both")
    audio_width = 0 if audio is None else dim * (1 + own_audio)
    text_width = 0 if text is None else dim * (1 + own_text)
    classifier = nn.Linear(audio_width + text_width, emotions)
    if audio is not None and own_audio:
        audio = replace(audio, own=nn.Linear(audio_dim, dim))
    if text is not None and own_text:
        text = replace(text, own=nn.Linear(text_dim, dim))
    heads = None
    if variant == "bimodal" and (settings.experts or settings.unimodal > 0 or settings.distillation > 0):
        heads = UnimodalHeads(
            audio_width,
            text_width,
            audio_width + text_width,
            emotions,
            unimodal=settings.unimodal,
            distillation=settings.distillation,
            experts=settings.experts,
        )
    return HBAF(
        audio=audio,
        text=text,
        fusion=fusion,
        contrast=contrast,
        speaker=speaker,
        classifier=classifier,
        heads=heads,
        dropout=settings.dropout,
        modality_dropout=settings.modality_dropout if variant == "bimodal" else 0.0,
        supervised=settings.supervised,
        tau=settings.tau,
    )


def _audio(settings: ModelParameters, width: int) -> AudioParts:
    missing = _missing(width)
    if not settings.audio_context:
        return AudioParts(AudioProjection(width, settings.dim), missing)
    context = AudioContextNetwork(
        width,
        settings.dim,
        heads=settings.heads,
        encoder_layers=settings.encoder_layers,
        feedforward=settings.feedforward,
        conv_channels=settings.conv_channels,
        dropout=settings.dropout,
        pre_norm=settings.pre_norm,
    )
    return AudioParts(context, missing)


def _text(settings: ModelParameters, width: int, commonsense_width: int | None) -> TextParts:
    context = TextContextNetwork(
        width,
        commonsense_width,
        settings.dim,
        current_utterance=settings.current_utterance,
        context_attention=settings.context_attention,
        direction=settings.text_direction,
        split_context=settings.split_context,
        dropout=settings.dropout,
    )
    # A turn without words is never context; its own vector is read by its GRU input or as its query only.
    reads_own_text = settings.current_utterance or settings.context_attention == "query"
    missing = _missing(width) if reads_own_text else None
    if commonsense_width is None or not context.reads_commonsense:
        return TextParts(context, missing)
    return TextParts(context, missing, _missing(len(RELATIONS), commonsense_width))


def _fusion(settings: ModelParameters) -> MultiModalFusion | UniModalFusion | None:
    if not settings.fusion:
        return None
    if settings.variant != "bimodal":
        return UniModalFusion(
            settings.dim,
            heads=settings.fusion_heads,
            feedforward=settings.feedforward,
            dropout=settings.dropout,
            bimodal_attention=settings.bimodal_attention,
            residual=settings.residual,
            pre_norm=settings.pre_norm,
        )
    return MultiModalFusion(
        settings.dim,
        heads=settings.fusion_heads,
        feedforward=settings.feedforward,
        dropout=settings.dropout,
        cross_direction=settings.cross_direction,
        bimodal_attention=settings.bimodal_attention,
        gate=settings.gate,
        residual=settings.residual,
        pre_norm=settings.pre_norm,
    )


def _contrast(settings: ModelParameters) -> InterModalContrast | None:
    if settings.variant != "bimodal" or settings.mu == 0:
        return None
    return InterModalContrast(
        settings.dim,
        anchor=settings.anchor,
        fused_view=settings.fused_view,
        mu=settings.mu,
        lambda1=settings.lambda1,
        lambda2=settings.lambda2,
        lambda3=settings.lambda3,
        tau=settings.tau,
        symmetric=settings.symmetric,
        heads=settings.contrast_heads,
        same_label_negatives=settings.same_label_negatives,
    )


def _missing(*shape: int) -> nn.Parameter:
    """The learned vector that stands where a modality is missing; near the mean of scaled inputs to begin with."""
    return nn.Parameter(0.02 * torch.randn(*shape))
