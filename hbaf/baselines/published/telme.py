"""TelME: the text teaches the audio, then leads the fusion: audio only shifts the text's vector.

B dialogues, U utterances, D = dim, C emotions, N utterances that have both modalities.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hbaf.baselines.attention import MultiHeadAttention
from hbaf.baselines.inputs import present, streams
from hbaf.baselines.objectives import labelled_cross_entropy
from hbaf.baselines.similarity import cosines
from hbaf.model.batch import DialogueBatch, SystemOutput

SPEAKERS = 9  # speakers with an embedding of their own; later ones share the last


class TelME(nn.Module):
    """Teacher (text), student (audio) under distillation, attention-based modality shifting fusion.

    Source: Yun et al., NAACL 2024: width 768, temperature 4 and beta 0.1 as for MELD.
    Simplified to audio + text: layers on utterance vectors replace the fine-tuned encoders: for the teacher, whose
    prompt holds the past with its speakers, a causal GRU with speaker embedding; for the student, which hears one
    clip, two linear layers. No video student. The publication trains teacher, student and fusion in three
    stages, the earlier ones frozen; here all at once, and the later ones pass no gradient to the earlier ones. Its
    attention ran across the utterances of a batch; here over those of the dialogue.

    Args:
        temperature: of the response distillation.
        distillation_weight: of both distillation terms.
        beta: how far audio may shift the text's vector, as a share of that vector's length.
        heads: of the attention over audio; a divisor of `dim`.
    """

    reading: ClassVar[bool] = False
    source: ClassVar[str] = "Yun et al., NAACL 2024"

    def __init__(
        self,
        *,
        audio_dim: int,
        text_dim: int,
        commonsense_dim: int | None,
        emotions: int,
        dim: int = 768,
        dropout: float = 0.1,
        heads: int = 4,
        temperature: float = 4.0,
        beta: float = 0.1,
        distillation_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.distillation_weight = distillation_weight
        self.temperature = temperature
        self.text = nn.Linear(text_dim, dim)
        self.speaker = nn.Embedding(SPEAKERS, dim)
        self.teacher = nn.GRU(dim, dim, batch_first=True)
        self.student = nn.Sequential(nn.Linear(audio_dim, dim), nn.ReLU(), nn.Dropout(dropout), nn.Linear(dim, dim))
        self.teacher_classifier = nn.Linear(dim, emotions)
        self.student_classifier = nn.Linear(dim, emotions)
        self.attention = MultiHeadAttention(dim, heads, dropout)
        self.shift = ModalityShift(dim, beta)
        self.norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(dim, emotions)

    def forward(self, batch: DialogueBatch) -> SystemOutput:
        """Logits; losses `teacher`, `student`, `responses`, `features`; view `displacement` (B, U, D)."""
        audio, text = streams(batch)
        has_audio, has_text = present(batch)
        who = self.speaker(batch.speaker.clamp(max=SPEAKERS - 1))
        h_l = self.teacher(self.dropout(self.text(text) + who))[0]  # (B, U, D)
        h_a = self.student(audio)
        of_teacher = self.teacher_classifier(self.dropout(h_l))
        of_student = self.student_classifier(self.dropout(h_a))
        losses = {
            "teacher": labelled_cross_entropy(of_teacher, batch.label, has_text),
            "student": labelled_cross_entropy(of_student, batch.label, has_audio),
        }
        both = has_audio & has_text
        responses = response_distillation(of_student[both], of_teacher[both], self.temperature)
        losses["responses"] = self.distillation_weight * responses
        losses["features"] = self.distillation_weight * feature_distillation(h_a[both], h_l[both])
        h, displacement = self._fuse(h_a.detach(), h_l.detach(), has_audio)
        return SystemOutput(self.classifier(h), losses, views={"displacement": displacement.detach()})

    def _fuse(self, h_a: Tensor, h_l: Tensor, has_audio: Tensor) -> tuple[Tensor, Tensor]:
        attended, _ = self.attention(h_a, h_a, h_a, has_audio)
        # Without its audio an utterance is not shifted: its text stands as it is.
        displacement = torch.where(has_audio[..., None], self.shift(attended, h_l), 0.0)
        return self.dropout(self.norm(h_l + displacement)), displacement


class ModalityShift(nn.Module):
    """The displacement of the text's vector: H = ReLU(W_g [audio ; text]) * W_h audio, not longer than beta |text|."""

    def __init__(self, dim: int, beta: float) -> None:
        super().__init__()
        self.beta = beta
        self.gate = nn.Linear(2 * dim, dim)
        self.audio = nn.Linear(dim, dim)

    def forward(self, audio: Tensor, text: Tensor) -> Tensor:
        """(..., D) each -> H min(beta |text| / |H|, 1), (..., D)."""
        H = torch.relu(self.gate(torch.cat([audio, text], -1))) * self.audio(audio)
        # The norm of a zero vector has no gradient; a closed gate makes one.
        length = (H.float().square().sum(-1, keepdim=True) + 1e-12).sqrt()
        share = self.beta * text.float().norm(dim=-1, keepdim=True) / length
        return share.clamp(max=1.0).to(H.dtype) * H


def response_distillation(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """1 - Pearson's correlation of softened probabilities, across emotions and across utterances, times temperature^2.

    Args:
        student, teacher: (N, C) logits; no gradient goes to the teacher.

    Returns:
        Scalar >= 0; 0 for N < 2, where nothing varies across utterances.
    """
    if len(student) < 2:
        return student.sum() * 0.0
    p = (student.float() / temperature).softmax(-1)
    q = (teacher.detach().float() / temperature).softmax(-1)
    across_emotions, across_utterances = correlation(p, q).mean(), correlation(p.T, q.T).mean()
    return temperature**2 * (2 - across_emotions - across_utterances)


def feature_distillation(student: Tensor, teacher: Tensor, temperature: float = 0.1) -> Tensor:
    """KL of each utterance's similarities to the others, teacher's to student's; (N, D) each -> scalar >= 0.

    Similarities are cosines over a temperature, the latter our choice.
    """
    if len(student) < 2:
        return student.sum() * 0.0

    def similarities(h: Tensor) -> Tensor:
        return F.log_softmax(cosines(h, h) / temperature, -1)

    return F.kl_div(similarities(student), similarities(teacher.detach()), reduction="batchmean", log_target=True)


def correlation(x: Tensor, y: Tensor) -> Tensor:
    """Pearson's correlation of the rows of x and y, (N, C) each -> (N); 0 where a row is constant."""
    return F.cosine_similarity(x - x.mean(-1, keepdim=True), y - y.mean(-1, keepdim=True), dim=-1)
