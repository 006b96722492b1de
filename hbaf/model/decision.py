"""What the streams say by themselves, beside the classifier of h_m; an addition to the paper, off by default.

B dialogues, U utterances, C emotions.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hbaf.model.batch import UNLABELLED


class UnimodalHeads(nn.Module):
    """A classifier for each stream: taught by labels and by the fused one, and heard in the decision if asked.

    As experts the three are mixed by a gate that reads what all of them read, over those whose modality is there:
    p = sum_m g_m p_m. What one modality knows then reaches the decision without passing the fusion.

    Args:
        audio_width, text_width: numbers that each stream's classifier reads.
        fused_width: numbers that the gate reads.
        emotions: C.
        unimodal: weight of the cross-entropy of each stream.
        distillation: weight of KL(fused, detached || stream), as the self-distillation of SDT (Ma et al., 2023).
        experts: mix the decisions; else the fused one decides alone.
    """

    def __init__(
        self,
        audio_width: int,
        text_width: int,
        fused_width: int,
        emotions: int,
        *,
        unimodal: float,
        distillation: float,
        experts: bool,
    ) -> None:
        super().__init__()
        self.unimodal, self.distillation = unimodal, distillation
        self.audio = nn.Linear(audio_width, emotions)
        self.text = nn.Linear(text_width, emotions)
        self.gate = nn.Linear(fused_width, 3) if experts else None

    def forward(
        self, fused: Tensor, read: tuple[Tensor, Tensor, Tensor], has_audio: Tensor, has_text: Tensor, label: Tensor
    ) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """Logits of the decision (B, U, C), weighted losses, and the views `expert_*` (B, U, 1), in [0, 1].

        Args:
            fused: (B, U, C) logits of the classifier of h_m.
            read: what the heads of audio and text, and the gate, read, each (B, U, width).
            has_audio, has_text: (B, U) bool. A head is taught where its modality is.
            label: (B, U) with `UNLABELLED`; read by the losses alone.
        """
        audio, text = self.audio(read[0]).float(), self.text(read[1]).float()  # (B, U, C)
        losses: dict[str, Tensor] = {}
        labelled = label != UNLABELLED
        teacher = fused.detach().float().log_softmax(-1)
        for name, logits, there in (("audio", audio, has_audio), ("text", text, has_text)):
            if self.unimodal > 0 and bool((at := labelled & there).any()):
                losses[f"unimodal_{name}"] = self.unimodal * F.cross_entropy(logits[at], label[at])
            if self.distillation > 0 and bool(there.any()):
                student = logits[there].log_softmax(-1)
                apart = F.kl_div(student, teacher[there], reduction="batchmean", log_target=True)
                losses[f"distillation_{name}"] = self.distillation * apart
        if self.gate is None:
            return fused, losses, {}
        there = torch.stack([torch.ones_like(has_audio), has_audio, has_text], -1)  # the fused one is always heard
        weight = self.gate(read[2]).float().masked_fill(~there, torch.finfo(torch.float32).min).log_softmax(-1)
        log_probability = torch.stack([fused.float(), audio, text], -1).log_softmax(-2)  # (B, U, C, 3)
        mixed = (weight[..., None, :] + log_probability).logsumexp(-1)  # (B, U, C)
        shares = weight.exp().split(1, -1)  # 3 x (B, U, 1)
        return mixed, losses, dict(zip(("expert_fused", "expert_audio", "expert_text"), shares, strict=True))
