"""What both modalities, audio alone and text alone say, in one go. B dialogues, U utterances."""

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor, nn

from hbaf.model.batch import DialogueBatch, SystemOutput
from hbaf.model.ensemble import Ensemble
from hbaf.model.hbaf import HBAF, Stream
from hbaf.model.label_chain import Chained

EachWay = tuple[SystemOutput, SystemOutput, SystemOutput]


def each_way(system: nn.Module, batch: DialogueBatch) -> EachWay:
    """What a system in evaluation mode says of a batch, of it without text and of it without audio.

    Equal to three forward passes. HBAF's context networks never see the other modality, so its streams are computed
    once; a label chain decodes the three in one go.
    """
    if isinstance(system, Chained):
        outputs_each = each_way(system.system, batch)
        logits = torch.cat([output.logits for output in outputs_each])
        marginals = system.chain(logits, batch.speaker.repeat(3, 1), batch.mask.repeat(3, 1)).chunk(3)
        return _three(replace(output, logits=new) for output, new in zip(outputs_each, marginals, strict=True))
    if isinstance(system, Ensemble):
        members = [each_way(member, batch) for member in system.members]
        return _three(system.mean(outputs) for outputs in zip(*members, strict=True))
    without_text, without_audio = batch.without("text"), batch.without("audio")
    if not isinstance(system, HBAF) or system.variant != "bimodal":
        return system(batch), system(without_text), system(without_audio)
    has_audio, has_text = batch.mask & batch.has_audio, batch.mask & batch.has_text
    nothing = torch.zeros_like(batch.mask)
    audio, text = system.audio_stream(batch, has_audio), system.text_stream(batch, has_text)
    some, back = _unlike(batch, system.speaker is not None)
    silent = batch.rows(some)
    no_audio = _of(system.audio_stream(silent, nothing[some]), back)
    no_text = _of(system.text_stream(silent, nothing[some]), back)
    return (
        system.decide(batch, audio, text, has_audio, has_text),
        system.decide(without_text, audio, no_text, has_audio, nothing),
        system.decide(without_audio, no_audio, text, nothing, has_text),
    )


def _three(outputs: Iterable[SystemOutput]) -> EachWay:
    both, audio, text = outputs
    return both, audio, text


def _unlike(batch: DialogueBatch, by_speaker: bool) -> tuple[Tensor, Tensor]:
    """One dialogue (n,) of each kind that a stream without its modality can tell apart, and the kind (B,) of each.

    That is its length, and where speakers are embedded the order in which they speak.
    """
    lengths = batch.mask.sum(1, keepdim=True)
    key = torch.cat([lengths, torch.where(batch.mask, batch.speaker, -1)], 1) if by_speaker else lengths
    kinds, kind = key.unique(dim=0, return_inverse=True)
    first = (kind == torch.arange(len(kinds), device=kind.device)[:, None]).int().argmax(1)
    return first, kind


def _of(stream: Stream, back: Tensor) -> Stream:
    H, own = stream
    return H[back], [part[back] for part in own]
