"""bc-LSTM: what was said before and after, by bidirectional LSTMs, first per modality, then over both.

B dialogues, U utterances, D = 2 dim.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from hbaf.baselines.inputs import present, streams
from hbaf.baselines.objectives import labelled_cross_entropy
from hbaf.model.audio_context import bidirectional
from hbaf.model.batch import DialogueBatch, SystemOutput


class BcLSTM(nn.Module):
    """Per modality two BiLSTM layers and a softmax of its own; their states joined, a third BiLSTM, the classifier.

    Source: Poria et al., ACL 2017, in the form that Poria et al., ACL 2019, used as MELD's baseline (300 units a
    direction, dropout 0.4).
    Simplified to audio + text: utterance vectors come in place of the word-level CNN. The publication trains the
    modalities first and the joint network on their stored states; here all are trained at once, the modalities'
    own cross-entropies as terms of weight `unimodal_weight`. LSTMs are packed, which the published code omits.

    Args:
        dim: units a direction.
    """

    reading: ClassVar[bool] = False
    source: ClassVar[str] = "Poria et al., ACL 2017 and ACL 2019 (MELD)"

    def __init__(
        self,
        *,
        audio_dim: int,
        text_dim: int,
        commonsense_dim: int | None,
        emotions: int,
        dim: int = 300,
        dropout: float = 0.4,
        unimodal_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.unimodal_weight = unimodal_weight
        self.audio = _bilstm(audio_dim, dim, layers=2, dropout=dropout)
        self.text = _bilstm(text_dim, dim, layers=2, dropout=dropout)
        self.fused = _bilstm(4 * dim, dim, layers=1, dropout=0.0)
        self.dropout = nn.Dropout(dropout)
        self.audio_classifier = nn.Linear(2 * dim, emotions)
        self.text_classifier = nn.Linear(2 * dim, emotions)
        self.classifier = nn.Linear(2 * dim, emotions)

    def forward(self, batch: DialogueBatch) -> SystemOutput:
        """Logits; losses `audio` and `text`, each modality's own cross-entropy where it is present."""
        audio, text = streams(batch)
        has_audio, has_text = present(batch)
        lengths = batch.mask.sum(1).clamp(min=1)
        h_a = self.dropout(bidirectional(self.audio, audio, lengths))  # (B, U, D)
        h_l = self.dropout(bidirectional(self.text, text, lengths))
        h = self.dropout(bidirectional(self.fused, torch.cat([h_a, h_l], -1), lengths))
        losses = {
            "audio": self._own(self.audio_classifier(h_a), batch, has_audio),
            "text": self._own(self.text_classifier(h_l), batch, has_text),
        }
        return SystemOutput(self.classifier(h), losses)

    def _own(self, logits: Tensor, batch: DialogueBatch, keep: Tensor) -> Tensor:
        return self.unimodal_weight * labelled_cross_entropy(logits, batch.label, keep)


def _bilstm(inputs: int, units: int, layers: int, dropout: float) -> nn.LSTM:
    return nn.LSTM(inputs, units, layers, batch_first=True, bidirectional=True, dropout=dropout)
